//! What else is wrong: one change to a healthy cluster, one name.

use super::*;
use crate::decide::diagnose::{Lasting, diagnose};
use crate::decide::diagnosis::Trouble;
use crate::decide::finding::{Level, of_nodes};
use crate::decide::seen::{LintFinding, NoAnswer, ProxySeen};

/// The troubles of db1, db2, db3 and app1 after this change.
fn after(change: impl FnOnce(&mut ClusterState, &mut Seen)) -> Vec<Trouble> {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    change(&mut state, &mut seen);
    diagnose(&state, &seen.look(), Lasting::default()).troubles
}

const REFUSED: &str = "db3:3306 does not let repl replicate: access denied: no";

/// The node was refused when it tried the replication account.
fn refused(seen: &mut Seen, node: &str) {
    let report = &mut seen.reports.get_mut(&name(node)).unwrap().0;
    report.sources_refused.insert(name("db3"), REFUSED.into());
}

#[test]
fn each_change_has_its_name() {
    let db2 = || name("db2");
    assert_eq!(after(|_, _| ()), []);
    assert_eq!(after(|_, seen| seen.unheard("app1", 4000)), [Trouble::NodeDown(name("app1"))]);
    assert_eq!(after(|_, seen| seen.unheard("db2", 4000)), [Trouble::NodeDownServerUp(db2())]);
    let down = after(|_, seen| {
        seen.unheard("db2", 4000);
        for by in ["db1", "db3", "app1"] {
            seen.probe(by, "db2", silent(4000, ProbeError::Silent));
        }
    });
    assert_eq!(down, [Trouble::NodeDown(db2())]);
    assert_eq!(after(|_, seen| seen.gone("db2", 2000)), [Trouble::ReplicaDown(db2())]);
    let denied = after(|_, seen| {
        let what = "access denied".into();
        let own = seen.own("db2");
        (own.pulse, own.error) = (None, Some(NoAnswer { what, mend: "mend".into(), refused: true }));
    });
    let why = "its server cannot be used: access denied; mend";
    assert_eq!(denied, [Trouble::ServerUnusable(db2(), why.into())]);
    let stopped = |why: &str| Trouble::ReplicaStopped(db2(), why.into());
    assert_eq!(after(|_, seen| seen.pulse("db2").channel = None), [stopped("it has no source")]);
    assert_eq!(after(|_, seen| seen.channel("db2").sql_running = false), [stopped("its applier is off")]);
    let lag = after(|_, seen| seen.channel("db2").behind = Some(ms(60_000)));
    assert_eq!(lag, [Trouble::ReplicaLagging(db2(), ms(60_000))]);
    let wrong = after(|_, seen| seen.channel("db2").source = "db3:3306".into());
    assert_eq!(wrong, [Trouble::ReplicaOfWrongSource(db2(), "db3:3306".into())]);
    let rejected = after(|_, seen| seen.channel("db2").io_error = Some((1045, "denied".into())));
    let by_itself = "the writer rejects the replication account; check its password and host";
    let says = |node: &str, why: &str| [Trouble::ReplicationUserRejected(name(node), why.into())];
    assert_eq!(rejected, says("db2", by_itself));
    let as_tried = format!("{REFUSED}; make the account what `batonctl grants` prints");
    for node in ["db1", "db2"] {
        assert_eq!(after(|_, seen| refused(seen, node)), says(node, &as_tried));
    }
    let both = after(|_, seen| {
        refused(seen, "db2");
        seen.channel("db2").io_error = Some((1045, "denied".into()));
    });
    assert_eq!(both, says("db2", by_itself), "said once");
    let failed = |inner: u32| format!("Source command COM_REGISTER_REPLICA failed: no (Errno: {inner})");
    for errno in [13120, 1597] {
        let rejected = after(|_, seen| seen.channel("db2").io_error = Some((errno, failed(1045))));
        assert_eq!(rejected, says("db2", by_itself), "{errno}");
        let broken = after(|_, seen| {
            (seen.channel("db2").io_error, seen.channel("db2").io_running) =
                (Some((errno, failed(2013))), false);
        });
        assert!(matches!(&broken[..], [Trouble::ReplicaStopped(..)]), "{errno}: {broken:?}");
    }
    let keeper = after(|_, seen| seen.own("db2").guard.trouble = Some("no keeper".into()));
    assert_eq!(keeper, [Trouble::GuardTrouble(db2(), "no keeper".into())]);
    let gone = after(|_, seen| {
        seen.gone("db2", 2000);
        seen.own("db2").guard.trouble = Some("its server does not answer".into());
    });
    assert_eq!(gone, [Trouble::ReplicaDown(db2())], "once is enough");
    let finding = || LintFinding { error: true, what: "x".into(), mend: "y".into(), mend_here: None };
    let lint = after(|_, seen| seen.own("db2").about.as_mut().unwrap().findings.push(finding()));
    assert_eq!(lint, [Trouble::UnsafeSettings(db2(), "x".into())]);
    let blocked = after(|_, seen| {
        seen.pulse("db1").ackers = 0;
        seen.pulse("db1").waiting = 3;
    });
    assert_eq!(blocked, [Trouble::SemiSyncBlocked(3)]);
}

