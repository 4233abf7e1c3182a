//! Buttons, and what the bot answers.

use baton_proto::control::{
    Archive, Backup, BackupListReply, BackupSchedule, NodeStatus, Reason, RecoveryMoment, RecoveryReply,
    RecoveryWindow, StatusReply, WhyReply,
};

use std::sync::Arc;

use super::*;
use crate::alert::telegram::buttons::{OUT_OF_DATE, Press, buttons, press};
use crate::alert::telegram::replies;
use crate::gtid::Dialect;
use crate::state::{Line, Out, OutReason, Quarantine, Severity, Subject};

fn told(state: &mut ClusterState, key: &str) {
    let line = Line {
        key: key.into(),
        severity: Severity::Warning,
        what: "something".into(),
        since_ms: NOW_MS,
        times: 1,
        over_ms: None,
    };
    let subject = Subject::Troubles(vec![line]);
    let (id, nonce) = (format!("trouble:{key}"), format!("nonce-of-{key}"));
    agree(state, NOW_MS, vec![AlertChange::Put { id, severity: Severity::Warning, subject, nonce }]);
}

fn words(state: &ClusterState, at: usize) -> Vec<String> {
    buttons(state, &state.alerts.notices[at]).into_iter().map(|b| b.text).collect()
}

#[test]
fn a_button_counts_in_its_epoch_and_for_its_notice_alone() {
    let mut state = listened();
    told(&mut state, "ReplicaDown:db2");
    assert_eq!(words(&state, 0), ["I see to it", "Mute for 1 h"]);
    let all = buttons(&state, &state.alerts.notices[0]);
    assert!(all.iter().all(|b| b.data.len() <= 64), "{all:?}");
    assert_eq!(press(&state, &all[0].data), Ok(Press::Seen("trouble:ReplicaDown:db2".into())));
    assert_eq!(press(&state, &all[1].data), Ok(Press::Mute));
    for wrong in
        ["", "seen", "seen:1", "seen:1:", "seen:1:other", "move:1:nonce-of-ReplicaDown:db2", "seen:x:y:z"]
    {
        assert_eq!(press(&state, wrong), Err(OUT_OF_DATE), "{wrong}");
    }
    state.grant.as_mut().unwrap().epoch = Epoch(2);
    assert_eq!(press(&state, &all[0].data), Err(OUT_OF_DATE));
    let seen = AlertChange::Acknowledge { id: "trouble:ReplicaDown:db2".into(), by: "Ada".into() };
    agree(&mut state, NOW_MS, vec![seen]);
    assert_eq!(words(&state, 0), ["Mute for 1 h"]);
}

#[test]
fn a_rebuild_is_offered_once_nothing_can_be_lost_by_it() {
    let mut state = listened();
    told(&mut state, "ServerOut:db2");
    let quarantine = Quarantine::of(crate::gtid::GtidSet::empty(Dialect::Mysql), Epoch(1));
    let archived = Quarantine { archive: Some("a1".into()), ..quarantine.clone() };
    let out = |q| Out { reason: OutReason::Quarantine(q), since_ms: NOW_MS };
    state.out.insert(name("db2"), out(quarantine));
    assert_eq!(words(&state, 0).len(), 2, "nothing is archived yet");
    state.out.insert(name("db2"), out(archived));
    let all = buttons(&state, &state.alerts.notices[0]);
    assert_eq!(all[0].text, "Rebuild db2");
    assert_eq!(press(&state, &all[0].data), Ok(Press::Rebuild(name("db2"))));
    // The same notice is about another server by now: an old message still offers the first one.
    let Subject::Troubles(lines) = &mut Arc::make_mut(&mut state.alerts).notices[0].subject else {
        unreachable!()
    };
    let other = Line { key: "ServerOut:db3".into(), ..lines[0].clone() };
    lines[0].over_ms = Some(NOW_MS);
    lines.push(other);
    let again = state.out[&name("db2")].clone();
    state.out.insert(name("db3"), again);
    assert_eq!(press(&state, &all[0].data), Err(OUT_OF_DATE));
    let all = buttons(&state, &state.alerts.notices[0]);
    assert_eq!(press(&state, &all[0].data), Ok(Press::Rebuild(name("db3"))));
    state.safety.live.rebuild = crate::state::RebuildPolicy::Never;
    assert_eq!(press(&state, &all[0].data), Err(OUT_OF_DATE));
}

