//! Rebuilds: whose data may be discarded, and what becomes of a rebuild that is cut off.

use super::*;
use crate::gtid::GtidSet;

fn extra(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}")).unwrap()
}

fn nothing() -> GtidSet {
    extra("1").subtract(&extra("1")).unwrap()
}

fn begin_rebuild(node: &str) -> Change {
    Change::BeginRebuild(BeginRebuild {
        operation: id("r"),
        epoch: Epoch(1),
        node: name(node),
        from: None,
        by: "asked for by me".into(),
    })
}

fn source(attempt: u32, source: &str) -> Change {
    Change::RebuildSource { operation: id("r"), attempt, source: name(source) }
}

fn at(attempt: u32, step: RebuildStep, extra: Option<GtidSet>) -> Change {
    Change::RebuildStep(AtStep { operation: id("r"), attempt, step, extra, detail: String::new() })
}

fn failed(attempt: u32) -> Change {
    Change::RebuildFailed { operation: id("r"), attempt, why: "its source is gone".into() }
}

/// A rebuild of db3 from db2, about to discard.
fn prepared() -> Log {
    let mut log = Log::adopted();
    log.does(begin_rebuild("db3")).unwrap();
    log.does(source(1, "db2")).unwrap();
    log
}

#[test]
fn a_rebuild_puts_its_target_out_and_in_again() {
    let mut log = prepared();
    assert_eq!(log.state.out.get(&name("db3")).unwrap().reason, OutReason::Rebuild);
    assert_eq!(log.does(Change::PutIn { node: name("db3") }), Err(Refusal::Rebuilding(name("db3"))));
    log.by("db3", at(1, RebuildStep::Copy, Some(nothing()))).unwrap();
    log.by("db3", at(1, RebuildStep::Start, None)).unwrap();
    log.by("db3", at(1, RebuildStep::Follow, None)).unwrap();
    assert!(!log.state.out.contains_key(&name("db3")), "it follows the writer from here on");
    log.does(Change::EndRebuild { operation: id("r"), ending: Ending::Done, why: "streams".into() }).unwrap();
    assert_eq!(log.state.rebuild, None);
    let last = log.state.history.back().unwrap();
    assert_eq!((last.ending, last.operation.kind), (Ending::Done, OperationKind::Rebuild));
    assert_eq!(last.operation.from_node, Some(name("db2")), "the history says where the data came from");
}

#[test]
fn neither_the_writer_nor_one_that_nobody_has_succeeded_is_rebuilt() {
    let mut log = Log::adopted();
    assert_eq!(log.does(begin_rebuild("db1")), Err(Refusal::IsWriter(name("db1"))));
    assert_eq!(log.does(begin_rebuild("app1")), Err(Refusal::Witness(name("app1"))));
    log.does(begin("f", 1)).unwrap();
    assert_eq!(
        log.does(begin_rebuild("db3")),
        Err(Refusal::UnderWay(id("f"))),
        "nothing while the writer moves"
    );
}

#[test]
fn a_target_that_became_the_writer_before_it_was_out_keeps_its_data() {
    let mut log = Log::adopted();
    log.does(begin_rebuild("db3")).unwrap();
    log.does(begin("f", 1)).unwrap();
    log.does(grant("f", 1, "db3")).unwrap();
    assert_eq!(log.does(source(1, "db2")), Err(Refusal::UnderWay(id("f"))));
    log.does(Change::End { operation: id("f"), ending: Ending::Done }).unwrap();
    assert_eq!(log.does(source(1, "db2")), Err(Refusal::IsWriter(name("db3"))));
}

#[test]
fn an_out_target_is_never_granted_the_next_epoch() {
    let mut log = prepared();
    log.does(begin("f", 1)).unwrap();
    assert_eq!(log.does(grant("f", 1, "db3")), Err(Refusal::IsOut(name("db3"))));
    let discards = log.by("db3", at(1, RebuildStep::Copy, Some(nothing())));
    assert_eq!(discards, Err(Refusal::UnderWay(id("f"))), "the intent suspends what is not done yet");
}

