//! What is told of a cluster with one thing spoiled: this and nothing else.

use std::time::Duration;

use super::*;
use crate::alert::event::{conditions, of_followers};
use crate::decide::diagnose::{Lasting, diagnose};
use crate::decide::followers::{Declared, Follower};
use crate::decide::sample::{Seen, ms};
use crate::decide::seen::{NoAnswer, Process};
use crate::state::{Severity, UnixMillis};

/// What is told of the sample, changed like this: key, severity, and after how many seconds.
fn told(spoil: impl FnOnce(&mut ClusterState, &mut Seen)) -> Vec<String> {
    let (mut state, mut seen) = managed();
    spoil(&mut state, &mut seen);
    let lasting = Lasting { leading: Duration::from_secs(60), ..Lasting::default() };
    let mut observations = seen.observations();
    observations.clock_ahead_ms = seen.0.iter().map(|(n, r, _)| (n.clone(), r.wall_ms)).collect();
    let diagnosis = diagnose(&state, &observations, lasting);
    let found = conditions(&state, &diagnosis, NOW_MS);
    found.iter().map(|c| format!("{} {} {} s", c.key, c.severity.as_str(), c.settle.as_secs())).collect()
}

fn down(seen: &mut Seen, node: &str) {
    let own = seen.own(node);
    (own.process, own.pulse) = (Process::Gone { pid: 1000 }, None);
    own.error = Some(NoAnswer { what: "refused".into(), mend: "start it".into(), refused: false });
    seen.unreachable(node);
}

#[test]
fn a_healthy_cluster_tells_nothing() {
    assert_eq!(told(|_, _| ()), [""; 0]);
}

#[test]
fn each_trouble_is_told_as_what_it_is_and_no_other() {
    let replica_down = told(|_, seen| down(seen, "db2"));
    assert_eq!(replica_down, ["ReplicaDown:db2 warning 5 s"]);
    assert_eq!(told(|_, seen| seen.silent("app1")), ["NodeDown:app1 warning 5 s"]);
    assert_eq!(told(|_, seen| seen.silent("db2")), ["NodeDownServerUp:db2 warning 5 s"]);
    assert_eq!(
        told(|_, seen| seen.channel("db2").behind = Some(ms(90_000))),
        ["ReplicaLagging:db2 warning 30 s"]
    );
    assert_eq!(told(|_, seen| seen.channel("db2").sql_running = false), ["ReplicaStopped:db2 warning 5 s"]);
    let skewed = told(|_, seen| seen.report("app1").wall_ms = 5_000 as UnixMillis);
    assert_eq!(skewed, ["ClockSkew:app1 warning 5 s"]);
    let expiring = told(|_, seen| seen.report("db1").certificate_left = Some(Duration::from_secs(86_400)));
    assert_eq!(expiring, ["CertificateExpires:db1 warning 5 s"]);
    let differing = told(|_, seen| seen.report("db2").config_differs = vec!["failover.lease_ttl".into()]);
    assert_eq!(differing, ["ConfigDiverged:db2 warning 5 s"]);
    let open = told(|_, seen| seen.pulse("db2").open = true);
    assert_eq!(open, ["TwoWritersSeen critical 1 s", "ReplicaOpen:db2 critical 1 s"]);
}

#[test]
fn a_lost_writer_that_nothing_replaces_is_told_with_what_holds_it_back() {
    let (mut state, mut seen) = managed();
    down(&mut seen, "db1");
    state.safety.live.automatic = false;
    let lasting = Lasting { leading: Duration::from_secs(60), ..Lasting::default() };
    let found = conditions(&state, &diagnose(&state, &seen.observations(), lasting), NOW_MS);
    let lost = found.iter().find(|c| c.key == "WriterLost").unwrap();
    assert_eq!(lost.severity, Severity::Critical);
    assert!(
        lost.what.starts_with("no writer: db1 is lost (WriterCrashed) and no failover runs: "),
        "{}",
        lost.what
    );
}

#[test]
fn whoever_works_on_a_server_is_not_warned_of_it() {
    let maintained = told(|state, seen| {
        let word = crate::state::Forced { by: "ada".into(), reason: "a disk".into() };
        state.maintenance.insert(
            name("app1"),
            crate::state::Maintenance { until_ms: NOW_MS + 60_000, since_ms: NOW_MS, word },
        );
        seen.silent("app1");
    });
    assert_eq!(maintained, ["NodeDown:app1 info 5 s"]);
}

#[test]
fn an_observed_cluster_tells_nothing_and_a_follower_in_trouble_is_told_of_by_its_name() {
    let unmanaged = told(|state, seen| {
        state.phase = crate::state::Phase::Observing;
        seen.silent("app1");
    });
    assert_eq!(unmanaged, [""; 0]);
    let (state, _) = managed();
    let follower = |trouble: Option<&str>| Follower {
        declared: Declared { name: "etl".into(), server: "10.0.0.7:3306".into() },
        said: None,
        trouble: trouble.map(str::to_owned),
    };
    assert_eq!(of_followers(&state, &[("etl".to_owned(), follower(None))].into()), []);
    let found = of_followers(&state, &[("etl".to_owned(), follower(Some("it does not answer")))].into());
    assert_eq!(
        (found[0].key.as_str(), found[0].what.as_str()),
        ("FollowerTrouble:etl", "etl: it does not answer")
    );
}
