//! The event scheduler follows the writer: on after an opening, where the configuration says so, and off on every closed
//! server. Switched behind the guard's back: neither an opening nor a close waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::behind::Done;
use super::guard::{Attached, Guard};
use crate::sql::{Permit, SqlError};
use crate::state::Epoch;

/// How soon what has failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What is wanted of the event scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// On, for the writer of this epoch.
    On(Epoch),
    /// Off, while this node is not the writer.
    Off,
}

/// What was last done about the event scheduler of the process attached to.
#[derive(Debug, Default)]
pub(super) struct EventsSeen {
    is: Option<Events>,
    switching: bool,
    again: Option<Instant>,
    /// Why it is not on, where it should be.
    pub(super) trouble: Option<String>,
}

impl Guard {
    /// The open writer's events run, where they are wanted.
    pub(super) fn events_on(&mut self, epoch: Epoch) {
        if self.ports.events {
            self.switch_events(Events::On(epoch));
        } else if self.events.is == Some(Events::Off) {
            // Whatever runs from here on, it was switched on by hand.
            self.events.is = None;
        }
    }

    /// No event runs on a closed server: with a privileged definer it may write.
    pub(super) fn events_off(&mut self) {
        self.switch_events(Events::Off);
    }

    fn switch_events(&mut self, wanted: Events) {
        let due = self.events.again.is_none_or(|at| Instant::now() >= at);
        if self.events.is == Some(wanted) || self.events.switching || !due {
            return;
        }
        if !matches!(self.server, Attached::To { .. }) {
            return;
        }
        self.events.switching = true;
        let (me, states) = (self.ports.me.clone(), self.ports.states.clone());
        // A switch that comes late must not undo what the next epoch wants.
        let permit = Permit::new(move || {
            let state = states.borrow();
            match wanted {
                Events::On(epoch) => state.is_writer(&me) && state.epoch() == epoch,
                Events::Off => true,
            }
        });
        let (server, done) = (Arc::clone(&self.ports.server), self.behind.done.clone());
        crate::task::spawn(async move {
            let switched = server.set_event_scheduler(matches!(wanted, Events::On(_)), &permit).await;
            let _over = done.send(Done::Events(wanted, switched)).await;
        });
    }

    pub(super) fn events_switched(&mut self, wanted: Events, switched: Result<(), SqlError>) {
        self.events.switching = false;
        match switched {
            Ok(()) => {
                if matches!(wanted, Events::On(_)) {
                    info!("the event scheduler is on");
                }
                self.events = EventsSeen { is: Some(wanted), ..EventsSeen::default() };
            }
            Err(error) => {
                warn!(%error, ?wanted, "the event scheduler was not switched");
                self.events.again = Some(Instant::now() + AGAIN);
                if matches!(wanted, Events::On(_)) {
                    self.events.trouble = Some(format!("the event scheduler is not on: {error}"));
                }
            }
        }
    }
}
