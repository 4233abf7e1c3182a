//! The ProxySQL that a cluster's configuration names.

use anyhow::Result;
use futures::future::try_join_all;

use super::Cluster;
use crate::proxysql::{Double, ProxySql, ProxySqlOptions};

/// Of the admin interface of the one with this index; its data port is the next.
pub(super) fn port_of(index: u16) -> u16 {
    6032 + 2 * index
}

impl Cluster {
    /// Starts every ProxySQL that the configuration names, real ones if they can be had. With `monitored`, each second one,
    /// from the first on, also places servers itself.
    ///
    /// # Errors
    /// When a port is taken, or a real one does not start.
    pub async fn proxysql(&self, monitored: bool) -> Result<Vec<ProxySql>> {
        let start = self.each_proxy(monitored).map(|options| ProxySql::start(self.sandbox.client(), options));
        try_join_all(start).await
    }

    /// The same, with doubles in any case.
    ///
    /// # Errors
    /// When a port is taken.
    pub async fn doubles(&self, monitored: bool) -> Result<Vec<Double>> {
        let start = self.each_proxy(monitored).map(|options| Double::start(self.sandbox.client(), options));
        try_join_all(start).await
    }

    fn each_proxy(&self, monitored: bool) -> impl Iterator<Item = ProxySqlOptions> {
        (0..self.options.proxies).map(move |index| ProxySqlOptions {
            monitored: monitored && index % 2 == 0,
            ..ProxySqlOptions::at(port_of(index))
        })
    }
}
