//! What holds an automatic failover back. Pure.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::state::{ClusterState, Ending, OperationKind, UnixMillis};

/// One thing that holds automatic failovers back; each names the command that overrides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The configuration says so.
    Off,
    /// A person said so, for a time.
    Paused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The writer moved so often lately that moving it again mends nothing.
    Flapping {
        /// How many automatic failovers were completed within the last half-life.
        lately: usize,
        /// When one more may run.
        until_ms: UnixMillis,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => {
                f.write_str("[failover] automatic is off: batonctl failover --reason … moves the writer")
            }
            Self::Paused { by, reason } => {
                write!(f, "{by} has paused automatic failovers: {reason}; batonctl resume ends that")
            }
            Self::Flapping { lately, until_ms } => {
                let until = Timestamp::from_millisecond(*until_ms).unwrap_or_default();
                let until = until.strftime("%H:%M:%S UTC");
                write!(
                    f,
                    "Flapping: {lately} failovers lately, so none by itself before {until}; batonctl failover \
                     --reason … moves the writer all the same"
                )
            }
        }
    }
}

/// Everything that holds an automatic failover back at `now_ms`.
pub fn holds(state: &ClusterState, now_ms: UnixMillis) -> Vec<Hold> {
    let pause = state.pause.as_ref().filter(|p| now_ms < p.until_ms);
    let paused = pause.map(|p| Hold::Paused { by: p.by.clone(), reason: p.reason.clone() });
    let off = (!state.safety.live.automatic).then_some(Hold::Off);
    paused.into_iter().chain(off).chain(flapping(state, now_ms)).collect()
}

/// Each completed automatic failover weighs 1 when it ends and half as much after every half-life. One more may run while
/// they weigh less than the limit together, less a half: right after as many as the limit, none may.
fn flapping(state: &ClusterState, now_ms: UnixMillis) -> Option<Hold> {
    let live = &state.safety.live;
    if live.flap_limit == 0 {
        return None;
    }
    let half_life = Duration::from_millis(live.flap_half_life_ms.max(1)).as_secs_f64();
    let ends = state.history.iter().filter(|f| {
        let o = &f.operation;
        let automatic = o.kind == OperationKind::Failover && o.forced.is_none();
        automatic && o.opened_ms.is_some() && f.ending == Ending::Done
    });
    // A clock that was set back since must not make the past weigh more.
    let ends: Vec<UnixMillis> = ends.map(|f| f.ended_ms.min(now_ms)).collect();
    let last = *ends.iter().max()?;
    let seconds_before = |end: &UnixMillis| Duration::from_millis(last.abs_diff(*end)).as_secs_f64();
    let weight: f64 = ends.iter().map(|end| (-seconds_before(end) / half_life).exp2()).sum();
    let holds_s = half_life * (weight / (f64::from(live.flap_limit) - 0.5)).log2();
    if holds_s <= 0.0 {
        return None;
    }
    let holds_ms = Duration::from_secs_f64(holds_s).as_millis();
    let until_ms = last.saturating_add(i64::try_from(holds_ms).unwrap_or(i64::MAX));
    let lately = ends.iter().filter(|end| seconds_before(end) <= half_life).count();
    (now_ms < until_ms).then_some(Hold::Flapping { lately, until_ms })
}
