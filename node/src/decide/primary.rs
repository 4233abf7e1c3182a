//! Whether clients may be sent to the server beside this node as the writer. Pure.
//!
//! Stricter than being the writer: it counts only while this node's guard holds a lease that still runs by its own clock
//! and its server has just been seen open. A node that is cut off from the others says no by itself.

use std::time::Duration;

use super::seen::OwnServer;
use crate::state::{ClusterState, Epoch, NodeName, Operation, Phase};

/// What the server last said of itself counts for so long.
const FRESH: Duration = Duration::from_secs(1);

/// Under which epoch the server beside `me` is the writer, and how long its lease still runs.
///
/// # Errors
/// Why clients may not be sent there.
pub fn primary(
    state: &ClusterState,
    me: &NodeName,
    own: Option<&OwnServer>,
) -> Result<(Epoch, Duration), String> {
    let Some(own) = own else { return Err("no server is beside this node".into()) };
    if state.phase == Phase::Observing {
        return Err("the cluster is not adopted: nobody holds a lease".into());
    }
    let Some(grant) = state.live_grant() else { return Err("there is no writer now".into()) };
    if grant.node != *me {
        return Err(format!("{} is the writer", grant.node));
    }
    if state.operation.as_ref().is_some_and(Operation::is_frozen) {
        return Err("it is being closed for a switchover".into());
    }
    let Some((epoch, left)) =
        own.guard.lease.filter(|(epoch, left)| *epoch == grant.epoch && !left.is_zero())
    else {
        return Err("its lease has run out, or is not granted yet".into());
    };
    let opened = grant.opened_ms.is_some() && own.guard.opened == epoch && own.guard.closed < epoch;
    let open = own.pulse.as_ref().is_some_and(|pulse| pulse.open);
    if !opened || !open || own.is_gone() {
        return Err("its server is not open".into());
    }
    if own.pulse_age > FRESH {
        return Err(format!("its server has not answered for {:.1} s", own.pulse_age.as_secs_f64()));
    }
    Ok((epoch, left))
}
