//! Which notices make room, and how those who were still to be told of them hear of it.

use super::*;
use crate::alert::due::{Due, Wants, due};
use crate::alert::room::{Audience, with_room};
use crate::alert::words::html;
use crate::state::{Line, NOTICES_MAX, Notice, Severity, Subject, Untold};

const CHAT: &str = "telegram -1";
const HOOK: &str = "webhook ops";

fn wants(sink: &str, severity: Severity) -> Wants {
    Wants { sink: sink.into(), severity, edits: sink == CHAT, quiet: None, buttons: false }
}

fn put(id: &str, over_ms: Option<i64>) -> AlertChange {
    let severity = Severity::Warning;
    let line = Line { key: id.into(), severity, what: id.into(), since_ms: NOW_MS, times: 1, over_ms };
    AlertChange::Put { id: id.into(), severity, subject: Subject::Troubles(vec![line]), nonce: String::new() }
}

fn told(id: &str, sink: &str, revision: u32) -> Vec<AlertChange> {
    let (id, sink) = (id.to_owned(), sink.to_owned());
    let message = (sink == CHAT).then_some(17);
    let sending = AlertChange::Sending { id: id.clone(), sink: sink.clone(), revision };
    vec![sending, AlertChange::Sent { id, sink, revision, message, refused: false }]
}

fn going(id: &str, untold: &[&str]) -> AlertChange {
    AlertChange::MakeRoom { id: id.into(), untold: untold.iter().map(|sink| (*sink).to_owned()).collect() }
}

/// As many notices as are kept, n0 the oldest, of which nobody has been told.
fn full() -> ClusterState {
    let mut state = listened();
    (0..NOTICES_MAX).for_each(|n| agree(&mut state, NOW_MS, vec![put(&format!("n{n}"), None)]));
    state
}

/// What an entry with one more notice becomes, where two listen.
fn one_more(state: &ClusterState, on_its_way: &dyn Fn(&Notice, &str) -> bool) -> Vec<AlertChange> {
    let (chat, hook) = (wants(CHAT, Severity::Info), wants(HOOK, Severity::Warning));
    let to = Audience { wants: vec![&chat, &hook], on_its_way };
    with_room(&state.alerts, vec![put("new", None)], &to, NOW_MS)
}

fn nothing(_: &Notice, _: &str) -> bool {
    false
}

fn due_to(state: &ClusterState, sink: &str) -> Due {
    due(&state.alerts, &wants(sink, Severity::Info), NOW_MS).unwrap()
}

fn total(state: &ClusterState, sink: &str) -> u64 {
    state.alerts.untold.get(sink).map_or(0, |untold| untold.total)
}

#[test]
fn nothing_makes_room_where_there_is_some() {
    let mut state = full();
    assert_eq!(one_more(&listened(), &nothing), [put("new", None)]);
    // One that is there already needs none.
    let (chat, again) = (wants(CHAT, Severity::Info), vec![put("n0", Some(NOW_MS))]);
    let to = Audience { wants: vec![&chat], on_its_way: &nothing };
    assert_eq!(with_room(&state.alerts, again.clone(), &to, NOW_MS), again);
    agree(&mut state, NOW_MS + 1, again);
    assert_eq!(state.alerts.notices.len(), NOTICES_MAX);
}

#[test]
fn the_oldest_goes_and_counts_for_those_who_were_still_to_hear_of_it() {
    let mut state = full();
    agree(&mut state, NOW_MS, told("n0", CHAT, 1));
    // What is over goes first, of that what nobody waits for, and of equals the oldest.
    assert_eq!(one_more(&state, &nothing)[0], going("n0", &[HOOK]));
    agree(&mut state, NOW_MS, vec![put("n5", Some(NOW_MS))]);
    assert_eq!(one_more(&state, &nothing)[0], going("n5", &[CHAT, HOOK]));
    agree(
        &mut state,
        NOW_MS,
        [vec![put("n7", Some(NOW_MS))], told("n7", CHAT, 2), told("n7", HOOK, 2)].concat(),
    );
    assert_eq!(one_more(&state, &nothing), [going("n7", &[]), put("new", None)]);
    let deaf = wants(HOOK, Severity::Critical);
    let to = Audience { wants: vec![&deaf], on_its_way: &nothing };
    assert_eq!(with_room(&state.alerts, vec![put("new", None)], &to, NOW_MS)[0], going("n5", &[]));
}

#[test]
fn what_is_on_its_way_when_room_is_needed_stays_and_is_not_counted() {
    let mut state = full();
    let on_its_way = |notice: &Notice, sink: &str| notice.id == "n0" && sink == HOOK;
    let entry = one_more(&state, &on_its_way);
    assert_eq!(entry, [going("n1", &[CHAT, HOOK]), put("new", None)]);
    agree(&mut state, NOW_MS, entry);
    agree(&mut state, NOW_MS, told("n0", HOOK, 1));
    assert_eq!((state.alerts.notices.len(), total(&state, HOOK)), (NOTICES_MAX, 1));
    // Were all of them on their way, none would count: they may arrive.
    assert_eq!(one_more(&full(), &|_, _| true)[0], going("n0", &[]));
}

