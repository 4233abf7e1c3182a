//! `batonctl alert test`: one message to everybody who is told anything, and what became of it.

use futures::future::join_all;

use super::due::Due;
use super::sink::{Outcome, Sinks};
use crate::state::{Notice, OperationId, Severity, Story, Subject, Tone, UnixMillis};

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Which sink.
    pub sink: String,
    /// Why it was not told, in words without a secret; `None` when it was.
    pub failed: Option<String>,
}

/// Tells each of `sinks` that this is a test, all at once, whatever severity it wants; nothing is replicated.
pub async fn try_all(cluster: &str, sinks: &Sinks, by: &str, now_ms: UnixMillis) -> Vec<Tested> {
    let story = Story {
        operation: OperationId::default(),
        kind: None,
        tone: Tone::Good,
        title: "a test: alerts of this cluster arrive here".into(),
        facts: vec![format!("Asked for by {by}. Nothing has happened.")],
        over: true,
    };
    let notice = Notice {
        id: "test".into(),
        severity: Severity::Info,
        since_ms: now_ms,
        changed_ms: now_ms,
        revision: 1,
        subject: Subject::Operation(story),
        muted: false,
        acknowledged: None,
        nonce: String::new(),
        told: Default::default(),
    };
    let due = &Due { notice, edit: None, repeat: false, dropped: 0, silent: false, buttons: Vec::new() };
    let told = sinks.all.iter().map(|sink| async move {
        let failed = match sink.tell(cluster, due).await {
            Outcome::Told(_) => None,
            Outcome::Gone => Some("the message is gone".into()),
            Outcome::Refused(why) | Outcome::Later { why, .. } => Some(why),
        };
        Tested { sink: sink.wants.sink.clone(), failed }
    });
    join_all(told).await
}
