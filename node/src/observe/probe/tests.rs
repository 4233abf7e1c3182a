#![allow(clippy::unwrap_used)]

use tokio::time::sleep;

use super::*;
use crate::observe::fake::{self, Answers, FakeServer, ok, refused};

struct Bench {
    server: Arc<FakeServer>,
    made: Arc<Mutex<Vec<String>>>,
    prober: Prober,
}

impl Bench {
    fn start(answers: Answers) -> Self {
        let server = FakeServer::new(answers);
        let made = Arc::new(Mutex::new(Vec::new()));
        let (one, list) = (Arc::clone(&server), Arc::clone(&made));
        let connect: Connect = Arc::new(move |address| {
            list.lock().unwrap().push(address.to_owned());
            Arc::<FakeServer>::clone(&one)
        });
        let prober = Prober::new(connect, Arc::new(Notify::new()));
        let bench = Self { server, made, prober };
        bench.follow(&[("db1", "db1:3306")]);
        bench
    }

    fn follow(&self, servers: &[(&str, &str)]) {
        let servers = servers.iter().map(|(n, a)| (NodeName::from(*n), (*a).to_owned()));
        self.prober.follow(&servers.collect());
    }

    fn db1(&self) -> Probe {
        self.prober.now().remove(&NodeName::from("db1")).unwrap()
    }
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn silence_is_counted_from_the_last_answer() {
    let bench = Bench::start(ok(fake::writer()));
    sleep(EVERY * 10 + MOMENT).await;
    let probe = bench.db1();
    assert!(probe.ever && probe.open == Some(true) && probe.executed.is_some() && probe.error.is_none());
    assert_eq!(probe.silent_for, MOMENT);
    bench.server.answer(Answers::Never);
    sleep(EVERY + LATE).await;
    let probe = bench.db1();
    assert_eq!(probe.error, Some(ProbeError::Silent));
    assert_eq!(probe.silent_for, EVERY + LATE + MOMENT);
    assert_eq!(probe.open, Some(true), "as it was when it last answered");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answered_is_silent_since_probing_began() {
    let bench = Bench::start(refused());
    sleep(Duration::from_secs(4)).await;
    let probe = bench.db1();
    assert_eq!((probe.ever, probe.error, probe.open), (false, Some(ProbeError::Refused), None));
    assert_eq!(probe.silent_for, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn saying_no_is_an_answer() {
    for (error, kind) in [
        (SqlError::TooManyConnections, ProbeError::TooManyConnections),
        (SqlError::AccessDenied { message: String::new() }, ProbeError::Denied),
        (SqlError::Other { errno: 1064, message: String::new() }, ProbeError::Other),
    ] {
        let bench = Bench::start(Answers::With(Err(error)));
        sleep(Duration::from_secs(3) + MOMENT).await;
        let probe = bench.db1();
        assert_eq!(probe.error, Some(kind));
        assert!(probe.ever && probe.silent_for <= EVERY, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_an_answer() {
    let bench = Bench::start(Answers::After(LATE + MOMENT, fake::writer()));
    sleep(LATE).await;
    sleep(MOMENT / 2).await;
    assert_eq!(bench.db1().error, Some(ProbeError::Silent));
    sleep(MOMENT * 2).await;
    assert_eq!(bench.db1().error, None);
    assert!(bench.db1().ever);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_made_again_at_once() {
    let bench = Bench::start(ok(fake::writer()));
    sleep(MOMENT).await;
    bench.server.answer(Answers::With(Err(SqlError::Gone { message: "reset".into() })));
    let asked = bench.server.asked();
    sleep(EVERY).await;
    assert_eq!(bench.server.asked(), asked + 2);
    sleep(EVERY).await;
    assert_eq!(bench.server.asked(), asked + 3, "and then in step again");
}

#[tokio::test(start_paused = true)]
async fn a_long_silent_server_is_asked_seldom_a_refusing_one_is_not() {
    let gone = || Answers::With(Err(SqlError::Gone { message: "timeout".into() }));
    for (answers, range) in [(gone(), 4..=7), (refused(), 30..=35)] {
        let bench = Bench::start(answers);
        sleep(LONG_SILENT + EVERY).await;
        let asked = bench.server.asked();
        sleep(LONG_SILENT).await;
        let more = bench.server.asked() - asked;
        assert!(range.contains(&more), "{more} probes in {LONG_SILENT:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_shows_its_source_its_lag_and_for_how_long_it_stands_still() {
    let mut pulse = fake::replica_of("db9", 3306);
    pulse.replication.as_mut().unwrap().seconds_behind = Some(3);
    let bench = Bench::start(ok(pulse.clone()));
    sleep(MOMENT).await;
    let runs = Replica { source: "db9:3306".into(), stopped_for: None, behind: Some(Duration::from_secs(3)) };
    assert_eq!(bench.db1().replica, Some(runs.clone()));
    for stands in [(true, false), (false, true)] {
        let channel = pulse.replication.as_mut().unwrap();
        (channel.io_running, channel.sql_running) = stands;
        bench.server.answer(ok(pulse.clone()));
        sleep(EVERY * 3).await;
        let seen = bench.db1().replica.unwrap().stopped_for;
        assert_eq!(seen, Some(EVERY * 2 + MOMENT), "{stands:?}");
        let channel = pulse.replication.as_mut().unwrap();
        (channel.io_running, channel.sql_running) = (true, true);
        bench.server.answer(ok(pulse.clone()));
        sleep(EVERY).await;
        assert_eq!(bench.db1().replica, Some(runs.clone()), "{stands:?}");
    }
    bench.server.answer(ok(fake::writer()));
    sleep(EVERY).await;
    assert_eq!(bench.db1().replica, None);
}

#[tokio::test(start_paused = true)]
async fn servers_come_go_and_move() {
    let bench = Bench::start(ok(fake::writer()));
    sleep(MOMENT).await;
    bench.follow(&[("db1", "db1:3306"), ("db2", "db2:3306")]);
    sleep(MOMENT).await;
    assert_eq!(bench.prober.now().len(), 2);
    bench.follow(&[("db1", "db1:3307")]);
    assert!(!bench.db1().ever, "another address is another server");
    sleep(MOMENT).await;
    assert!(bench.db1().ever);
    assert_eq!(*bench.made.lock().unwrap(), ["db1:3306", "db2:3306", "db1:3307"]);

    bench.follow(&[]);
    let asked = bench.server.asked();
    sleep(EVERY * 10).await;
    assert_eq!(bench.server.asked(), asked, "nobody probes what nobody follows");
}
