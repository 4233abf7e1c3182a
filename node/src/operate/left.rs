//! The word of a replica that has left the list of ackers, for `decide::leaving`. Pure.

use crate::decide::seen::Left;
use crate::sql::Pulse;
use crate::state::{Grant, LeavesFor};

/// What a replica that is to leave says once its receiver stands still, as read after it was stopped: one that only tries to
/// connect says that it does not run, and could receive and acknowledge in the next moment.
pub(super) fn left(grant: &Grant, cause: LeavesFor, read: &Pulse) -> Option<Left> {
    let channel = read.replication.as_ref()?;
    let still = !channel.io_started && !channel.io_running && !read.semi_sync.replica_acking;
    still.then(|| Left { epoch: grant.epoch, cause, received: read.received.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fake;
    use crate::sql::Replication;
    use crate::state::Epoch;

    /// What it says of itself after this change of its receiver, which was stopped.
    fn says(change: fn(&mut Replication, &mut bool)) -> Option<Left> {
        let grant = Grant {
            epoch: Epoch(3),
            node: "db1".into(),
            since_ms: 0,
            unleased: false,
            opened_ms: Some(0),
            paused_at: None,
        };
        let mut read = fake::replica_of("db1", 3306);
        read.semi_sync.replica_acking = false;
        let channel = read.replication.as_mut()?;
        (channel.io_started, channel.io_running) = (false, false);
        change(channel, &mut read.semi_sync.replica_acking);
        left(&grant, LeavesFor::Maintenance, &read)
    }

    #[test]
    fn a_replica_has_left_once_its_receiver_stands_still() {
        let said = says(|_, _| ());
        assert!(said.is_some_and(|left| left.epoch == Epoch(3) && left.cause == LeavesFor::Maintenance));
        assert_eq!(says(|channel, _| channel.io_started = true), None, "it tries to connect");
        assert_eq!(says(|channel, _| channel.io_running = true), None);
        assert_eq!(says(|_, acks| *acks = true), None);
    }
}
