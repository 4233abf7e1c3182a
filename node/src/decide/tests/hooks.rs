//! Which hooks are run for which moves, and where.

use super::super::hooks::{Event, Hook, Place, Point, When, before_close, events};
use super::*;
use crate::state::{Ending, Finished, Step, StepName};

fn hook(at: Point, when: When, on: Place) -> Hook {
    let command = vec!["/bin/true".to_owned()];
    Hook { name: "tell".into(), at, when, on, command, timeout: ms(1_000) }
}

fn moves(kind: OperationKind, taken: &[StepName]) -> Operation {
    let step = |name: &StepName| Step {
        at_ms: 0,
        node: name_of_db1(),
        name: name.to_string(),
        detail: format!("because of {name}"),
    };
    let mut operation = Operation::of(kind, Epoch(1), name_of_db1());
    operation.steps = taken.iter().map(step).collect();
    operation.wanted = Some(name("db2"));
    operation
}

fn name_of_db1() -> NodeName {
    name("db1")
}

fn points(state: &ClusterState) -> Vec<(Point, bool)> {
    events(state).into_iter().map(|(event, over)| (event.point, over)).collect()
}

#[test]
fn each_point_comes_about_once_its_step_is_taken() {
    let mut state = cluster("db1 db2 db3");
    let mut operation = moves(OperationKind::Switchover, &[StepName::Freeze, StepName::Granted]);
    state.operation = Some(operation.clone());
    assert!(points(&state).is_empty(), "nothing is open yet");
    operation.opened_ms = Some(7);
    state.operation = Some(operation.clone());
    assert_eq!(points(&state), [(Point::AfterOpen, false)]);
    operation.steps.extend(moves(OperationKind::Switchover, &[StepName::Route]).steps);
    state.operation = None;
    state.history.push_back(Finished { operation, ended_ms: 9, ending: Ending::Done }.into());
    assert_eq!(points(&state), [(Point::AfterOpen, true), (Point::AfterRoute, true)]);
}

#[test]
fn a_move_that_fails_says_why_and_one_that_is_superseded_has_not_failed() {
    let mut state = cluster("db1 db2 db3");
    let undone = moves(OperationKind::Switchover, &[StepName::Intent, StepName::Undo]);
    for (ending, fails) in [(Ending::Failed, true), (Ending::Cancelled, true), (Ending::Superseded, false)] {
        state.history = [Finished { operation: undone.clone(), ended_ms: 9, ending }.into()].into();
        let failures: Vec<_> = events(&state).into_iter().map(|(event, _)| event.why).collect();
        assert_eq!(failures, if fails { vec!["because of undo"] } else { vec![] }, "{ending}");
    }
    state.history.clear();
    state.operation = Some(moves(OperationKind::Failover, &[StepName::Held]));
    assert_eq!(points(&state), [(Point::AfterFailure, false)], "nobody to promote");
    state.operation = Some(moves(OperationKind::Rebuild, &[StepName::Route]));
    assert!(points(&state).is_empty(), "no move");
}

#[test]
fn a_hook_is_for_its_point_its_moves_and_its_node() {
    let state = cluster("db1 db2 db3");
    let event = before_close(&state, &moves(OperationKind::Switchover, &[]));
    for (when, planned, unplanned) in
        [(When::Planned, true, false), (When::Unplanned, false, true), (When::Any, true, true)]
    {
        let one = hook(Point::AfterOpen, when, Place::Leader);
        assert_eq!(
            (one.is_for(Point::AfterOpen, true), one.is_for(Point::AfterOpen, false)),
            (planned, unplanned)
        );
        assert!(!one.is_for(Point::AfterRoute, true));
    }
    let runs = |on, event: &Event| -> Vec<&str> {
        let one = hook(Point::BeforeClose, When::Any, on);
        ["db1", "db2", "db3"].into_iter().filter(|n| one.is_mine(event, &name(n), *n == "db3")).collect()
    };
    assert_eq!(runs(Place::OldWriter, &event), ["db1"]);
    assert_eq!(runs(Place::NewWriter, &event), ["db2"]);
    assert_eq!(runs(Place::Leader, &event), ["db3"]);
}

#[test]
fn what_a_hook_is_told() {
    let state = cluster("db1 db2 db3");
    let mut operation = moves(OperationKind::Switchover, &[]);
    (operation.diagnosis, operation.id) = ("asked for by ada".into(), OperationId("7f".into()));
    let told = serde_json::to_string(&before_close(&state, &operation)).unwrap();
    assert_eq!(
        told,
        r#"{"point":"before_close","operation":"7f","kind":"switchover","planned":true,"from_epoch":1,"from":"db1","from_server":"db1:3306","to_epoch":null,"to":"db2","to_server":"db2:3306","why":"asked for by ada"}"#
    );
    operation.to = Some((Epoch(2), name("db3")));
    let told = before_close(&state, &operation);
    assert_eq!((told.to_epoch, told.to), (Some(2), Some(name("db3"))), "who has it, not who was wanted");
}
