//! When the writer counts as lost.

use super::*;
use crate::decide::diagnose::{Lasting, OPEN_WITHIN, diagnose};
use crate::decide::diagnosis::{LostKind, Trouble, Writer};
use crate::state::OnClosedByHand;

fn writer(state: &ClusterState, seen: &Seen) -> Writer {
    diagnose(state, &seen.look(), Lasting::default()).writer
}

#[track_caller]
fn assert_lost(writer: &Writer, kind: LostKind) {
    assert!(matches!(writer, Writer::Lost(lost) if lost.kind == kind), "{writer:?}");
}

/// A cluster in which all is well, and what it is then changed to see.
fn well() -> (ClusterState, Seen) {
    let state = cluster("db1 db2 app1");
    let seen = Seen::healthy(&state, &my("1:1-9"));
    (state, seen)
}

#[test]
fn a_healthy_writer_serves_and_nothing_is_wrong() {
    let (state, seen) = well();
    let diagnosis = diagnose(&state, &seen.look(), Lasting::default());
    assert_eq!((diagnosis.writer, diagnosis.troubles), (Writer::Serving, vec![]));
}

#[test]
fn the_node_beside_the_server_knows_at_once() {
    let (state, mut seen) = well();
    seen.gone("db1", 50);
    assert_lost(&writer(&state, &seen), LostKind::WriterCrashed);

    let (state, mut seen) = well();
    seen.own("db1").guard.restarted = true;
    assert_lost(&writer(&state, &seen), LostKind::WriterRestarted);

    let (state, mut seen) = well();
    seen.own("db1").guard.closed = Epoch(1);
    assert_lost(&writer(&state, &seen), LostKind::WriterSelfClosed);
}

#[test]
fn an_old_word_of_the_node_is_none() {
    let (state, mut seen) = well();
    seen.gone("db1", 50);
    seen.unheard("db1", 1500);
    assert_eq!(writer(&state, &seen), Writer::Serving);
}

#[test]
fn what_an_earlier_epoch_knew_says_nothing_of_this_one() {
    let (mut state, mut seen) = well();
    state.grant.as_mut().unwrap().epoch = Epoch(2);
    seen.own("db1").guard.restarted = true;
    seen.own("db1").guard.closed = Epoch(1);
    assert_eq!(writer(&state, &seen), Writer::Serving);
}

/// Cuts the writer's host off from these nodes.
fn cut_from(seen: &mut Seen, nodes: &str) {
    seen.unheard("db1", 2000);
    for by in nodes.split_whitespace() {
        seen.probe(by, "db1", silent(2000, ProbeError::Silent));
    }
    seen.channel("db2").received_ago = Some(ms(2000));
}

#[test]
fn unreachability_takes_a_majority_beside_the_writer_and_no_replica_that_receives() {
    let (state, mut seen) = well();
    cut_from(&mut seen, "db2 app1");
    assert_lost(&writer(&state, &seen), LostKind::WriterUnreachable);

    let (state, mut seen) = well();
    cut_from(&mut seen, "db2");
    assert_eq!(writer(&state, &seen), Writer::Serving, "one of three is no majority");

    let (state, mut seen) = well();
    cut_from(&mut seen, "db2 app1");
    seen.unheard("app1", 2000);
    assert_eq!(writer(&state, &seen), Writer::Serving, "a voter not heard has no say");

    let (state, mut seen) = well();
    cut_from(&mut seen, "db1 db2");
    seen.unheard("db1", 50);
    assert_eq!(writer(&state, &seen), Writer::Serving, "the writer's own node does not count");

    let (state, mut seen) = well();
    cut_from(&mut seen, "db2 app1");
    seen.channel("db2").received_ago = Some(ms(400));
    let diagnosis = diagnose(&state, &seen.look(), Lasting::default());
    assert!(matches!(diagnosis.writer, Writer::Suspected(..)), "{diagnosis:?}");
    assert!(diagnosis.troubles.contains(&Trouble::WriterUnreachableButReplicating { replicas: list("db2") }));
    seen.channel("db2").source = "db9:3306".into();
    assert_lost(&writer(&state, &seen), LostKind::WriterUnreachable);
}

