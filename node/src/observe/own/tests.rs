#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::*;
use crate::observe::fake::{self, Answers, FakeServer, ok, refused};
use crate::sql::Settings;
use crate::state::Epoch;

struct Bench {
    server: Arc<FakeServer>,
    process: watch::Sender<Process>,
    guard: Arc<Mutex<GuardSeen>>,
    nudge: Arc<Notify>,
    news: Arc<Notify>,
    handle: OwnHandle,
    task: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(answers: Answers) -> Bench {
    let server = FakeServer::new(answers);
    let (process, receiver) = watch::channel(Process::Running { pid: 7 });
    let guard = Arc::new(Mutex::new(GuardSeen::default()));
    let seen = Arc::clone(&guard);
    let (nudge, news) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (watch, handle) = OwnWatch::new(OwnSetup {
        server: Arc::<FakeServer>::clone(&server),
        process: receiver,
        guard: Arc::new(move || seen.lock().unwrap().clone()),
        accepts: Arc::new(|_| false),
        nudge: Arc::clone(&nudge),
        news: Arc::clone(&news),
    });
    let task = tokio::spawn(watch.run());
    Bench { server, process, guard, nudge, news, handle, task }
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn the_pulse_is_taken_and_its_age_counted() {
    let bench = start(ok(fake::writer()));
    sleep(Duration::from_secs(3) + MOMENT).await;
    let own = bench.handle.now();
    assert!(own.pulse.unwrap().open && own.error.is_none());
    assert!(own.pulse_age <= PULSE_EVERY, "{:?}", own.pulse_age);
    let asked = bench.server.asked();
    assert!((20..=25).contains(&asked), "{asked} pulses in 3 s");

    bench.server.answer(Answers::Never);
    sleep(Duration::from_secs(2)).await;
    let age = bench.handle.now().pulse_age;
    assert!(age > Duration::from_millis(1800), "a silent server's pulse grows old: {age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_is_news_even_while_the_server_hangs() {
    let bench = start(ok(fake::writer()));
    sleep(MOMENT).await;
    bench.server.answer(Answers::Never);
    sleep(PULSE_EVERY * 2).await;
    bench.news.notified().await;
    let begun = Instant::now();
    bench.process.send(Process::Gone { pid: 7 }).unwrap();
    bench.news.notified().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let own = bench.handle.now();
    assert!(own.is_gone() && own.pulse.is_some(), "what it had is still known");
}

#[tokio::test(start_paused = true)]
async fn a_nudge_passes_the_guard_on_and_asks_at_once() {
    let bench = start(ok(fake::writer()));
    sleep(MOMENT).await;
    let asked = bench.server.asked();
    bench.guard.lock().unwrap().closed = Epoch(4);
    bench.nudge.notify_one();
    sleep(MOMENT).await;
    assert_eq!(bench.handle.now().guard.closed, Epoch(4));
    assert_eq!(bench.server.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shown_until_the_server_answers_again() {
    let bench = start(refused());
    sleep(MOMENT).await;
    let own = bench.handle.now();
    assert_eq!(own.error.map(|e| e.what).as_deref(), Some("db1:3306: connection refused"));
    assert_eq!(own.pulse, None);
    bench.server.answer(ok(fake::writer()));
    sleep(PULSE_EVERY).await;
    let own = bench.handle.now();
    assert!(own.error.is_none() && own.pulse.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_tried_again_at_once_and_only_once() {
    let bench = start(ok(fake::writer()));
    sleep(MOMENT).await;
    bench.server.answer(Answers::With(Err(SqlError::Gone { message: "reset".into() })));
    let asked = bench.server.asked();
    sleep(PULSE_EVERY + MOMENT).await;
    assert_eq!(bench.server.asked(), asked + 2);
}

#[tokio::test(start_paused = true)]
async fn the_inventory_is_read_seldom_and_after_the_process_changed() {
    let bench = start(ok(fake::writer()));
    sleep(ABOUT_EVERY * 2 / 3).await;
    assert_eq!(bench.server.inventories(), 1);
    assert_eq!(bench.handle.now().about.unwrap().findings, Vec::new());
    bench.server.settings(Some(Settings { sync_binlog: 0, ..fake::safe_settings() }));
    bench.process.send(Process::Running { pid: 8 }).unwrap();
    sleep(PULSE_EVERY).await;
    assert_eq!(bench.server.inventories(), 2);
    assert_eq!(bench.handle.now().about.unwrap().findings.len(), 1);
    // Somebody may be mending what was found.
    sleep(ABOUT_AGAIN + PULSE_EVERY).await;
    assert_eq!(bench.server.inventories(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_was_configured_with_is_forgotten() {
    let bench = start(ok(fake::writer()));
    sleep(PULSE_EVERY * 2).await;
    assert!(bench.handle.now().about.is_some());
    bench.server.settings(None);
    bench.process.send(Process::Running { pid: 8 }).unwrap();
    sleep(PULSE_EVERY * 2).await;
    let own = bench.handle.now();
    assert!(own.about.is_none() && own.pulse.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_is_read_as_soon_as_it_answers() {
    let bench = start(ok(fake::writer()));
    sleep(PULSE_EVERY * 2).await;
    bench.server.settings(None);
    bench.server.answer(refused());
    bench.process.send(Process::Gone { pid: 7 }).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(bench.handle.now().about.is_none());
    bench.server.settings(Some(fake::safe_settings()));
    bench.server.answer(ok(fake::writer()));
    sleep(PULSE_EVERY * 2).await;
    assert!(bench.handle.now().about.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_process_before_is_not_taken_for_the_new_one() {
    let bench = start(Answers::After(Duration::from_millis(100), fake::writer()));
    sleep(Duration::from_millis(50)).await;
    bench.server.answer(refused());
    bench.process.send(Process::Running { pid: 8 }).unwrap();
    sleep(Duration::from_millis(100)).await;
    let own = bench.handle.now();
    assert!(own.pulse.is_none() && own.error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_not_asked_for_its_inventory() {
    let bench = start(refused());
    sleep(Duration::from_secs(90)).await;
    assert!(bench.server.inventories() <= 1, "{}", bench.server.inventories());
    bench.server.answer(ok(fake::writer()));
    advance(PULSE_EVERY).await;
    sleep(Duration::from_secs(1)).await;
    assert!(bench.handle.now().about.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_end_is_ended() {
    let bench = start(Answers::Never);
    sleep(HANG + MOMENT).await;
    assert!(bench.handle.now().error.unwrap().what.contains("no answer within"));
    bench.server.answer(ok(fake::writer()));
    sleep(HANG).await;
    assert!(bench.handle.now().pulse.is_some());
}
