//! One more node for a cluster that runs.

use anyhow::{Context, Result, ensure};

use super::{Cluster, Node};
use crate::sandbox::replication;

impl Cluster {
    /// Puts a server and a node on the next spare host. The server replicates from that of `source`, and has nothing else;
    /// the node is in the configuration and waits to be added to the group.
    ///
    /// # Errors
    /// When no host is left, when there is a node without a server, or something does not start.
    pub async fn prepare_node(&mut self, name: &'static str, source: &str) -> Result<()> {
        ensure!(self.nodes.len() == self.servers.len(), "a witness stands in the way of more servers");
        let index = self.nodes.len();
        let host = self.sandbox.hosts().get(index).context("no spare host")?.clone();
        let mut server = self.sandbox.create_server(&host, u32::try_from(index)? + 1).await?;
        server.start().await?;
        replication::follow(&server, self.server(source)?, self.options.semi_sync).await?;
        replication::streaming(&server).await?;
        self.files.add(&self.sandbox, &host, name)?;
        let mut node = Node::new(&host, name, self.files.config())?;
        node.start()?;
        self.servers.push(server);
        self.nodes.push(node);
        Ok(())
    }
}