/// The node closed its server and ended, because its keeper had died, say, and nobody starts it again.
#[test]
fn a_closed_writer_without_its_node_is_lost() {
    let closed = |by: &str, unheard_for: u64, leading: u64| {
        let (state, mut seen) = well();
        for voter in by.split(' ') {
            seen.probe(voter, "db1", answered(false));
        }
        seen.unheard("db1", unheard_for);
        diagnose(&state, &seen.look(), Lasting { leading: ms(leading), ..Lasting::default() }).writer
    };
    assert_lost(&closed("db2 app1", 2000, 2000), LostKind::WriterSelfClosed);
    assert_eq!(closed("db2", 2000, 2000), Writer::Serving, "one of three is no majority");
    assert_eq!(closed("db2 app1", 1400, 2000), Writer::Serving, "within a lease its node may be back");
    assert_eq!(closed("db2 app1", 2000, 85), Writer::Serving, "a leader of 85 ms has not heard it yet");
}

/// Its receiver still says Yes, a minute after the cut.
#[test]
fn a_receivers_own_word_is_no_evidence() {
    let (state, mut seen) = well();
    cut_from(&mut seen, "db2 app1");
    seen.channel("db2").io_running = true;
    assert_lost(&writer(&state, &seen), LostKind::WriterUnreachable);
}

/// Out of connections, no replica, and the prober counts only successful answers.
#[test]
fn a_server_that_says_no_is_there() {
    for error in [ProbeError::TooManyConnections, ProbeError::Denied, ProbeError::Other] {
        let (state, mut seen) = well();
        cut_from(&mut seen, "db2 app1");
        seen.probe("app1", "db1", silent(9000, error));
        assert_eq!(writer(&state, &seen), Writer::Serving, "{error:?}");
    }
}

#[test]
fn a_writer_closed_by_hand_is_left_alone_for_a_while() {
    let (state, mut seen) = well();
    seen.pulse("db1").open = false;
    for by in ["db1", "db2", "app1"] {
        seen.probe(by, "db1", answered(false));
    }
    let diagnosis = diagnose(&state, &seen.look(), Lasting::default());
    assert_eq!(diagnosis.writer, Writer::Serving);
    assert_eq!(diagnosis.troubles, [Trouble::WriterClosedByHand(name("db1")), Trouble::NoWriter]);
    let lasting = |ms_long| Lasting { closed_by_hand: ms(ms_long), ..Lasting::default() };
    assert_lost(&diagnose(&state, &seen.look(), lasting(30_000)).writer, LostKind::WriterClosedByHand);
    let mut configured = state.clone();
    configured.safety.live.closed_by_hand_ms = 5_000;
    assert_eq!(diagnose(&configured, &seen.look(), lasting(4_999)).writer, Writer::Serving);
    assert_lost(&diagnose(&configured, &seen.look(), lasting(5_000)).writer, LostKind::WriterClosedByHand);
    configured.safety.live.on_closed_by_hand = OnClosedByHand::Leave;
    let left = diagnose(&configured, &seen.look(), lasting(3_600_000));
    assert_eq!(left.writer, Writer::Serving, "it stays closed until somebody decides");
    assert!(left.troubles.contains(&Trouble::WriterClosedByHand(name("db1"))));
}

/// Epoch 1 was adopted: its guard never opened the server. The server restarted while its node was down too.
#[test]
fn an_adopted_writer_that_is_closed_is_not_left_so_for_ever() {
    let (state, mut seen) = well();
    seen.own("db1").guard.opened = Epoch(0);
    seen.pulse("db1").open = false;
    let lasting = Lasting { closed_by_hand: ms(30_000), ..Lasting::default() };
    assert_lost(&diagnose(&state, &seen.look(), lasting).writer, LostKind::WriterClosedByHand);
}

#[test]
fn a_writer_that_does_not_open_in_time_is_lost() {
    let (mut state, mut seen) = well();
    state.grant.as_mut().unwrap().opened_ms = None;
    seen.own("db1").guard.opened = Epoch(0);
    seen.pulse("db1").open = false;
    assert_eq!(writer(&state, &seen), Writer::Opening);
    let late = Lasting { unopened: OPEN_WITHIN, ..Lasting::default() };
    assert_lost(&diagnose(&state, &seen.look(), late).writer, LostKind::WriterNeverOpened);
    seen.own("db1").guard.opened = Epoch(1);
    seen.pulse("db1").open = true;
    let reported_late = diagnose(&state, &seen.look(), late).writer;
    assert_eq!(reported_late, Writer::Opening, "it is open; only the commit is missing");
}

#[test]
fn a_revoked_epoch_is_ending_and_an_observed_cluster_has_no_writer() {
    let (mut state, seen) = well();
    state.revoked_through = Epoch(1);
    assert_eq!(writer(&state, &seen), Writer::Ending);
    state.phase = Phase::Observing;
    assert_eq!(writer(&state, &seen), Writer::None);
}
