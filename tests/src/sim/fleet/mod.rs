//! Servers in memory that behave as MySQL and MariaDB do, on virtual time.
//!
//! [`Fleet`] holds them all. What happens between and inside them is a queue of events ([`machine`]), worked off in the
//! order of time by one task ([`Fleet::run`]), so that a seed gives the same run every time. Everything goes over
//! [`Links`], which the world gives: replication streams, Baton's connections ([`Remote`], [`Socket`]), clients'
//! ([`Client`]). Who breaks things calls [`Fleet`]'s faults; who checks invariants reads [`inspect`].
//!
//! Behaviour is that of the real servers where Baton's code or its documentation rests on it, each at the place where it
//! is modelled. What is simplified says so there. Time passes on tokio's clock alone, which must be paused.

mod applier;
mod client;
mod commit;
mod connection;
mod dumps;
mod events;
mod faults;
mod inspect;
mod life;
mod lines;
mod links;
mod lock;
mod machine;
mod managed;
mod managed_close;
mod managed_replication;
mod managed_semi_sync;
mod opener;
mod process;
mod pulse;
mod receiver;
mod settings;
mod statements;
mod store;
mod threads;
mod transaction;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use client::{Client, User, Written};
pub use faults::Disk;
pub use inspect::{Acknowledged, ProcessSeen, ServerSeen};
pub use links::{Links, OpenLinks};
pub use managed::Remote;
pub use opener::{Opened, Socket};
pub use settings::ServerSettings;
pub use transaction::{Gtid, Row, Transaction};

use machine::Machine;

/// The name of a host, which is that of the server on it: there is one server on each.
pub type Host = String;

/// All servers.
#[derive(Clone)]
pub struct Fleet {
    machine: Arc<Mutex<Machine>>,
    earlier: Arc<Notify>,
}

impl Fleet {
    /// Servers with these settings, one on each host, none of them running. `seed` is all the chance there is.
    /// `links` is asked while the fleet is locked: it must not call the fleet.
    pub fn new(servers: Vec<ServerSettings>, links: Arc<dyn Links>, seed: u64) -> Self {
        let earlier = Arc::new(Notify::new());
        let machine = Machine::new(servers, links, seed, Arc::clone(&earlier));
        Self { machine: Arc::new(Mutex::new(machine)), earlier }
    }

    /// Works off what is due, for as long as it is polled. One task must run it.
    pub async fn run(self) {
        loop {
            let next = self.lock().next_at();
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    /// The fleet as of now: whatever is due has happened.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.catch_up(Instant::now());
        machine
    }
}