#[test]
fn two_open_servers_are_seen_by_either_word() {
    let by_itself = after(|_, seen| seen.pulse("db2").open = true);
    assert_eq!(by_itself, [Trouble::TwoWritersSeen(list("db1 db2")), Trouble::ReplicaOpen(name("db2"))]);
    let by_probe = after(|_, seen| seen.probe("app1", "db2", answered(true)));
    assert_eq!(by_probe, by_itself);
}

/// An account that one server alone has cannot be changed on the writer: the statement would stop the other's applier.
#[test]
fn what_one_server_alone_has_is_mended_there() {
    let mend = |servers: &[&str]| {
        let state = cluster("db1 db2 app1");
        let mut seen = Seen::healthy(&state, &my("1:1-9"));
        for server in servers {
            let (mend, mend_here) = ("there".into(), Some("here".into()));
            let finding = LintFinding { error: true, what: "'x'@'y'".into(), mend, mend_here };
            seen.own(server).about.as_mut().unwrap().findings.push(finding);
        }
        let found = of_nodes(&state, &seen.look(), None).into_iter().filter(|f| f.level == Level::Error);
        found.map(|f| format!("{} {}", f.node.unwrap(), f.mend)).collect::<Vec<_>>()
    };
    assert_eq!(mend(&["db2"]), ["db2 here"]);
    assert_eq!(mend(&["db1", "db2"]), ["db1 there", "db2 there"]);
}

/// The old writer answered half a second ago and is dead; the new one is open already.
#[test]
fn a_writer_that_just_died_is_no_second_writer() {
    let moved = |seen: &mut Seen, state: &mut ClusterState| {
        *state.grant.as_mut().unwrap() =
            Grant { epoch: Epoch(2), node: name("db2"), ..state.grant.clone().unwrap() };
        *seen.pulse("db2") = writes(&my("1:1-9"));
        seen.own("db2").guard.opened = Epoch(2);
        seen.gone("db1", 500);
        for by in ["db1", "db2", "db3", "app1"] {
            seen.probe(by, "db1", silent(500, ProbeError::Refused));
            seen.probe(by, "db2", answered(true));
        }
    };
    let troubles = after(|state, seen| moved(seen, state));
    assert!(!troubles.iter().any(|t| matches!(t, Trouble::TwoWritersSeen(_))), "{troubles:?}");
}

/// A replica applies a transaction while the writer still waits for its acknowledgement; one of its own is errant.
#[test]
fn a_replicas_own_transaction_is_errant_and_the_writers_is_not() {
    let ahead = after(|_, seen| seen.pulse("db2").executed = my("1:1-10"));
    assert_eq!(ahead, []);
    let own = after(|_, seen| seen.pulse("db2").executed = my("1:1-10 2:1"));
    assert_eq!(own, [Trouble::ErrantTransactions(name("db2"), my("2:1").to_string())]);
}

/// The leader alone speaks to ProxySQL, so its report has them.
#[test]
fn a_proxysql_that_leads_elsewhere_is_a_trouble() {
    let of = |trouble: Option<&str>| ProxySeen {
        name: "app1".into(),
        trouble: trouble.map(ToOwned::to_owned),
        repairs: 3,
        read_took: ms(2),
    };
    assert_eq!(after(|_, seen| seen.reports.get_mut(&name("db2")).unwrap().0.routing = vec![of(None)]), []);
    let diverged = after(|_, seen| {
        seen.reports.get_mut(&name("db2")).unwrap().0.routing = vec![of(Some("nothing listens"))]
    });
    assert_eq!(diverged, [Trouble::RoutingDiverged("app1".into(), "nothing listens".into())]);
}
