//! The guard's view of the world, made of the real parts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::consensus::{self, Group, MembershipView};
use crate::guard::clock::Boottime;
use crate::guard::keeper::{ArmRequest, Client};
use crate::guard::{Applied, Attach, Electorate, Judged, KeeperHolds, KeeperPort, Notes, Opener};
use crate::sql::{Connector, Permit, Pinned, Pulse, SqlError};
use crate::state::{ClusterState, Epoch};

/// Connecting to a server's socket on this host, login included.
const ATTACH_WITHIN: Duration = Duration::from_millis(1000);
/// A handful of statements on a connection that stands.
const STATEMENTS_WITHIN: Duration = Duration::from_millis(2000);
/// A port on this host refuses at once or not at all.
const REFUSES_WITHIN: Duration = Duration::from_millis(200);

/// Notes in the group's store.
pub(super) struct StoreNotes(pub(super) consensus::Notes);

impl Notes for StoreNotes {
    fn get(&self, key: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
        async move { self.0.get(key).await.map_err(|e| e.to_string()) }.boxed()
    }

    fn put(&self, key: &'static str, value: String) -> BoxFuture<'_, Result<(), String>> {
        async move { self.0.put(key, &value).await.map_err(|e| e.to_string()) }.boxed()
    }
}

/// The applied state and the newest membership, under the group's lock.
pub(super) struct GroupApplied(pub(super) Group);

impl Applied for GroupApplied {
    fn with(&self, judge: &mut dyn FnMut(Judged<'_>)) -> Option<()> {
        self.0.with_applied(|state, membership| {
            let nanos = u64::try_from(membership.applied_at.as_nanos()).unwrap_or(u64::MAX);
            let electorate = electorate(membership);
            judge(Judged { state, electorate: &electorate, membership_since: Boottime::from_nanos(nanos) });
        })
    }
}

fn electorate(membership: &MembershipView) -> Electorate {
    let names = |set: &std::collections::BTreeSet<u64>| {
        set.iter().filter_map(|id| membership.members.get(id)).map(|m| m.name.clone()).collect()
    };
    Electorate { index: membership.index, sets: membership.voters.iter().map(names).collect() }
}

/// The keeper's process.
pub(super) struct Keeper(pub(super) Client);

impl KeeperPort for Keeper {
    fn arm(
        &self,
        epoch: Epoch,
        process: (i32, u64),
        deadline: Option<Boottime>,
    ) -> BoxFuture<'_, Result<(), String>> {
        let request = ArmRequest { epoch: epoch.0, pid: process.0, start_time_ticks: process.1, deadline };
        async move { self.0.arm(request).await.map(drop).map_err(|e| e.to_string()) }.boxed()
    }

    fn extend(&self, epoch: Epoch, pid: i32, deadline: Boottime) -> BoxFuture<'_, Result<(), String>> {
        async move { self.0.extend(epoch.0, pid, deadline).await.map(drop).map_err(|e| e.to_string()) }
            .boxed()
    }

    fn disarm(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        async move { self.0.disarm(epoch.0, pid).await.map(drop).map_err(|e| e.to_string()) }.boxed()
    }

    fn closed(&self, epoch: Epoch, pid: i32) -> BoxFuture<'_, Result<(), String>> {
        async move { self.0.closed(epoch.0, pid).await.map(drop).map_err(|e| e.to_string()) }.boxed()
    }

    fn holding(&self) -> BoxFuture<'_, Result<Option<KeeperHolds>, String>> {
        async move {
            let status = self.0.status().await.map_err(|e| e.to_string())?;
            Ok(status.holding.map(|held| KeeperHolds {
                epoch: Epoch(held.epoch),
                process: (held.pid, held.start_time_ticks),
                deadline: held.deadline,
            }))
        }
        .boxed()
    }

    fn died(&self) -> BoxFuture<'_, ()> {
        self.0.died().boxed()
    }
}

/// The server's socket on this host.
pub(super) struct Socket {
    pub(super) connector: Connector,
    pub(super) socket: PathBuf,
    /// A directory of Baton's own.
    pub(super) private: PathBuf,
    /// `host:port` under which clients reach the server.
    pub(super) address: String,
}

impl Attach for Socket {
    fn attach(&self) -> BoxFuture<'_, Result<Box<dyn Opener>, SqlError>> {
        async move {
            let pinned = Pinned::connect(&self.connector, &self.socket, &self.private, ATTACH_WITHIN).await?;
            Ok(Box::new(Pin(pinned)) as Box<dyn Opener>)
        }
        .boxed()
    }

    fn refuses(&self) -> BoxFuture<'_, bool> {
        async move {
            let refused = |e: &std::io::Error| {
                matches!(e.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound)
            };
            let socket = timeout(REFUSES_WITHIN, UnixStream::connect(&self.socket)).await;
            let port = timeout(REFUSES_WITHIN, TcpStream::connect(&self.address)).await;
            matches!((socket, port), (Ok(Err(s)), Ok(Err(p))) if refused(&s) && refused(&p))
        }
        .boxed()
    }
}

struct Pin(Pinned);

impl Opener for Pin {
    fn pid(&self) -> i32 {
        i32::try_from(self.0.pid()).unwrap_or(i32::MAX)
    }

    fn is_broken(&self) -> bool {
        self.0.is_broken()
    }

    fn make_wait<'a>(
        &'a mut self,
        wait_count: u32,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<(), SqlError>> {
        async move { self.0.make_source_wait(wait_count, permit, STATEMENTS_WITHIN).await.map(drop) }.boxed()
    }

    fn open<'a>(&'a mut self, permit: &'a Permit) -> BoxFuture<'a, Result<Pulse, SqlError>> {
        self.0.open(permit, STATEMENTS_WITHIN).boxed()
    }
}

/// One state channel out of the group's, which also carries the index.
pub(super) fn states_only(group: &Group) -> tokio::sync::watch::Receiver<Arc<ClusterState>> {
    let mut applied = group.states();
    let (sender, receiver) = tokio::sync::watch::channel(Arc::clone(&applied.borrow_and_update().state));
    crate::task::spawn(async move {
        while applied.changed().await.is_ok() {
            let state = Arc::clone(&applied.borrow_and_update().state);
            if sender.send(state).is_err() {
                return;
            }
        }
    });
    receiver
}
