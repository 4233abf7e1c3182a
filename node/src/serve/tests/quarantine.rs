use super::super::quarantine::list;
use crate::gtid::GtidSet;
use crate::state::{Archive, ClusterState, Epoch, Forced, NodeName, Out, OutReason, Quarantine};

fn extra(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}")).unwrap()
}

fn archive(node: &str, numbers: &str, at_ms: i64) -> Archive {
    Archive {
        id: format!("{node}-{numbers}"),
        node: node.into(),
        epoch: Epoch(2),
        gtids: extra(numbers),
        bytes: 7,
        path: format!("/q/{node}-{numbers}"),
        at_ms,
    }
}

#[test]
fn quarantines_come_first_and_then_what_is_past() {
    let mut state = ClusterState::default();
    state.archives.extend([archive("db1", "1", 10), archive("db2", "1-3", 20), archive("db1", "9", 30)]);
    let mut out = |node: &str, quarantine| {
        let reason = OutReason::Quarantine(quarantine);
        state.out.insert(NodeName::from(node), Out { reason, since_ms: 5 });
    };
    let released = Some(Forced { by: "ann".into(), reason: "replayed".into() });
    let of = |numbers: &str| Quarantine::of(extra(numbers), Epoch(2));
    out("db1", of("11"));
    out("db2", Quarantine { archive: Some("db2-1-3".into()), released, ..of("1-3") });
    out("db3", Quarantine { trouble: Some("no room".into()), ..of("5-6") });
    state.out.insert("db4".into(), Out { reason: OutReason::Maintenance, since_ms: 5 });
    let entries = list(&state).entries;
    let rows: Vec<_> =
        entries.iter().map(|e| (e.node.as_str(), e.state.as_str(), e.quarantined, e.transactions)).collect();
    assert_eq!(
        rows,
        [
            ("db1", "waiting", true, 1),
            ("db2", "archived", true, 3),
            ("db3", "failed", true, 2),
            ("db1", "archived", false, 1),
            ("db1", "archived", false, 1),
        ]
    );
    assert_eq!((entries[1].path.as_str(), entries[1].archived_ms), ("/q/db2-1-3", 20));
    assert_eq!(entries[1].released, "ann: replayed");
    assert_eq!((entries[2].note.as_str(), entries[2].id.as_str()), ("no room", ""));
    assert_eq!([&entries[3].id, &entries[4].id], ["db1-9", "db1-1"], "the newest first");
}
