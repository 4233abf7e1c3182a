//! Who is told what, and whether it is marked as a repeat.

use jiff::tz::TimeZone;

use super::*;
use crate::alert::due::{Quiet, Wants, due, pause};
use crate::config::read_hours;
use crate::state::{Forced, Line, Mute, Severity, Subject, Tone};

const CHAT: &str = "telegram -1";

fn wants(severity: Severity) -> Wants {
    Wants { sink: CHAT.into(), severity, edits: true, quiet: None, buttons: false }
}

fn put(id: &str, severity: Severity, over_ms: Option<i64>) -> AlertChange {
    let line = Line { key: id.into(), severity, what: id.into(), since_ms: NOW_MS, times: 1, over_ms };
    AlertChange::Put { id: id.into(), severity, subject: Subject::Troubles(vec![line]), nonce: String::new() }
}

fn sending(id: &str, revision: u32) -> AlertChange {
    AlertChange::Sending { id: id.into(), sink: CHAT.into(), revision }
}

fn sent(id: &str, revision: u32, message: Option<i64>) -> AlertChange {
    AlertChange::Sent { id: id.into(), sink: CHAT.into(), revision, message, refused: false }
}

#[test]
fn a_notice_is_told_once_and_then_changed() {
    let mut state = listened();
    agree(&mut state, NOW_MS, vec![put("a", Severity::Warning, None)]);
    let first = due(&state.alerts, &wants(Severity::Warning), NOW_MS).unwrap();
    assert_eq!((first.edit, first.repeat), (None, false));
    agree(&mut state, NOW_MS, vec![sending("a", 1), sent("a", 1, Some(17))]);
    assert_eq!(due(&state.alerts, &wants(Severity::Warning), NOW_MS), None);
    agree(&mut state, NOW_MS, vec![put("a", Severity::Warning, Some(NOW_MS))]);
    let second = due(&state.alerts, &wants(Severity::Warning), NOW_MS).unwrap();
    assert_eq!((second.edit, second.repeat), (Some(17), false));
    // The message is gone: a new one, and no repeat.
    agree(&mut state, NOW_MS, vec![sent("a", 0, None)]);
    let third = due(&state.alerts, &wants(Severity::Warning), NOW_MS).unwrap();
    assert_eq!((third.edit, third.repeat), (None, false));
}

#[test]
fn what_was_being_sent_when_the_leader_died_is_sent_again_and_marked() {
    let mut state = listened();
    agree(&mut state, NOW_MS, vec![put("a", Severity::Warning, None), sending("a", 1)]);
    assert!(due(&state.alerts, &wants(Severity::Info), NOW_MS).unwrap().repeat);
}

#[test]
fn a_chat_hears_only_what_is_bad_enough_and_a_refusal_is_final() {
    let mut state = listened();
    agree(&mut state, NOW_MS, vec![put("a", Severity::Warning, None), put("b", Severity::Critical, None)]);
    assert_eq!(due(&state.alerts, &wants(Severity::Critical), NOW_MS).unwrap().notice.id, "b");
    let refused =
        AlertChange::Sent { id: "a".into(), sink: CHAT.into(), revision: 1, message: None, refused: true };
    agree(&mut state, NOW_MS, vec![refused, put("a", Severity::Warning, Some(NOW_MS))]);
    assert_eq!(due(&state.alerts, &wants(Severity::Warning), NOW_MS).unwrap().notice.id, "b");
    let next_day = NOW_MS + 25 * 3_600_000;
    assert_eq!(due(&state.alerts, &wants(Severity::Warning), next_day), None, "nobody wants old news");
}

#[test]
fn a_mute_holds_everything_and_afterwards_only_what_lasts_on_is_told() {
    let mut state = listened();
    let word = Forced { by: "ada".into(), reason: "a new switch".into() };
    let mute = Mute { until_ms: NOW_MS + 3_600_000, word };
    let changes =
        vec![AlertChange::Mute(mute), put("a", Severity::Critical, None), put("b", Severity::Critical, None)];
    agree(&mut state, NOW_MS, changes);
    agree(&mut state, NOW_MS + 1, vec![put("a", Severity::Critical, Some(NOW_MS))]);
    assert_eq!(due(&state.alerts, &wants(Severity::Info), NOW_MS + 2), None);
    let after = due(&state.alerts, &wants(Severity::Info), NOW_MS + 3_600_001).unwrap();
    assert_eq!(after.notice.id, "b");
    agree(&mut state, NOW_MS + 5, vec![AlertChange::Unmute { by: "ada".into() }]);
    assert!(due(&state.alerts, &wants(Severity::Info), NOW_MS + 6).is_some());
    assert_eq!(state.decisions.back().unwrap().what, "unmuted");
}

#[test]
fn quiet_hours_take_the_sound_and_not_the_message() {
    // NOW is 09:00 UTC.
    let quiet = |hours: &str, zone: &str| {
        let (from, until) = read_hours(hours).unwrap();
        Quiet { from, until, zone: TimeZone::get(zone).unwrap() }
    };
    assert!(quiet("08:00-10:00", "UTC").is_now(NOW_MS) && quiet("22:00-09:01", "UTC").is_now(NOW_MS));
    assert!(!quiet("09:01-08:59", "UTC").is_now(NOW_MS) && !quiet("22:00-09:00", "UTC").is_now(NOW_MS));
    assert!(quiet("10:00-10:30", "Europe/Berlin").is_now(NOW_MS));
    for wrong in ["22:00", "22:00-22:00", "24:00-07:00", "10-7", ""] {
        assert_eq!(read_hours(wrong), None, "{wrong}");
    }

    let mut state = listened();
    let wants = Wants { quiet: Some(quiet("08:00-10:00", "UTC")), ..wants(Severity::Info) };
    agree(&mut state, NOW_MS, vec![put("a", Severity::Warning, None)]);
    assert!(due(&state.alerts, &wants, NOW_MS).unwrap().silent);
    agree(&mut state, NOW_MS, vec![sent("a", 1, None), put("b", Severity::Critical, None)]);
    assert!(!due(&state.alerts, &wants, NOW_MS).unwrap().silent);
}

#[test]
fn attempts_come_later_and_later() {
    let seconds: Vec<u64> = (1..9).map(|failed| pause(failed).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 32, 32]);
    assert_eq!(Tone::default(), Tone::Good);
}
