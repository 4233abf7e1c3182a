#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::decide::seen::{GuardSeen, OwnServer, Process};
use crate::state::Epoch;

/// Takes reports after `delay`, if at all, and notes when they came and how many were under way at once.
struct Sink {
    delay: Mutex<Option<Duration>>,
    taking: Mutex<bool>,
    came: Mutex<Vec<(Duration, Report)>>,
    under_way: Mutex<u32>,
    begun: Instant,
}

struct UnderWay<'a>(&'a Mutex<u32>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap() -= 1;
    }
}

impl ReportSink for Sink {
    fn send(&self, report: Report) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            *self.under_way.lock().unwrap() += 1;
            let _end = UnderWay(&self.under_way);
            assert_eq!(*self.under_way.lock().unwrap(), 1, "one at a time");
            self.came.lock().unwrap().push((self.begun.elapsed(), report));
            let delay = *self.delay.lock().unwrap();
            match delay {
                Some(delay) => sleep(delay).await,
                None => std::future::pending().await,
            }
            *self.taking.lock().unwrap()
        })
    }
}

struct Bench {
    sink: Arc<Sink>,
    seen: Arc<Mutex<OwnServer>>,
    news: Arc<Notify>,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bench {
    fn start() -> Self {
        let sink = Arc::new(Sink {
            delay: Mutex::new(Some(Duration::from_millis(1))),
            taking: Mutex::new(true),
            came: Mutex::default(),
            under_way: Mutex::default(),
            begun: Instant::now(),
        });
        let seen = Arc::new(Mutex::new(OwnServer {
            process: Process::Running { pid: 7 },
            pulse: None,
            pulse_age: Duration::ZERO,
            error: None,
            guard: GuardSeen::default(),
            about: None,
        }));
        let (news, nudge) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let own = Arc::clone(&seen);
        let see = move || Report { own: Some(own.lock().unwrap().clone()), ..Report::default() };
        let digest = see.clone();
        let reporter = Reporter::new(ReporterSetup {
            see: Arc::new(see),
            digest: Arc::new(move || Digest::of(&digest())),
            sink: Arc::<Sink>::clone(&sink),
            news: Arc::clone(&news),
            nudge: Arc::clone(&nudge),
            first_serial: 1000,
        });
        Self { sink, seen, news, nudge, task: tokio::spawn(reporter.run()) }
    }

    fn change(&self, change: impl FnOnce(&mut OwnServer)) {
        change(&mut self.seen.lock().unwrap());
        self.news.notify_one();
    }

    /// When the reports came, in milliseconds since the start.
    fn times(&self) -> Vec<u128> {
        self.sink.came.lock().unwrap().iter().map(|(at, _)| at.as_millis()).collect()
    }

    fn last(&self) -> Report {
        self.sink.came.lock().unwrap().last().unwrap().1.clone()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn at_rest_five_reports_a_second_with_rising_serials() {
    let bench = Bench::start();
    sleep(ms(650)).await;
    assert_eq!(bench.times(), [0, 200, 400, 600]);
    let came = bench.sink.came.lock().unwrap();
    let serials: Vec<u64> = came.iter().map(|(_, r)| r.serial).collect();
    assert_eq!(serials, [1000, 1001, 1002, 1003]);
}

#[tokio::test(start_paused = true)]
async fn what_matters_goes_out_at_once() {
    let bench = Bench::start();
    sleep(ms(50)).await;
    bench.change(|own| own.process = Process::Gone { pid: 7 });
    sleep(ms(20)).await;
    assert_eq!(bench.times(), [0, 50]);
    bench.change(|own| own.guard.closed = Epoch(3));
    sleep(ms(20)).await;
    bench.change(|own| own.error = Some(crate::decide::sample::no_answer()));
    sleep(ms(20)).await;
    assert_eq!(bench.times(), [0, 50, 70, 90]);
    assert_eq!(bench.last().own.unwrap().guard.closed, Epoch(3));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_matter_waits_for_the_next_report() {
    let bench = Bench::start();
    sleep(ms(50)).await;
    bench.change(|own| own.guard.lease = Some((Epoch(3), ms(1500))));
    sleep(ms(50)).await;
    bench.change(|own| own.guard.lease = Some((Epoch(3), ms(1400))));
    bench.change(|own| own.pulse_age = ms(90));
    sleep(ms(100)).await;
    assert_eq!(bench.times(), [0, 50], "the new lease and not its time left");
}

#[tokio::test(start_paused = true)]
async fn a_nudge_sends_one() {
    let bench = Bench::start();
    sleep(ms(50)).await;
    bench.nudge.notify_one();
    sleep(ms(50)).await;
    assert_eq!(bench.times(), [0, 50]);
}

#[tokio::test(start_paused = true)]
async fn news_waits_a_little_for_the_report_under_way_and_the_newest_wins() {
    let bench = Bench::start();
    sleep(ms(10)).await;
    *bench.sink.delay.lock().unwrap() = None;
    sleep(ms(200)).await;
    bench.change(|own| own.process = Process::Gone { pid: 7 });
    sleep(ms(30)).await;
    bench.change(|own| own.process = Process::Running { pid: 8 });
    sleep(ms(100)).await;
    assert_eq!(bench.times()[..3], [0, 200, 260]);
    assert_eq!(bench.last().own.unwrap().process, Process::Running { pid: 8 });
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_does_not_wait_for_the_report_to_the_old_one() {
    let bench = Bench::start();
    sleep(ms(10)).await;
    *bench.sink.delay.lock().unwrap() = None;
    sleep(ms(200)).await;
    bench.nudge.notify_one();
    sleep(ms(1)).await;
    *bench.sink.delay.lock().unwrap() = Some(ms(1));
    sleep(ms(100)).await;
    assert_eq!(bench.times(), [0, 200, 260]);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_nobody_takes_is_given_up() {
    let bench = Bench::start();
    sleep(ms(10)).await;
    *bench.sink.delay.lock().unwrap() = None;
    sleep(ms(1100)).await;
    assert_eq!(bench.times(), [0, 200, 600, 1000]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_it_tries_more_often() {
    let bench = Bench::start();
    *bench.sink.taking.lock().unwrap() = false;
    sleep(ms(350)).await;
    assert_eq!(bench.times(), [0, 100, 200, 300]);
}
