//! The buttons below a message, and what pressing one means. Pure.
//!
//! A button holds the epoch that it was made in and the notice's nonce: one of an older epoch, or of a notice that is over,
//! does nothing.

use crate::state::{ClusterState, NodeName, Notice, RebuildPolicy, Subject};

/// A button: what it says, and what Telegram hands back when it is pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// In words.
    pub text: String,
    /// At most 64 bytes.
    pub data: String,
}

/// What a press asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Press {
    /// Somebody sees to the notice of that id.
    Seen(String),
    /// Nothing is to be told for an hour.
    Mute,
    /// The server of that node is to be rebuilt.
    Rebuild(NodeName),
}

/// What is said to whoever presses a button that does nothing any more.
pub const OUT_OF_DATE: &str = "This button is out of date. Nothing was done.";

/// The buttons of a notice, as the state is now.
pub fn buttons(state: &ClusterState, notice: &Notice) -> Vec<Button> {
    if notice.is_over() {
        return Vec::new();
    }
    let button = |text: String, word: &str| Button {
        text,
        data: format!("{word}:{}:{}", state.epoch(), notice.nonce),
    };
    let rebuild = to_rebuild(state, notice).map(|(word, node)| button(format!("Rebuild {node}"), &word));
    let seen = notice.acknowledged.is_none().then(|| button("I see to it".into(), "seen"));
    let mute = button("Mute for 1 h".into(), "mute");
    rebuild.into_iter().chain(seen).chain([mute]).collect()
}

/// What a press means now.
///
/// # Errors
/// What to tell whoever pressed it.
pub fn press(state: &ClusterState, data: &str) -> Result<Press, &'static str> {
    let mut parts = data.splitn(3, ':');
    let (word, epoch, nonce) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    let current = epoch.and_then(|e| e.parse().ok()) == Some(state.epoch().0);
    let notice = state.alerts.notices.iter().find(|n| !nonce.is_empty() && n.nonce == nonce);
    let notice = notice.filter(|n| current && !n.is_over()).ok_or(OUT_OF_DATE)?;
    match word {
        Some("seen") => Ok(Press::Seen(notice.id.clone())),
        Some("mute") => Ok(Press::Mute),
        word => to_rebuild(state, notice)
            .filter(|(now, _)| word == Some(now.as_str()))
            .map(|(_, node)| Press::Rebuild(node))
            .ok_or(OUT_OF_DATE),
    }
}

/// The quarantined server that a notice is about, where an operator's approval is what its rebuild waits for, and the
/// button's word for it: lines keep their places, so which of them it is, and for the how-manieth time.
fn to_rebuild(state: &ClusterState, notice: &Notice) -> Option<(String, NodeName)> {
    let Subject::Troubles(lines) = &notice.subject else { return None };
    let mut open = lines.iter().enumerate().filter(|(_, l)| l.over_ms.is_none());
    let (word, node) = open.find_map(|(at, l)| {
        let node = NodeName::from(l.key.strip_prefix("ServerOut:")?);
        Some((format!("rebuild.{at}.{}", l.times), node))
    })?;
    let settled = state.quarantine(&node).is_some_and(|q| q.archive.is_some() || q.released.is_some());
    let asked = state.safety.live.rebuild == RebuildPolicy::Approve && state.rebuild.is_none();
    (settled && asked).then_some((word, node))
}
