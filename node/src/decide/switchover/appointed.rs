//! What becomes of an appointed switchover when its time has come. Pure.

use std::time::Duration;

use super::Preflight;
use crate::state::{Appointment, NodeName, UnixMillis};

/// What stands in the way at the time may pass by itself, and is waited for so long.
const TRIED_FOR: Duration = Duration::from_secs(10);
/// Later than this it is no longer what was asked for: people expect the writer to stay where it is by then.
const LATEST: Duration = Duration::from_secs(5 * 60);

/// What is to be done with an appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its time has not come.
    NotYet,
    /// Something stands in the way, and may pass.
    Wait,
    /// Move the writer to this server.
    Begin(NodeName),
    /// It comes to nothing.
    Refuse(String),
}

/// `found` is a preflight of just now; `leading` is for how long this node has led.
pub fn due(appointment: &Appointment, found: &Preflight, now_ms: UnixMillis, leading: Duration) -> Due {
    let Ok(late_ms) = u64::try_from(now_ms - appointment.at_ms) else { return Due::NotYet };
    let late = Duration::from_millis(late_ms);
    if late > LATEST {
        return Due::Refuse(format!(
            "its time was {} min ago, and nobody could begin it then",
            late.as_secs() / 60
        ));
    }
    match &found.to {
        Some(to) if !found.is_refused() => Due::Begin(to.clone()),
        _ if late.min(leading) < TRIED_FOR => Due::Wait,
        _ => Due::Refuse(found.why_refused().unwrap_or_else(|| "there is no writer to move".into())),
    }
}
