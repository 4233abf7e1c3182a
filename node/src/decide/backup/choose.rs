//! Which server is read for a backup: a healthy replica with the least lag. A backup is never worth what it would cost the
//! writer, unless its job says so.

use std::time::Duration;

use crate::state::NodeName;

/// What a job wants of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// That one and no other.
    pub node: Option<NodeName>,
    /// Whether the writer may be read when no replica can.
    pub allow_writer: bool,
    /// The most that a replica may lag.
    pub lag_max: Duration,
    /// The servers of which an increment would be one, the best first; preferred while they will do.
    pub chains: Vec<NodeName>,
}

/// A server, as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its node.
    pub node: NodeName,
    /// Whether it holds the write role.
    pub is_writer: bool,
    /// Why it cannot be read at all: it does not answer, is out, lacks the program, has no room.
    pub unfit: Option<String>,
    /// How far behind the writer it is; `None` when that is not known, or it does not replicate.
    pub lag: Option<Duration>,
    /// What is done with it already: one backup, rebuild or copy at a time.
    pub busy: Option<String>,
    /// Whether it would be the next writer: another one is read rather.
    pub is_next: bool,
}

/// Nobody can be read: each server with its reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nobody(pub Vec<(NodeName, String)>);

impl std::fmt::Display for Nobody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is no server");
        }
        let reasons: Vec<_> = self.0.iter().map(|(node, why)| format!("{node} {why}")).collect();
        f.write_str(&reasons.join("; "))
    }
}

/// Chooses the server.
///
/// # Errors
/// Why none of them will do.
pub fn choose<'s>(servers: &'s [Server], wanted: &Wanted) -> Result<&'s Server, Nobody> {
    let (mut fit, mut others) = (Vec::new(), Vec::new());
    for server in servers {
        match why_not(server, wanted) {
            None => fit.push(server),
            Some(why) => others.push((server.node.clone(), why)),
        }
    }
    // In this order: a replica, the one whose chain goes on, one that is not next in line, the least lag, and by name.
    let rank = |server: &&Server| {
        let chain = wanted.chains.iter().position(|node| *node == server.node).unwrap_or(usize::MAX);
        let lag = server.lag.unwrap_or_default().as_secs();
        (server.is_writer, chain, server.is_next, lag, server.node.clone())
    };
    fit.into_iter().min_by_key(rank).ok_or(Nobody(others))
}

fn why_not(server: &Server, wanted: &Wanted) -> Option<String> {
    if wanted.node.as_ref().is_some_and(|node| *node != server.node) {
        return Some("was not asked for".into());
    }
    if let Some(why) = &server.unfit {
        return Some(why.clone());
    }
    if let Some(what) = &server.busy {
        return Some(format!("is busy: {what}"));
    }
    if server.is_writer {
        return (!wanted.allow_writer)
            .then(|| "is the writer, which is read only where that is allowed".to_owned());
    }
    match server.lag {
        None => Some("does not replicate".into()),
        Some(lag) if lag > wanted.lag_max => {
            Some(format!("is {} s behind, more than {} s", lag.as_secs(), wanted.lag_max.as_secs()))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn server(node: &str, lag_s: u64) -> Server {
        let lag = Some(Duration::from_secs(lag_s));
        Server { node: node.into(), is_writer: false, unfit: None, lag, busy: None, is_next: false }
    }

    fn writer(node: &str) -> Server {
        Server { is_writer: true, lag: None, ..server(node, 0) }
    }

    fn wanted() -> Wanted {
        Wanted { node: None, allow_writer: false, lag_max: Duration::from_secs(60), chains: Vec::new() }
    }

    fn chosen(servers: &[Server], wanted: &Wanted) -> Result<String, String> {
        choose(servers, wanted).map(|s| s.node.to_string()).map_err(|nobody| nobody.to_string())
    }

    #[test]
    fn a_replica_that_lags_least() {
        let servers = [writer("db1"), server("db2", 9), server("db3", 1)];
        assert_eq!(chosen(&servers, &wanted()), Ok("db3".into()));
        let next = [writer("db1"), server("db2", 9), Server { is_next: true, ..server("db3", 1) }];
        assert_eq!(chosen(&next, &wanted()), Ok("db2".into()), "the next writer is spared");
        let chain = Wanted { chains: vec!["db1".into(), "db3".into(), "db2".into()], ..wanted() };
        assert_eq!(chosen(&next, &chain), Ok("db3".into()), "the newest chain of a replica goes on");
        let allowed = Wanted { allow_writer: true, ..chain };
        assert_eq!(chosen(&next, &allowed), Ok("db3".into()), "no chain is worth reading the writer");
        let named = Wanted { node: Some("db2".into()), ..wanted() };
        assert_eq!(chosen(&servers, &named), Ok("db2".into()));
    }

    #[test]
    fn the_writer_only_when_the_job_says_so_and_nobody_else_can() {
        let allowed = Wanted { allow_writer: true, ..wanted() };
        let servers = [writer("db1"), server("db2", 61)];
        assert_eq!(
            chosen(&servers, &wanted()),
            Err("db1 is the writer, which is read only where that is allowed; db2 is 61 s behind, more than 60 s"
                .into())
        );
        assert_eq!(chosen(&servers, &allowed), Ok("db1".into()));
        assert_eq!(chosen(&[writer("db1"), server("db2", 5)], &allowed), Ok("db2".into()));
    }

    #[test]
    fn one_thing_at_a_time_and_nothing_that_is_unfit() {
        let busy = Server { busy: Some("a rebuild".into()), ..server("db2", 0) };
        let unfit = Server { unfit: Some("has no mariadb-backup".into()), ..server("db3", 0) };
        let still = Server { lag: None, ..server("db4", 0) };
        assert_eq!(
            chosen(&[busy, unfit, still], &wanted()),
            Err("db2 is busy: a rebuild; db3 has no mariadb-backup; db4 does not replicate".into())
        );
        assert_eq!(chosen(&[], &wanted()), Err("there is no server".into()));
    }
}
