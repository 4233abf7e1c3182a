//! What a node's trials of its own server lead to.

use super::*;
use crate::decide::diagnose::{CANNOT_WRITE_FOR, Lasting, diagnose};
use crate::decide::diagnosis::{Diagnosis, LostKind, Trouble, Writer};
use crate::decide::tried::{Disk, Tried, Write};

const GIB: u64 = 1 << 30;

fn hangs(for_ms: u64) -> Tried {
    Tried {
        no_connection_for: ms(for_ms),
        connection_error: Some(ProbeError::Silent),
        no_commit_for: ms(for_ms),
        write: Write::Blocked,
        ..Tried::default()
    }
}

fn disk(free: u64, read_only: bool) -> Option<Disk> {
    Some(Disk { free, size: 100 * GIB, read_only })
}

/// A healthy cluster whose writer's node tried this.
fn after(tried: Tried, change: impl FnOnce(&mut Seen)) -> Diagnosis {
    let state = cluster("db1 db2 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    seen.reports.get_mut(&name("db1")).unwrap().0.tried = Some(tried);
    change(&mut seen);
    diagnose(&state, &seen.look(), Lasting::default())
}

/// Nobody else has an answer from the writer's server, and nothing is received from it.
fn silent_to_all(seen: &mut Seen) {
    for by in ["db2", "app1"] {
        seen.probe(by, "db1", silent(1600, ProbeError::Silent));
    }
    seen.channel("db2").received_ago = Some(ms(1600));
}

enum Leads {
    Nowhere,
    To(LostKind),
    Alert(&'static str),
}

#[test]
fn a_hang_takes_a_connection_and_a_write_that_both_do_not_come_through() {
    type Case = (&'static str, Tried, fn(&mut Seen), Leads);
    let cases: [Case; 8] = [
        ("to everybody", hangs(600), silent_to_all, Leads::To(LostKind::WriterHung)),
        ("seen by its node alone", hangs(1600), |_| (), Leads::Nowhere),
        ("for twice as long", hangs(3000), |_| (), Leads::To(LostKind::WriterHung)),
        (
            "only new connections",
            Tried { no_commit_for: ms(0), write: Write::Committed, ..hangs(9000) },
            |_| (),
            Leads::Nowhere,
        ),
        (
            "only writes",
            Tried { no_connection_for: ms(0), ..hangs(3000) },
            |_| (),
            Leads::Alert("a commit does not come through"),
        ),
        (
            "the ackers' fault",
            Tried { write: Write::AckersMissing, no_connection_for: ms(0), ..hangs(60_000) },
            |_| (),
            Leads::Nowhere,
        ),
        (
            "the way to it and not the server",
            Tried::default(),
            silent_to_all,
            Leads::To(LostKind::WriterUnreachable),
        ),
        ("an old word", hangs(9000), |seen| seen.unheard("db1", 1500), Leads::Nowhere),
    ];
    for (case, tried, change, leads) in cases {
        let diagnosis = after(tried, change);
        match (&diagnosis.writer, &leads) {
            (Writer::Lost(lost), Leads::To(kind)) if lost.kind == *kind => {}
            (Writer::Serving, Leads::Nowhere) => assert_eq!(diagnosis.troubles, [], "{case}"),
            (Writer::Serving, Leads::Alert(why)) => {
                let alert = Trouble::WriterCannotWrite(name("db1"), (*why).into());
                assert_eq!(diagnosis.troubles, [alert], "{case}");
            }
            _ => panic!("{case}: {diagnosis:?}"),
        }
    }
}

#[test]
fn a_writer_that_cannot_write_is_named_and_lost_when_it_stays_so() {
    let failed = || Write::Failed("server error 1021: no space".into());
    for (write, disk, why) in [
        (failed(), None, "server error 1021: no space"),
        (failed(), disk(0, false), "its disk is full"),
        (Write::Blocked, disk(0, false), "its disk is full"),
        (Write::Blocked, disk(50 * GIB, true), "its file system is read-only"),
        (Write::Blocked, disk(50 * GIB, false), "a commit does not come through"),
    ] {
        let tried = Tried { no_commit_for: ms(2000), write, disk, ..Tried::default() };
        let diagnosis = after(tried.clone(), |_| ());
        assert_eq!(diagnosis.writer, Writer::Serving, "{why}");
        let alert = Trouble::WriterCannotWrite(name("db1"), why.into());
        assert!(diagnosis.troubles.contains(&alert), "{why}: {diagnosis:?}");
        let stays = after(Tried { no_commit_for: CANNOT_WRITE_FOR, ..tried }, |_| ());
        let lost = matches!(&stays.writer, Writer::Lost(lost) if lost.kind == LostKind::WriterCannotWrite);
        assert!(lost, "{why}: {stays:?}");
    }
}

#[test]
fn a_closed_writer_is_closed_by_hand_and_not_unable_to_write() {
    let tried = Tried { no_commit_for: ms(2000), write: Write::Blocked, ..Tried::default() };
    let closed = after(tried, |seen| {
        seen.pulse("db1").open = false;
        for by in ["db1", "db2", "app1"] {
            seen.probe(by, "db1", answered(false));
        }
    });
    assert_eq!(closed.troubles, [Trouble::WriterClosedByHand(name("db1")), Trouble::NoWriter]);
}

#[test]
fn without_a_connection_left_the_writer_serves_on() {
    let full = Tried { connection_error: Some(ProbeError::TooManyConnections), ..Tried::default() };
    let used_up = Tried { sessions: Some((151, 151)), ..Tried::default() };
    for tried in [full, used_up] {
        let diagnosis = after(tried, |_| ());
        assert_eq!(diagnosis.writer, Writer::Serving);
        assert_eq!(diagnosis.troubles, [Trouble::WriterOutOfConnections(name("db1"))]);
    }
    assert_eq!(after(Tried { sessions: Some((150, 151)), ..Tried::default() }, |_| ()).troubles, []);
}

#[test]
fn a_disk_is_nearly_full_below_a_twentieth_unless_that_is_plenty() {
    for (free_gib, size_gib, nearly_full) in [
        (50, 100, false),
        (5, 100, false),
        (4, 100, true),
        (30, 1000, false),
        (19, 1000, true),
        (0, 0, false),
    ] {
        let disk = Disk { free: free_gib * GIB, size: size_gib * GIB, read_only: false };
        let found = after(Tried { disk: Some(disk), ..Tried::default() }, |_| ()).troubles;
        let expected = nearly_full.then_some(Trouble::DiskNearlyFull(name("db1"), disk));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{free_gib} of {size_gib}");
    }
}

#[test]
fn clocks_that_differ_and_voters_that_are_missing_are_told_of() {
    let state = cluster("db1 db2 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let look = |seen: &Seen, ahead: i64| {
        let mut looked = seen.look();
        looked.clock_ahead_ms.insert(name("db2"), ahead);
        diagnose(&state, &looked, Lasting::default()).troubles
    };
    assert_eq!(look(&seen, -900), []);
    assert_eq!(look(&seen, -1500), [Trouble::ClockSkew(name("db2"), -1500)]);
    assert_eq!(look(&seen, 60_000), [Trouble::ClockSkew(name("db2"), 60_000)]);
    seen.unheard("db2", 4000);
    seen.unheard("app1", 4000);
    assert!(look(&seen, 0).contains(&Trouble::QuorumLost { answer: 1, of: 3 }));
}
