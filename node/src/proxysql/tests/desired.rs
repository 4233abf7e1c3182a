use super::*;
use crate::state::{Operation, OperationId, OperationKind, Step, StepName};

/// `db1 online absent` for each server, in the order writer group, reader group.
fn shown(state: &ClusterState, reading: &Reading) -> Vec<String> {
    let desired = desired(state, reading, false).unwrap();
    let word = |want: Want| format!("{want:?}").to_lowercase();
    let of = |(node, place): &(NodeName, Placement)| {
        format!("{node} {} {}", word(place.writer), word(place.reader))
    };
    desired.servers.values().map(of).collect()
}

fn operation(kind: OperationKind, taken: &[StepName]) -> Operation {
    let mut operation = Operation::of(kind, Epoch(4), "db1".into());
    operation.id = OperationId("op".into());
    operation.wanted = Some("db2".into());
    let step = |name: &StepName| Step {
        at_ms: 0,
        node: "db1".into(),
        name: name.to_string(),
        detail: String::new(),
    };
    operation.steps = taken.iter().map(step).collect();
    operation
}

#[test]
fn replicas_that_are_fit_read_and_the_writer_writes() {
    let both = reading(&["db2", "db3"], &[]);
    assert_eq!(shown(&state(), &both), ["db1 online absent", "db2 absent online", "db3 absent online"]);
    let mut observing = state();
    observing.phase = Phase::Observing;
    assert_eq!(desired(&observing, &both, false), None);
}

/// What is closed for certain may finish; ProxySQL must forget the others, or its monitor makes writers of them.
#[test]
fn what_is_not_fit_is_drained_or_forgotten() {
    let behind =
        Unfit::Behind { by: std::time::Duration::from_secs(60), limit: std::time::Duration::from_secs(10) };
    let one = reading(&["db3"], &[("db2", behind.clone())]);
    assert_eq!(shown(&state(), &one), ["db1 online absent", "db2 absent soft", "db3 absent online"]);
    let open = reading(&["db3"], &[("db2", Unfit::Open)]);
    assert_eq!(shown(&state(), &open), ["db1 online absent", "db2 absent absent", "db3 absent online"]);
    let none = reading(&[], &[("db2", behind), ("db3", Unfit::Silent(None))]);
    assert_eq!(shown(&state(), &none), ["db1 online online", "db2 absent soft", "db3 absent absent"]);
}

#[test]
fn a_failover_leaves_no_writer_until_the_next_is_open() {
    let mut state = state();
    state.revoked_through = Epoch(4);
    state.operation = Some(operation(OperationKind::Failover, &[]));
    let left = reading(&["db2", "db3"], &[]);
    assert_eq!(shown(&state, &left), ["db1 absent absent", "db2 absent online", "db3 absent online"]);
    // Its monitor may find it open before the group has heard of it.
    let coming = reading(&["db3"], &[("db1", Unfit::Open)]);
    state.grant = Some(grant(5, "db2", false));
    assert_eq!(shown(&state, &coming), ["db1 absent absent", "db2 any any", "db3 absent online"]);
    state.grant = Some(grant(5, "db2", true));
    assert_eq!(shown(&state, &coming), ["db1 absent absent", "db2 online absent", "db3 absent online"]);
}

#[test]
fn a_switchover_drains_the_old_writer_until_somebody_is_open() {
    let both = reading(&["db2", "db3"], &[]);
    let mut state = state();
    state.operation = Some(operation(OperationKind::Switchover, &[StepName::Intent]));
    assert_eq!(shown(&state, &both)[0], "db1 online absent");
    state.operation = Some(operation(OperationKind::Switchover, &[StepName::Intent, StepName::Freeze]));
    assert_eq!(shown(&state, &both), ["db1 soft any", "db2 absent online", "db3 absent online"]);
    let mut undone = state.clone();
    undone.operation = Some(operation(OperationKind::Switchover, &[StepName::Freeze, StepName::Undo]));
    assert_eq!(shown(&undone, &both)[0], "db1 online absent");
    state.revoked_through = Epoch(4);
    assert_eq!(shown(&state, &both)[0], "db1 soft any");
    state.grant = Some(grant(5, "db2", false));
    state.operation.as_mut().unwrap().to = Some((Epoch(5), "db2".into()));
    assert_eq!(shown(&state, &reading(&["db3"], &[]))[..2], ["db1 soft any", "db2 any any"]);
    state.grant = Some(grant(5, "db2", true));
    assert_eq!(
        shown(&state, &reading(&["db1", "db3"], &[]))[..2],
        ["db1 absent online", "db2 online absent"]
    );
}

/// An answer that a monitor got before the close must not make the old writer one again.
#[test]
fn a_monitored_instance_does_not_know_the_old_writer_for_a_moment() {
    let mut state = state();
    state.grant = Some(grant(5, "db2", true));
    let mut moved = operation(OperationKind::Switchover, &[StepName::Freeze]);
    moved.to = Some((Epoch(5), "db2".into()));
    state.operation = Some(moved);
    let of = |readers: &[&str], settles: bool| {
        let wanted = desired(&state, &reading(readers, &[]), settles).unwrap();
        let beside = wanted.beside_a_monitor().into_owned();
        beside.servers.into_values().map(|(_, place)| (place.writer, place.reader)).collect::<Vec<_>>()
    };
    let (away, reads) = ((Want::Absent, Want::Absent), (Want::Absent, Want::Online));
    assert_eq!(of(&["db1", "db3"], true), [away, (Want::Online, Want::Absent), reads]);
    assert_eq!(of(&["db1", "db3"], false), [reads, (Want::Online, Want::Absent), reads]);
    // Nobody else to read from: the writer is, as long.
    assert_eq!(of(&["db1"], true)[..2], [away, (Want::Online, Want::Online)]);
    // Others are not kept from it.
    let wanted = desired(&state, &reading(&["db1", "db3"], &[]), true).unwrap();
    assert_eq!(wanted.settling, Some(at("db1")));
    assert_eq!(wanted.of(&at("db1")), Placement { writer: Want::Absent, reader: Want::Online });
}