#[test]
fn several_new_ones_at_once_each_have_one_that_goes_and_none_of_themselves() {
    let mut state = full();
    let chat = wants(CHAT, Severity::Info);
    let to = Audience { wants: vec![&chat], on_its_way: &nothing };
    // n0 is to change: what says so must not make a second notice of it.
    let entry = vec![put("a", None), put("b", None), put("n0", Some(NOW_MS))];
    let roomy = with_room(&state.alerts, entry.clone(), &to, NOW_MS);
    let expected =
        [going("n1", &[CHAT]), entry[0].clone(), going("n2", &[CHAT]), entry[1].clone(), entry[2].clone()];
    assert_eq!(roomy, expected);
    agree(&mut state, NOW_MS, roomy);
    assert_eq!((state.alerts.notices.len(), total(&state, CHAT), state.alerts.dropped), (NOTICES_MAX, 2, 2));
}

#[test]
fn the_next_new_message_says_how_many_were_dropped_and_the_one_after_it_nothing() {
    let mut state = full();
    agree(&mut state, NOW_MS, vec![going("n0", &[CHAT, HOOK]), going("n1", &[CHAT]), going("n1", &[CHAT])]);
    assert_eq!((total(&state, CHAT), total(&state, HOOK)), (2, 1), "one that is gone makes no room again");
    let first = due_to(&state, CHAT);
    assert_eq!((first.notice.id.as_str(), first.dropped, due_to(&state, HOOK).dropped), ("n2", 2, 1));
    assert!(html("shop", &first).contains("\n<i>2 messages were dropped before this one.</i>\n"));
    assert!(html("shop", &due_to(&state, HOOK)).contains("1 message was dropped before this one."));

    // It does not arrive, and one more is dropped before it does.
    let [sending, sent] = told("n2", CHAT, 1).try_into().unwrap();
    agree(&mut state, NOW_MS, vec![sending.clone(), going("n3", &[CHAT])]);
    assert_eq!((due_to(&state, CHAT).dropped, due_to(&state, CHAT).repeat), (3, true));
    agree(&mut state, NOW_MS + 1, vec![sending, going("n4", &[CHAT])]);
    agree(&mut state, NOW_MS + 2, vec![sent.clone()]);
    assert_eq!(due_to(&state, CHAT).dropped, 1, "it said three");
    agree(&mut state, NOW_MS + 3, vec![sent]);
    assert_eq!(due_to(&state, CHAT).dropped, 1, "a record that comes twice says it once");
    agree(&mut state, NOW_MS, told("n5", CHAT, 1));
    assert_eq!(due_to(&state, CHAT).dropped, 0);
    assert!(!html("shop", &due_to(&state, CHAT)).contains("dropped"));
}

#[test]
fn a_message_that_is_changed_says_what_it_said() {
    let mut state = full();
    agree(&mut state, NOW_MS, vec![going("n0", &[CHAT, HOOK]), put("n1", Some(NOW_MS))]);
    agree(&mut state, NOW_MS, [told("n1", CHAT, 1), told("n1", HOOK, 1)].concat());
    let (chat, hook) = (due_to(&state, CHAT), due_to(&state, HOOK));
    assert_eq!((chat.edit, chat.dropped), (Some(17), 1));
    assert_eq!((hook.notice.id.as_str(), hook.edit, hook.dropped), ("n1", None, 0));
}

#[test]
fn a_refusal_tells_nobody_and_counts_outlast_a_file_that_names_nobody() {
    let mut state = full();
    agree(&mut state, NOW_MS, vec![going("n0", &[HOOK])]);
    let [sending, _] = told("n1", HOOK, 1).try_into().unwrap();
    let (id, sink) = ("n1".to_owned(), HOOK.to_owned());
    let refused = AlertChange::Sent { id, sink, revision: 1, message: None, refused: true };
    agree(&mut state, NOW_MS, vec![sending, refused]);
    assert_eq!(due_to(&state, HOOK).dropped, 1);
    agree(&mut state, NOW_MS, vec![AlertChange::Listen(false), AlertChange::Listen(true)]);
    assert_eq!(state.alerts.untold.get(HOOK), Some(&Untold { total: 1, said: 0 }));
}

#[test]
fn counts_are_kept_of_so_many_sinks_and_those_who_heard_everything_go_first() {
    let mut state = full();
    let names: Vec<String> = (0..16).map(|n| format!("webhook {n:02}")).collect();
    agree(&mut state, NOW_MS, vec![AlertChange::MakeRoom { id: "n0".into(), untold: names }]);
    agree(&mut state, NOW_MS, vec![going("n1", &["webhook 99"])]);
    assert_eq!((state.alerts.untold.len(), total(&state, "webhook 99")), (16, 0), "all wait to be told");
    agree(&mut state, NOW_MS, told("n2", "webhook 03", 1));
    agree(&mut state, NOW_MS, vec![going("n3", &["webhook 99"])]);
    assert_eq!((state.alerts.untold.len(), total(&state, "webhook 99")), (16, 1));
    assert_eq!(total(&state, "webhook 03"), 0);
}
