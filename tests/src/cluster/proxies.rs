//! The ProxySQL that a cluster's configuration names.

use anyhow::Result;

use super::Cluster;
use crate::proxysql::{ProxySql, ProxySqlOptions};

/// Of the admin interface of the one with this index; its data port is the next.
pub(super) fn port_of(index: u16) -> u16 {
    6032 + 2 * index
}

impl Cluster {
    /// Starts the doubles of every ProxySQL that the configuration names. With `monitored`, each second one, from the first
    /// on, also places servers itself.
    ///
    /// # Errors
    /// When a port is taken.
    pub async fn proxysql(&self, monitored: bool) -> Result<Vec<ProxySql>> {
        let start = (0..self.options.proxies).map(|index| {
            let port = port_of(index);
            let options = ProxySqlOptions { port, monitored: monitored && index % 2 == 0 };
            ProxySql::start(self.sandbox.client(), options)
        });
        futures::future::try_join_all(start).await
    }
}
