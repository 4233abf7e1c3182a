//! When clients may be sent to a server as the writer.

use super::super::primary::primary;
use super::*;
use crate::decide::sample;
use crate::state::{Step, StepName};

type Spoil = fn(&mut ClusterState, &mut sample::Seen);

fn asked(at: &str, spoil: Spoil) -> Result<(Epoch, Duration), String> {
    let (mut state, mut seen) = sample::managed();
    spoil(&mut state, &mut seen);
    primary(&state, &name(at), seen.report(at).own.as_ref())
}

#[test]
fn the_writer_says_yes_while_its_lease_runs() {
    assert_eq!(asked("db1", |_, _| {}), Ok((Epoch(1), ms(890))));
}

#[test]
fn everything_else_is_a_no_with_its_reason() {
    let cases: [(&str, &str, Spoil); 12] = [
        ("db2", "db1 is the writer", |_, _| {}),
        ("app1", "no server is beside this node", |_, _| {}),
        ("db1", "the cluster is not adopted: nobody holds a lease", |s, _| s.phase = Phase::Observing),
        ("db1", "there is no writer now", |s, _| s.revoked_through = Epoch(1)),
        ("db1", "its lease has run out, or is not granted yet", |_, n| n.own("db1").guard.lease = None),
        ("db1", "its lease has run out, or is not granted yet", |_, n| {
            n.own("db1").guard.lease = Some((Epoch(1), Duration::ZERO));
        }),
        ("db1", "its lease has run out, or is not granted yet", |s, _| {
            s.grant.as_mut().unwrap().epoch = Epoch(2);
        }),
        ("db1", "it is being closed for a switchover", |s, _| {
            let mut moves = Operation::of(OperationKind::Switchover, Epoch(1), name("db1"));
            let name = StepName::Freeze.to_string();
            moves.steps.push(Step { at_ms: 0, node: "db1".into(), name, detail: String::new() });
            s.operation = Some(moves);
        }),
        ("db1", "its server is not open", |s, _| s.grant.as_mut().unwrap().opened_ms = None),
        ("db1", "its server is not open", |_, n| n.own("db1").guard.closed = Epoch(1)),
        ("db1", "its server is not open", |_, n| n.pulse("db1").open = false),
        ("db1", "its server has not answered for 1.2 s", |_, n| n.own("db1").pulse_age = ms(1_200)),
    ];
    for (at, why, spoil) in cases {
        assert_eq!(asked(at, spoil), Err(why.to_owned()));
    }
}
