//! What can happen to a host. Each fault is in force when its call returns, and lasts until it is undone.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::host::Host;
use super::links::{Direction, Links};

impl Host {
    /// Cuts the host off from all others, the client included: packets vanish silently in both directions.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or `nft` fails.
    pub async fn cut(&self) -> Result<()> {
        let links = self.links()?;
        links
            .lose(links.others(&self.name).flat_map(|other| both_ways(&self.name, other)).collect(), 100)
            .await
    }

    /// Ends every fault of this host's links.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or `nft` fails.
    pub async fn heal(&self) -> Result<()> {
        let links = self.links()?;
        links.lose(links.others(&self.name).flat_map(|other| both_ways(&self.name, other)).collect(), 0).await
    }

    /// Cuts the link between this host and another, in both directions.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or `nft` fails.
    pub async fn cut_from(&self, other: &Host) -> Result<()> {
        self.links()?.lose(both_ways(&self.name, &other.name).into(), 100).await
    }

    /// Drops what this host sends to another; the other direction stays as it is.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or `nft` fails.
    pub async fn mute_towards(&self, other: &Host) -> Result<()> {
        self.links()?.lose(vec![(self.name.clone(), other.name.clone())], 100).await
    }

    /// Makes all of this host's links lose `percent` (0 to 100) of their packets at random, in each direction.
    ///
    /// # Errors
    /// When `percent` is above 100, when hosts are loopback addresses, or `nft` fails.
    pub async fn lose_packets(&self, percent: u8) -> Result<()> {
        ensure!(percent <= 100, "{percent} % of packets cannot be lost");
        let links = self.links()?;
        links
            .lose(links.others(&self.name).flat_map(|other| both_ways(&self.name, other)).collect(), percent)
            .await
    }

    /// Stops every process on the host, as when a virtual machine is paused. Its kernel still answers: connections are
    /// accepted and acknowledged, and nobody reads them.
    pub fn freeze(&self) {
        self.members().signal(Signal::STOP);
    }

    /// Lets every process on the host go on.
    pub fn thaw(&self) {
        self.members().signal(Signal::CONT);
    }

    /// Ends the host as a power failure does: all its processes are killed, and where links can be cut no packet says
    /// so to anybody. [`Host::heal`] is its return, without any process.
    ///
    /// # Errors
    /// When `nft` fails, or a process does not go away within 10 s.
    pub async fn power_off(&self) -> Result<()> {
        if self.links.is_some() {
            self.cut().await?;
        }
        let members = self.members();
        let gone = tokio::task::spawn_blocking(move || members.kill()).await?;
        ensure!(gone, "a process on {} survives SIGKILL", self.name);
        Ok(())
    }

    fn links(&self) -> Result<&Links> {
        self.links.as_deref().context("hosts that are loopback addresses have no links to cut")
    }
}

fn both_ways(a: &str, b: &str) -> [Direction; 2] {
    [(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())]
}