#[test]
fn answers_fit_a_phone() {
    let node = |name: &str, role: &str, health: &str| NodeStatus {
        name: name.into(),
        role: role.into(),
        health: health.into(),
        open: role == "writer",
        lease_left_ms: 840,
        lag_seconds: 41.0,
        acker: role == "replica",
        ..NodeStatus::default()
    };
    let reply = StatusReply {
        cluster: "shop".into(),
        phase: "managed".into(),
        epoch: 7,
        durability: "lossless".into(),
        automation: "automatic".into(),
        health: "degraded".into(),
        leader: "db2".into(),
        voters: 3,
        voters_answering: 2,
        nodes: vec![
            node("db1", "writer", "ok"),
            node("db2", "replica", "warning"),
            node("app1", "witness", "down"),
        ],
        warnings: vec!["NodeDown: app1 does not <answer>".into()],
        ..StatusReply::default()
    };
    insta::assert_snapshot!(replies::status(&reply), @r"
    🟡 <b>shop: epoch 7, LOSSLESS, automatic</b>
    ● db1: writer, lease 0.8 s
    ◐ db2: replica, lag 41 s, acks
    ✗ app1: witness
    leader db2, 2 of 3 voting
    ! NodeDown: app1 does not &lt;answer&gt;
    ");
    let reason = |side: &str, text: &str| Reason { side: side.into(), text: text.into() };
    let reply = WhyReply {
        diagnosis: "WriterCrashed".into(),
        summary: "db1 is lost".into(),
        reasons: vec![
            reason("for", "a & b"),
            reason("against", "paused"),
            reason("fact", "db1 holds epoch 1"),
        ],
        ..WhyReply::default()
    };
    insta::assert_snapshot!(replies::why("shop", &reply), @r"
    <b>shop: WriterCrashed</b>
    db1 is lost
    + a &amp; b
    − paused
    · db1 holds epoch 1
    ");
}

#[test]
fn backups_fit_a_phone() {
    const HOUR: i64 = 3_600_000;
    let made = |hours: i64, kind: &str| Backup {
        node: "db2".into(),
        kind: kind.into(),
        began_ms: NOW_MS - hours * HOUR - 14 * 60_000,
        ended_ms: NOW_MS - hours * HOUR,
        stored_bytes: 12 << 30,
        ..Backup::default()
    };
    let read = Backup { verified_ms: NOW_MS, ..made(26, "full") };
    let bad = Backup { verified_ms: NOW_MS, fault: "object 3 <is> short".into(), ..made(200, "full") };
    let list = BackupListReply {
        backups: [made(2, "incremental"), read, bad]
            .into_iter()
            .chain((0..4).map(|_| made(300, "full")))
            .collect(),
        archive: Some(Archive { holes: "0-1-4..9".into(), ..Archive::default() }),
        schedules: vec![BackupSchedule {
            name: "daily".into(),
            next_ms: NOW_MS + HOUR,
            ..BackupSchedule::default()
        }],
        ..BackupListReply::default()
    };
    let window =
        RecoveryWindow { from_ms: NOW_MS - 26 * HOUR, to_ms: NOW_MS - 2_000, ..RecoveryWindow::default() };
    let recovery = RecoveryReply { windows: vec![window], ..RecoveryReply::default() };
    insta::assert_snapshot!(replies::backups("shop", &list, &recovery, NOW_MS), @r"
    🟢 <b>shop: any moment from Nov 19, 07:00 UTC to 2 s ago</b>
    ○ incremental of db2, 2 h 0 min ago: 12.0 GiB in 14 min
    ● full of db2, 26 h 0 min ago: 12.0 GiB in 14 min, read again
    ✗ full of db2, 8 days ago: 12.0 GiB in 14 min, DAMAGED: object 3 &lt;is&gt; short
    ○ full of db2, 12 days ago: 12.0 GiB in 14 min
    ○ full of db2, 12 days ago: 12.0 GiB in 14 min
    and 2 older ones
    ! missing in the archive: 0-1-4..9
    next: daily, Nov 20, 10:00 UTC
    ");
    let alone = RecoveryMoment { backup: "b".into(), at_ms: NOW_MS - 2 * HOUR };
    let recovery = RecoveryReply { alone: vec![alone], ..RecoveryReply::default() };
    let nothing = BackupListReply::default();
    insta::assert_snapshot!(replies::backups("shop", &nothing, &recovery, NOW_MS), @"🟡 <b>shop: the moment of a backup, Nov 20, 07:00 UTC</b>");
    insta::assert_snapshot!(replies::backups("shop", &nothing, &RecoveryReply::default(), NOW_MS), @"🔴 <b>shop: NOTHING can be restored</b>");
}
