#![allow(clippy::unwrap_used)]

use tokio::time::advance;

use super::super::fake;
use super::super::pulse::{Receiving, convert};
use super::*;
use crate::decide::seen::{GuardSeen, Process};

const MS: Duration = Duration::from_millis(1);

/// An open writer that has committed this much.
fn writer(upto: u32) -> OwnServer {
    let mut pulse = convert(&fake::writer(), &mut Receiving::default(), Instant::now());
    pulse.executed = GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{upto}")).unwrap();
    OwnServer {
        process: Process::Running { pid: 7 },
        pulse: Some(pulse),
        pulse_age: MS * 50,
        error: None,
        guard: GuardSeen::default(),
        about: None,
    }
}

fn timed_out() -> Result<(), SqlError> {
    Err(SqlError::TimedOut { what: "a write", after: WRITE_WITHIN })
}

/// Looks every 200 ms for so long; how often a write was due.
async fn looks(record: &mut Record, own: &mut impl FnMut(u32) -> OwnServer, for_ms: u32) -> u32 {
    let mut due = 0;
    for step in 0..for_ms / 200 {
        if record.is_write_due(&own(step), Instant::now()) {
            due += 1;
            record.wrote(Ok(()), &own(step), Instant::now());
        }
        advance(LOOK_EVERY).await;
    }
    due
}

#[tokio::test(start_paused = true)]
async fn a_busy_writer_is_not_written_to_and_an_idle_one_every_ten_seconds() {
    let mut record = Record::default();
    assert_eq!(looks(&mut record, &mut |step| writer(step + 1), 60_000).await, 0);
    let mut record = Record::default();
    assert_eq!(looks(&mut record, &mut |_| writer(1), 60_000).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_about_calls_for_a_write() {
    let mut record = Record::default();
    assert!(!record.is_write_due(&writer(1), Instant::now()));
    record.connecting_since = Some(Instant::now());
    advance(MS * 200).await;
    assert!(!record.is_write_due(&writer(1), Instant::now()), "too early");
    advance(MS * 200).await;
    assert!(record.is_write_due(&writer(1), Instant::now()));
    record.wrote(timed_out(), &OwnServer { pulse_age: MS * 900, ..writer(1) }, Instant::now());
    advance(MS * 1500).await;
    let tried = record.at(Instant::now());
    assert_eq!((tried.no_commit_for, tried.write), (MS * 1500, Write::Blocked));
    assert_eq!(tried.no_connection_for, MS * 1900);
    assert!(record.at(Instant::now()).hung(MS * 1500).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_calls_for_a_write() {
    let mut record = Record::default();
    assert!(!record.is_write_due(&writer(1), Instant::now()));
    advance(MS * 400).await;
    record.disk = Some(Disk { free: 1 << 30, size: 1 << 34, read_only: false });
    assert!(!record.is_write_due(&writer(1), Instant::now()), "there is room");
    record.disk = Some(Disk { free: 0, size: 1 << 34, read_only: false });
    assert!(record.is_write_due(&writer(1), Instant::now()));
    record.wrote(Ok(()), &writer(1), Instant::now());
    assert!(!record.is_write_due(&writer(1), Instant::now()), "not again at once");
}

/// It was busy until then, and the first write is still on its way.
#[tokio::test(start_paused = true)]
async fn a_busy_writer_that_stops_hangs() {
    let mut record = Record::default();
    looks(&mut record, &mut |step| writer(step + 1), 1000).await;
    assert_eq!(record.at(Instant::now()).write, Write::Committed);
    record.connecting_since = Some(Instant::now());
    advance(MS * 700).await;
    assert!(record.is_write_due(&OwnServer { pulse_age: MS * 700, ..writer(5) }, Instant::now()));
    advance(MS * 400).await;
    assert!(record.at(Instant::now()).hung(MS * 400).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_its_ackers_is_their_fault() {
    let mut record = Record::default();
    let mut own = writer(1);
    own.pulse.as_mut().unwrap().waiting = 1;
    record.is_write_due(&writer(1), Instant::now());
    record.wrote(timed_out(), &own, Instant::now());
    assert_eq!(record.at(Instant::now()).write, Write::AckersMissing);
    advance(WRITE_EVERY * 2).await;
    assert!(!record.is_write_due(&own, Instant::now()), "a further one would only wait as well");
    assert_eq!(record.at(Instant::now()).hung(MS), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_write_says() {
    let other = |errno| Err(SqlError::Other { errno, message: "disk full".into() });
    let read_only = || Err(SqlError::ReadOnly { message: "--super-read-only".into() });
    let failed = |text: &str| Write::Failed(text.into());
    for (written, says, fails) in [
        (Ok(()), Write::Committed, false),
        (timed_out(), Write::Blocked, true),
        (other(1021), failed("server error 1021: disk full"), true),
        (Err(SqlError::LockWaitTimeout), Write::NotTried, false),
        (read_only(), Write::NotTried, false),
    ] {
        let mut record = Record { writing_since: Some(Instant::now()), ..Record::default() };
        advance(MS * 700).await;
        record.wrote(written, &writer(1), Instant::now());
        let tried = record.at(Instant::now());
        assert_eq!(tried.write, says);
        assert_eq!(tried.no_commit_for > Duration::ZERO, fails, "{says:?}");
    }
}

/// On a disk that stands still the first write never ends, and the next ones wait for its locks.
#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_the_one_before_it_is_blocked_too() {
    let mut record = Record::default();
    record.is_write_due(&writer(1), Instant::now());
    advance(WRITE_EVERY).await;
    assert!(record.is_write_due(&writer(1), Instant::now()));
    for answer in [timed_out(), Err(SqlError::LockWaitTimeout), Err(SqlError::LockWaitTimeout)] {
        advance(MS * 1500).await;
        record.wrote(answer, &writer(1), Instant::now());
        record.is_write_due(&writer(1), Instant::now());
    }
    let tried = record.at(Instant::now());
    assert_eq!((tried.no_commit_for, tried.write), (MS * 4500, Write::Blocked));
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_anybody_ends_the_count() {
    let mut record = Record::default();
    record.is_write_due(&writer(1), Instant::now());
    record.writing_since = Some(Instant::now());
    record.wrote(timed_out(), &writer(1), Instant::now());
    advance(MS * 1000).await;
    assert!(record.at(Instant::now()).no_commit_for >= MS * 1000);
    record.is_write_due(&writer(2), Instant::now());
    assert_eq!(record.at(Instant::now()).no_commit_for, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_no_has_taken_the_connection() {
    let mut record = Record { connecting_since: Some(Instant::now()), ..Record::default() };
    advance(MS * 900).await;
    record.connected(Err(SqlError::TooManyConnections));
    let tried = record.at(Instant::now());
    assert_eq!(tried.no_connection_for, Duration::ZERO);
    assert!(tried.is_out_of_connections());
    record.connecting_since = Some(Instant::now());
    advance(MS * 900).await;
    record.connected(Err(SqlError::Gone { message: "reset".into() }));
    assert_eq!(record.at(Instant::now()).no_connection_for, MS * 900);
}

#[test]
fn the_disk_of_a_folder_is_seen() {
    let seen = disk(std::env::temp_dir()).unwrap();
    assert!(seen.size > 0 && seen.free <= seen.size && !seen.read_only, "{seen:?}");
    assert_eq!(disk("/nowhere/at/all".into()), None);
}