#[test]
fn only_what_is_archived_is_discarded() {
    let mut log = prepared();
    let copy = |extra| at(1, RebuildStep::Copy, extra);
    assert_eq!(log.by("db3", copy(None)), Err(Refusal::ExtraUnknown(name("db3"))));
    assert_eq!(log.by("db3", copy(Some(extra("7")))), Err(Refusal::NotArchived(name("db3"))));

    let mut log = Log::adopted();
    let reason = OutReason::Quarantine(Quarantine::of(extra("7-9"), Epoch(1)));
    log.does(Change::TakeOut { node: name("db3"), reason }).unwrap();
    log.does(begin_rebuild("db3")).unwrap();
    log.does(source(1, "db2")).unwrap();
    assert_eq!(log.by("db3", copy(Some(extra("7-9")))), Err(Refusal::NotArchived(name("db3"))));
    log.does(Change::Archived(Archive {
        id: "q".into(),
        node: name("db3"),
        epoch: Epoch(1),
        gtids: extra("7-9"),
        bytes: 1,
        path: "/q".into(),
        at_ms: 1,
    }))
    .unwrap();
    assert_eq!(
        log.by("db3", copy(Some(extra("7-10")))),
        Err(Refusal::NotArchived(name("db3"))),
        "more by now"
    );
    log.by("db3", copy(Some(extra("7-9")))).unwrap();
    assert_eq!(
        log.state.out.get(&name("db3")).unwrap().reason,
        OutReason::Rebuild,
        "nothing is left to archive"
    );
}

#[test]
fn steps_are_the_targets_own_and_of_the_present_attempt() {
    let mut log = prepared();
    assert_eq!(log.by("db2", at(1, RebuildStep::Copy, Some(nothing()))), Err(Refusal::RebuildMoved));
    log.by("db3", at(1, RebuildStep::Copy, Some(nothing()))).unwrap();
    assert_eq!(
        log.by("db3", at(1, RebuildStep::Copy, Some(nothing()))),
        Err(Refusal::RebuildMoved),
        "not back"
    );
    log.by("db3", failed(1)).unwrap();
    assert_eq!(
        log.by("db3", at(1, RebuildStep::Start, None)),
        Err(Refusal::RebuildMoved),
        "of an attempt that is over"
    );
    assert_eq!(
        log.by("db3", at(2, RebuildStep::Start, None)),
        Err(Refusal::RebuildMoved),
        "without a source"
    );
    log.does(source(2, "db1")).unwrap();
    log.by("db3", at(2, RebuildStep::Copy, None)).unwrap();
    assert_eq!(
        log.state.rebuild.as_ref().unwrap().failed,
        [name("db2")],
        "what it had is gone: nothing to compare"
    );
}

#[test]
fn a_rebuild_that_fails_again_and_again_ends_and_its_target_stays_out() {
    let mut log = prepared();
    log.by("db3", at(1, RebuildStep::Copy, Some(nothing()))).unwrap();
    for attempt in 1..ATTEMPTS_MAX {
        log.by("db3", failed(attempt)).unwrap();
        log.does(source(attempt + 1, "db2")).unwrap();
    }
    log.by("db3", failed(ATTEMPTS_MAX)).unwrap();
    assert_eq!(log.state.rebuild, None);
    assert_eq!(log.state.history.back().unwrap().ending, Ending::Failed);
    assert!(log.state.out.contains_key(&name("db3")), "its data is not whole");
    log.does(begin_rebuild("db3")).unwrap();
}

#[test]
fn one_that_is_cancelled_before_it_discarded_anything_leaves_no_trace() {
    let mut log = prepared();
    let cancel = || Change::EndRebuild { operation: id("r"), ending: Ending::Cancelled, why: "by me".into() };
    log.does(cancel()).unwrap();
    assert!(log.state.out.is_empty() && log.state.rebuild.is_none());
    assert_eq!(log.does(cancel()), Err(Refusal::NotUnderWay(id("r"))));
}
