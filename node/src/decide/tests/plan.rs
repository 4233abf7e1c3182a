//! The line of the dry run and of the journal.

use super::*;
use crate::decide::choose::choose;
use crate::state::OnLoss;

fn line(state: &ClusterState, answers: &[Answer]) -> String {
    choose(state, &failover("x"), &Observations::default(), answers).unwrap().to_string()
}

#[test]
fn a_choice_reads_as_a_sentence() {
    let three = cluster("db1 db2 db3");
    let both = [has("db2", maria("0-1-9")), has("db3", maria("0-1-9"))];
    insta::assert_snapshot!(line(&three, &both), @"db2: has everything that any of 2 servers received, as has db3; comes first; must have applied 0-1-9; begins degraded (new epoch, waiting for an acker), commits wait, ackers db3; should it not get ready: db3; nothing lost, proven by db2, db3");
    let behind = [has("db2", maria("0-1-9")), has("db3", maria("0-1-7"))];
    insta::assert_snapshot!(line(&three, &behind), @"db2: has everything that any of 2 servers received; must have applied 0-1-9; begins degraded (new epoch, waiting for an acker), commits wait, ackers db3; nothing lost, proven by db2, db3");
    let mut promote = cluster("db1 db2 db3");
    promote.safety.on_loss = OnLoss::Promote;
    insta::assert_snapshot!(line(&promote, &both[..1]), @"db2: alone has answered; must have applied 0-1-9; begins degraded (no acker's server is running), commits do not wait, no acker; loss unknown: the old writer's set was never seen");
    promote.durability = degraded(Some(maria("0-1-12")));
    insta::assert_snapshot!(line(&promote, &both[..1]), @"db2: alone has answered; must have applied 0-1-9; begins degraded (no acker's server is running), commits do not wait, no acker; 3 transactions lost: 0-1-10..12");
    let nothing = [has("db2", GtidSet::empty(Dialect::Mysql))];
    insta::assert_snapshot!(line(&cluster("db1 db2"), &nothing), @"db2: alone has answered; must have applied nothing; begins degraded (no acker's server is running), commits do not wait, no acker; nothing lost, proven by db2");
}

#[test]
fn what_holds_a_choice_back_reads_as_a_sentence() {
    let held = |state: &ClusterState, answers: &[Answer]| {
        choose(state, &failover("x"), &Observations::default(), answers).unwrap_err().to_string()
    };
    let mut state = cluster("db1 db2 db3");
    insta::assert_snapshot!(held(&state, &[]), @"no fit server answers");
    insta::assert_snapshot!(held(&state, &[has("db2", maria("0-1-9"))]), @"db3 may hold acknowledged writes and does not answer (policy: wait)");
    state.members.get_mut(&name("db3")).unwrap().excluded = true;
    insta::assert_snapshot!(held(&state, &[has("db2", maria("0-1-8")), has("db3", maria("0-1-9"))]), @"db2 lacks 0-1-9..9 and has to fetch it from db3 first");
    state.durability = degraded(Some(maria("0-1-9")));
    insta::assert_snapshot!(held(&state, &[has("db2", maria("0-1-8"))]), @"the best candidate lacks 0-1-9..9 (policy: wait)");
}
