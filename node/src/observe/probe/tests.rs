#![allow(clippy::unwrap_used)]

use tokio::time::sleep;

use super::*;
use crate::decide::seen::{GuardSeen, ProbeError, Process, Replica};
use crate::gtid::GtidSet;
use crate::observe::fake::{self, Answers, FakeServer, ok, refused};
use crate::observe::own::{OwnSetup, OwnWatch};
use crate::sql::Pulse;

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

fn with_executed(pulse: Pulse, transactions: u64) -> Pulse {
    let set =
        GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{transactions}")).unwrap();
    Pulse { executed: set, ..pulse }
}

#[tokio::test(start_paused = true)]
async fn a_server_at_rest_is_glanced_at_two_times_of_three() {
    let mut lags = fake::replica_of("db9", 3306);
    lags.replication.as_mut().unwrap().seconds_behind = Some(1);
    let mut stands = fake::replica_of("db9", 3306);
    stands.replication.as_mut().unwrap().io_running = false;
    let detached = Pulse { replication: None, ..fake::replica_of("db9", 3306) };
    for (what, pulse, glances) in [
        ("an open one", fake::writer(), 6),
        ("a replica", fake::replica_of("db9", 3306), 6),
        ("one that lags", lags, 0),
        ("one that stands still", stands, 0),
        ("one that replicates from nobody", detached, 0),
    ] {
        let bench = Bench::start(ok(pulse));
        sleep(EVERY * 9 + MOMENT).await;
        assert_eq!((bench.server.asked(), bench.server.glances()), (10, glances), "{what}");
        let probe = bench.db1();
        assert!(probe.error.is_none() && probe.silent_for == MOMENT, "a glance is an answer: {probe:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_glance_finds_new_is_read_whole_at_once() {
    let before = || with_executed(fake::replica_of("db9", 3306), 7);
    let mut stands = before();
    stands.replication.as_mut().unwrap().sql_running = false;
    let mut lags = with_executed(before(), 8);
    lags.replication.as_mut().unwrap().seconds_behind = Some(9);
    for (what, now) in [("opened", with_executed(fake::writer(), 7)), ("stands", stands), ("lags", lags)] {
        let bench = Bench::start(ok(before()));
        // The next two are glances.
        sleep(MOMENT).await;
        bench.server.answer(ok(now.clone()));
        sleep(EVERY).await;
        assert_eq!(bench.server.glances(), 1, "{what}");
        let (probe, channel) = (bench.db1(), now.replication.as_ref());
        assert_eq!(probe.open, Some(!now.switch.is_closed()), "{what}");
        assert_eq!(probe.executed.as_ref(), Some(&now.executed), "{what}");
        let seen = probe.replica.map(|r| (r.stopped_for.is_some(), r.behind.map(|b| b.as_secs())));
        assert_eq!(seen, channel.map(|c| (!c.sql_running, c.seconds_behind)), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn news_of_one_server_has_the_others_read_whole_at_once() {
    let (writer, replica) =
        (FakeServer::new(ok(fake::writer())), FakeServer::new(ok(fake::replica_of("db1", 3306))));
    let (one, other) = (Arc::clone(&writer), Arc::clone(&replica));
    let connect: Connect = Arc::new(move |address| match address {
        "db1:3306" => Arc::<FakeServer>::clone(&one),
        _ => Arc::<FakeServer>::clone(&other),
    });
    let prober = Prober::new(connect, Arc::default());
    let servers = [("db1", "db1:3306"), ("db2", "db2:3306")].map(|(n, a)| (NodeName::from(n), a.to_owned()));
    prober.follow(&servers.clone().into());
    sleep(EVERY + MOMENT).await;
    assert_eq!((replica.asked(), replica.glances()), (2, 1));
    // It has received what it has not applied: no glance at it shows that.
    let mut lags = fake::replica_of("db1", 3306);
    lags.replication.as_mut().unwrap().seconds_behind = Some(30);
    replica.answer(ok(lags));
    writer.answer(ok(with_executed(fake::writer(), 1)));
    sleep(EVERY).await;
    let behind = prober.now()[&NodeName::from("db2")].replica.as_ref().unwrap().behind;
    assert_eq!(behind, Some(Duration::from_secs(30)));

    // So does a change of the replicated state, also where the source is changed between two looks.
    replica.answer(ok(fake::replica_of("db1", 3306)));
    sleep(Duration::from_secs(3)).await;
    let glances = replica.glances();
    while replica.glances() == glances {
        sleep(EVERY).await;
    }
    replica.answer(ok(fake::replica_of("db9", 3306)));
    prober.follow(&servers.into());
    sleep(MOMENT).await;
    assert_eq!(prober.now()[&NodeName::from("db2")].replica.as_ref().unwrap().source, "db9:3306");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_glances_is_asked_for_its_pulse() {
    let bench = Bench::start(ok(fake::writer()));
    bench.server.refuse_glances(Some(SqlError::Other { errno: 1142, message: String::new() }));
    sleep(Duration::from_secs(30) + MOMENT).await;
    let probe = bench.db1();
    assert!(probe.error.is_none() && probe.silent_for <= EVERY, "{probe:?}");
    assert_eq!(bench.server.glances(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_own_server_is_probed_seldom_while_its_watch_shows_the_same() {
    let (local, network) = (FakeServer::new(ok(fake::writer())), FakeServer::new(ok(fake::writer())));
    let (process, receiver) = watch::channel(Process::Running { pid: 7 });
    let (own, handle) = OwnWatch::new(OwnSetup {
        server: Arc::<FakeServer>::clone(&local),
        process: receiver,
        guard: Arc::new(GuardSeen::default),
        accepts: Arc::new(|_| false),
        nudge: Arc::default(),
        news: Arc::default(),
    });
    let watching = tokio::spawn(own.run());
    let over = Arc::clone(&network);
    let connect: Connect = Arc::new(move |_| Arc::<FakeServer>::clone(&over));
    let prober = Prober::new(connect, Arc::default());
    prober.spare(NodeName::from("db1"), handle);
    prober.follow(&[(NodeName::from("db1"), "db1:3306".to_owned())].into());
    let db1 = || prober.now().remove(&NodeName::from("db1")).unwrap();
    sleep(Duration::from_secs(10) + MOMENT).await;
    assert!((10..=13).contains(&network.asked()), "{} in 10 s", network.asked());

    // Closed: its watch finds that sooner than a probe would have been due.
    sleep(EVERY * 2).await;
    local.answer(ok(fake::replica_of("db9", 3306)));
    network.answer(ok(fake::replica_of("db9", 3306)));
    sleep(Duration::from_millis(151)).await;
    assert_eq!((db1().open, db1().replica.is_some()), (Some(false), true));

    // Gone, and while it does not come back it is probed as the others are.
    for server in [&local, &network] {
        server.answer(refused());
    }
    sleep(Duration::from_secs(2)).await;
    process.send(Process::Gone { pid: 7 }).unwrap();
    sleep(MOMENT).await;
    assert_eq!(db1().error, Some(ProbeError::Refused));
    let asked = network.asked();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(network.asked() - asked, 10);
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn the_own_server_is_probed_as_others_once_its_watch_hears_nothing() {
    let (local, network) = (FakeServer::new(ok(fake::writer())), FakeServer::new(ok(fake::writer())));
    let (_process, receiver) = watch::channel(Process::Running { pid: 7 });
    let (own, handle) = OwnWatch::new(OwnSetup {
        server: Arc::<FakeServer>::clone(&local),
        process: receiver,
        guard: Arc::new(GuardSeen::default),
        accepts: Arc::new(|_| false),
        nudge: Arc::default(),
        news: Arc::default(),
    });
    let watching = tokio::spawn(own.run());
    let over = Arc::clone(&network);
    let connect: Connect = Arc::new(move |_| Arc::<FakeServer>::clone(&over));
    let prober = Prober::new(connect, Arc::default());
    prober.spare(NodeName::from("db1"), handle);
    prober.follow(&[(NodeName::from("db1"), "db1:3306".to_owned())].into());
    sleep(Duration::from_secs(5)).await;
    local.answer(Answers::Never);
    sleep(OWN_FRESH + EVERY).await;
    let asked = network.asked();
    sleep(EVERY * 10).await;
    let more = network.asked() - asked;
    assert!((9..=11).contains(&more), "{more}");
    watching.abort();
}
