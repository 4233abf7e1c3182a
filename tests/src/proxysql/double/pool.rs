//! Connections to servers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use mysql_async::{Conn, OptsBuilder};
use tokio::time::timeout;

use crate::proxysql::placed::Placed;

/// mysql-connect_timeout_server.
const CONNECT: Duration = Duration::from_secs(1);

/// Connections, free ones and how many are in use, by group, address and user.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<HashMap<(u32, SocketAddr, String), Vec<Conn>>>,
    used: Mutex<HashMap<(u32, SocketAddr), usize>>,
}

/// Counts as in use while it lives.
pub(super) struct Used<'a>(&'a Pool, (u32, SocketAddr));

impl Drop for Used<'_> {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.0.used).get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Pool {
    pub(super) fn using(&self, group: u32, address: SocketAddr) -> Used<'_> {
        *lock(&self.used).entry((group, address)).or_default() += 1;
        Used(self, (group, address))
    }

    pub(super) fn used(&self, server: &Placed) -> usize {
        let key = server.address().map(|address| (server.group, address));
        key.and_then(|key| lock(&self.used).get(&key).copied()).unwrap_or_default()
    }

    /// A free one, or a new one.
    pub(super) async fn take(
        &self,
        group: u32,
        address: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Conn> {
        let free = lock(&self.free).get_mut(&(group, address, user.to_owned())).and_then(Vec::pop);
        if let Some(free) = free {
            return Ok(free);
        }
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(user))
            .pass(Some(password))
            .prefer_socket(false)
            .max_allowed_packet(Some(16 << 20))
            .wait_timeout(Some(28_800));
        Ok(timeout(CONNECT, Conn::new(options)).await??)
    }

    pub(super) fn give_back(&self, group: u32, address: SocketAddr, user: &str, connection: Conn) {
        lock(&self.free).entry((group, address, user.to_owned())).or_default().push(connection);
    }

    /// Ends free ones to whoever is not `online`, by group and address.
    pub(super) fn keep(&self, online: &[(u32, SocketAddr)]) {
        lock(&self.free).retain(|(group, address, _), _| online.contains(&(*group, *address)));
    }

    pub(super) fn clear(&self) {
        lock(&self.free).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
