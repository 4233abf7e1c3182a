//! What keeps an open page up to date: server-sent events, one whenever what is shown has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{StreamExt, unfold};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{LOOK_AGAIN, Until, Viewing, draw};
use crate::state::ClusterState;

/// A line now and then, so that both ends find out when the other has gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// What is agreed on within this of something else is looked at together with it.
const TOGETHER: Duration = Duration::from_millis(20);

struct Watching {
    viewing: Viewing,
    states: watch::Receiver<Arc<ClusterState>>,
    shown: String,
    said: Instant,
    _one_of_few: OwnedSemaphorePermit,
}

/// `/live`. It ends with its reader, with the node, and when its reader has to show the token again.
pub(super) async fn live(State(viewing): State<Viewing>, until: Option<Extension<Until>>) -> Response {
    let Ok(permit) = viewing.watchers.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    let stop = viewing.stop.clone();
    let (states, shown, said) = (viewing.states.clone(), String::new(), Instant::now());
    let watching = Watching { viewing, states, shown, said, _one_of_few: permit };
    let events = unfold(watching, async |mut watching| {
        let event = watching.next().await;
        Some((Ok::<_, Infallible>(event), watching))
    });
    let left_s = until.map(|Extension(Until(until))| until.saturating_sub(Timestamp::now().as_second()));
    let shown_for = left_s.map(|left| Duration::from_secs(left.try_into().unwrap_or_default()));
    let events = events.take_until(async move {
        // None: a program that shows the token itself, or no token at all.
        match shown_for {
            Some(left) => drop(timeout(left, stop.cancelled()).await),
            None => stop.cancelled().await,
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(events)).into_response()
}

impl Watching {
    async fn next(&mut self) -> Bytes {
        loop {
            if !self.shown.is_empty() {
                self.until_it_is_time().await;
            }
            let picture = self.viewing.picture().await;
            let content = draw::content(&picture);
            if content != self.shown {
                let event = event(&content, picture.at_ms);
                self.shown = content;
                self.said = Instant::now();
                return event;
            }
            if self.said.elapsed() >= SIGN_OF_LIFE {
                self.said = Instant::now();
                return Bytes::from(format!("event: same\ndata: {}\n\n", picture.at_ms));
            }
        }
    }

    /// Until something has been agreed on, and at most [`LOOK_AGAIN`].
    async fn until_it_is_time(&mut self) {
        let changed = timeout(LOOK_AGAIN, self.states.changed()).await;
        match changed {
            Ok(Ok(())) => sleep(TOGETHER).await,
            // The node ends, and the stream with it.
            Ok(Err(_)) => sleep(LOOK_AGAIN).await,
            Err(_) => {}
        }
    }
}

/// Each line of the text is a line of data.
fn event(content: &str, at_ms: i64) -> Bytes {
    let lines: String = content.lines().map(|line| format!("data: {line}\n")).collect();
    Bytes::from(format!("id: {at_ms}\n{lines}\n"))
}
