//! Replicas that lag.

use anyhow::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::Cluster;

impl Cluster {
    /// Holds up what these replicas apply, until the sessions are dropped. (A thread that is only stopped its node starts again.)
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub async fn held_up(&self, names: &[&str]) -> Result<Vec<Conn>> {
        let mut holding = Vec::new();
        for name in names {
            let mut session = self.server(name)?.connect().await?;
            session.query_drop("LOCK TABLES app.writes READ").await?;
            holding.push(session);
        }
        // Of no ledger's session.
        let row = "INSERT INTO app.writes (client, seq, at_us) VALUES (-1, 1, 0)";
        let writer = self.ctl().status().await?.writer;
        self.server(&writer)?.execute([row]).await?;
        Ok(holding)
    }
}
