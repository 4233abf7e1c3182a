//! Planned moves of the writer that a test needs and is not about.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use baton_proto::control::SwitchoverReply;

use super::Cluster;

/// How often a switchover is tried on a busy machine.
const TRIES: u32 = 5;

impl Cluster {
    /// Moves the writer as `batonctl switchover` with these arguments does, and asks again where a busy machine stood in
    /// the way: a server that did not answer in time, a leader that was lost, a pause that was not kept. Also returns when
    /// the try began that moved it.
    ///
    /// # Errors
    /// When no try moves it; the message has the last answer and the ends of the nodes' logs.
    pub async fn moves(&self, arguments: &[&str]) -> Result<(Instant, SwitchoverReply)> {
        let mut tries = 1;
        loop {
            let began = Instant::now();
            let reply = self.ctl().switchover(arguments).await.map_err(|error| self.explained(error))?;
            if reply.moved {
                return Ok((began, reply));
            }
            ensure!(tries < TRIES, self.explained(anyhow!("{reply:#?}")));
            self.settled().await?;
            tries += 1;
        }
    }
}
