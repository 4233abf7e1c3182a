//! Clients that write straight to every server, past all routing: what they get acknowledged shows who the writers were.
//!
//! Looking at `read_only` proves nothing: a server that was frozen shows it only after it has gone on. An acknowledged
//! row is a fact.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_proto::control::Operation;

use super::Cluster;
use crate::sandbox::{Ledger, LedgerOptions, Outcome};

/// Between two writes to one server.
const PACE: Duration = Duration::from_millis(5);
/// A server that is hung has acknowledged nothing.
const ANSWER: Duration = Duration::from_secs(2);

/// One client on each server's own host, where no cut between hosts is in its way.
#[derive(Debug)]
pub struct DirectWriters {
    ledgers: Vec<(&'static str, Ledger)>,
}

impl DirectWriters {
    /// Begins to write.
    pub fn start(cluster: &Cluster) -> Self {
        let options = LedgerOptions {
            sessions: 1,
            pace: Some(PACE),
            connect_timeout: ANSWER,
            write_timeout: ANSWER,
            stays_when_refused: true,
            ..LedgerOptions::default()
        };
        let ledgers = cluster
            .data_nodes()
            .zip(cluster.servers())
            .map(|(name, server)| (name, Ledger::start(server.host(), &[server.address()], options.clone())));
        Self { ledgers: ledgers.collect() }
    }

    /// Ends the writing.
    pub async fn stop(&mut self) {
        for (_, ledger) in &mut self.ledgers {
            ledger.stop().await;
        }
    }

    /// What each client wrote, by the name of the server's node.
    pub fn ledgers(&self) -> impl Iterator<Item = (&'static str, &Ledger)> {
        self.ledgers.iter().map(|(name, ledger)| (*name, ledger))
    }

    /// Whether the servers acknowledged one after the other, in the order of the epochs: never a row on one after a
    /// later epoch's first row on another. `first` held the grant of the epoch `since` at the start, `operations` moved it later.
    ///
    /// # Errors
    /// The order in which they did.
    pub fn one_after_the_other(&self, first: &str, since: u64, operations: &[Operation]) -> Result<()> {
        let mut acknowledged: Vec<(Instant, &str)> = self
            .ledgers()
            .flat_map(|(name, ledger)| {
                let writes = ledger.writes().into_iter();
                let writes = writes.filter(|write| write.outcome == Outcome::Acknowledged);
                writes.map(move |write| (write.ended, name)).collect::<Vec<_>>()
            })
            .collect();
        acknowledged.sort();
        let mut granted: Vec<_> = operations
            .iter()
            .filter(|operation| operation.from_epoch >= since && operation.to_epoch > operation.from_epoch)
            .map(|operation| (operation.to_epoch, operation.to_node.as_str()))
            .collect();
        granted.sort();
        let granted = [first].into_iter().chain(granted.into_iter().map(|(_, node)| node));
        let turns = turns(acknowledged.iter().map(|(_, name)| *name));
        ensure!(!turns.is_empty(), "no server acknowledged anything to a client that writes to it directly");
        ensure!(
            is_in_order(&turns, granted.clone()),
            "TWO WRITERS: the servers acknowledged in the order {turns:?}, and the grants were {:?}",
            granted.collect::<Vec<_>>()
        );
        Ok(())
    }
}

/// Each name once for every time it follows another.
fn turns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut turns: Vec<&str> = Vec::new();
    for name in names {
        if turns.last() != Some(&name) {
            turns.push(name);
        }
    }
    turns
}

/// Whether the turns can be had from the grants by leaving some out: one that was over before it wrote anything.
fn is_in_order<'a>(turns: &[&str], mut granted: impl Iterator<Item = &'a str>) -> bool {
    turns.iter().all(|turn| granted.any(|node| node == *turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_row_of_an_older_epoch_is_a_second_writer() {
        let granted = || ["db1", "db2", "db1"].into_iter();
        assert!(is_in_order(&turns(["db1", "db1", "db2"].into_iter()), granted()));
        assert!(is_in_order(&turns(["db1", "db2", "db1"].into_iter()), granted()));
        assert!(is_in_order(&turns(["db2"].into_iter()), granted()));
        assert!(!is_in_order(&turns(["db1", "db2", "db1", "db2"].into_iter()), granted()));
        assert!(!is_in_order(&turns(["db3"].into_iter()), granted()));
    }
}
