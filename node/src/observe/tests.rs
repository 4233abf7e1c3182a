//! From a server to the leader's table, all parts together.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::fake::{self, FakeServer, ok, refused};
use super::*;
use crate::decide::seen::{GuardSeen, ProbeError, Process, Report};
use crate::decide::tried::Tried;
use crate::state::{ClusterState, NodeName};

struct Local(Arc<Table>);

impl ReportSink for Local {
    fn send(&self, report: Report) -> BoxFuture<'_, bool> {
        let taken = self.0.take(NodeName::from("db1"), report);
        Box::pin(async move { taken })
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_reaches_the_leader_at_once() {
    let server = FakeServer::new(ok(fake::writer()));
    let table = Arc::new(Table::default());
    let news = Arc::new(Notify::new());
    let (process, receiver) = watch::channel(Process::Running { pid: 7 });
    let (own, handle) = OwnWatch::new(OwnSetup {
        server: Arc::<FakeServer>::clone(&server),
        process: receiver,
        guard: Arc::new(GuardSeen::default),
        accepts: Arc::new(|_| false),
        nudge: Arc::default(),
        news: Arc::clone(&news),
    });
    let over_network = Arc::clone(&server);
    let connect: Connect = Arc::new(move |_| Arc::<FakeServer>::clone(&over_network));
    let prober = Arc::new(Prober::new(connect, Arc::clone(&news)));
    prober.follow(&[(NodeName::from("db1"), "db1:3306".to_owned())].into());
    let (same, probed) = (handle.clone(), Arc::clone(&prober));
    let reporter = Reporter::new(ReporterSetup {
        see: Arc::new(move || see(Some(&handle), &prober, Vec::new())),
        digest: Arc::new(move || digest(Some(&same), &probed, Vec::new(), None)),
        sink: Arc::new(Local(Arc::clone(&table))),
        news,
        nudge: Arc::default(),
        first_serial: 1,
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(own.run());
    tasks.spawn(reporter.run());

    sleep(Duration::from_secs(5)).await;
    let seen = table.snapshot(&ClusterState::default());
    let (pulse, age) = seen.pulse(&NodeName::from("db1")).unwrap();
    assert!(pulse.open && age < Duration::from_millis(400), "{age:?}");
    table.changed().await;
    let calm = timeout(Duration::from_secs(5), table.changed()).await;
    assert!(calm.is_err(), "nothing changes at rest");

    server.answer(refused());
    let begun = Instant::now();
    process.send(Process::Gone { pid: 7 }).unwrap();
    table.changed().await;
    assert!(begun.elapsed() <= Duration::from_millis(1), "{:?}", begun.elapsed());
    let seen = table.snapshot(&ClusterState::default());
    assert!(seen.own(&NodeName::from("db1")).unwrap().is_gone());

    sleep(Duration::from_secs(1)).await;
    let seen = table.snapshot(&ClusterState::default());
    let heard = seen.of(&NodeName::from("db1")).unwrap();
    let probe = &heard.report.probes[&NodeName::from("db1")];
    assert_eq!((probe.error, probe.ever), (Some(ProbeError::Refused), true));
    assert!(seen.last_seen_set(&NodeName::from("db1")).is_some(), "what it had is still known");
    let sent = serde_json::to_vec(&heard.report).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&sent).unwrap(), heard.report, "it survives the journey");
}

/// A report that is not made says the same as one that is.
#[tokio::test(start_paused = true)]
async fn the_digest_is_that_of_the_report_at_every_turn() {
    let mut replica = fake::replica_of("db9", 3306);
    replica.replication.as_mut().unwrap().last_io_error =
        Some(crate::sql::ThreadError { errno: 1236, message: "gone".into() });
    let server = FakeServer::new(ok(fake::writer()));
    let (process, receiver) = watch::channel(Process::Running { pid: 7 });
    let guard = GuardSeen { trouble: Some("no majority".into()), keeper: true, ..GuardSeen::default() };
    let (own, handle) = OwnWatch::new(OwnSetup {
        server: Arc::<FakeServer>::clone(&server),
        process: receiver,
        guard: Arc::new(move || guard.clone()),
        accepts: Arc::new(|_| false),
        nudge: Arc::default(),
        news: Arc::default(),
    });
    let over_network = Arc::clone(&server);
    let connect: Connect = Arc::new(move |_| Arc::<FakeServer>::clone(&over_network));
    let prober = Prober::new(connect, Arc::default());
    let watching = tokio::spawn(own.run());
    let tried = Tried { no_connection_for: Duration::from_secs(9), ..Tried::default() };
    let both = || {
        let differs = vec!["safety.lease_ttl".to_owned()];
        let report = Report { tried: Some(tried.clone()), ..see(Some(&handle), &prober, differs.clone()) };
        (Digest::of(&report), digest(Some(&handle), &prober, differs, Some(&tried)))
    };
    let mut seen = Vec::new();
    let mut check = |what: &str| {
        let (of_report, alone) = both();
        assert_eq!(alone, of_report, "{what}");
        assert!(!seen.contains(&alone), "{what}: nothing new");
        seen.push(alone);
    };
    check("at first");
    prober.follow(&[(NodeName::from("db1"), "db1:3306".to_owned())].into());
    sleep(Duration::from_secs(1)).await;
    check("a writer");
    server.answer(ok(replica));
    sleep(Duration::from_secs(1)).await;
    check("a replica");
    server.answer(refused());
    sleep(Duration::from_secs(1)).await;
    check("refused");
    process.send(Process::Gone { pid: 7 }).unwrap();
    sleep(Duration::from_secs(1)).await;
    check("gone");
    watching.abort();
}
