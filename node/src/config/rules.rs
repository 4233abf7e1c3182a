//! What single values cannot tell: whether the whole makes sense.

mod alerting;
mod backup;
mod lists;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::HostPort;
use super::duration::show;
use super::load::{Findings, Origin};
use super::model::{Config, NodeConfig};

/// How often a guard renews its lease within one `lease_ttl`.
pub const RENEWALS_PER_LEASE: u32 = 5;

/// A renewal without an answer is repeated on a second connection after this long.
pub const RENEWAL_REPEAT_AFTER: Duration = Duration::from_millis(150);

/// What a voter may take to answer a repeated renewal: it writes nothing for it.
const RENEWAL_ANSWER: Duration = Duration::from_millis(50);

/// Bytes of the hard fence's command: half a line of the keeper's protocol.
const FENCE_BYTES_MAX: usize = 2048;
/// Letters of a node's name.
const LONGEST_NAME: usize = 32;

/// The shortest `lease_ttl` that a lost packet cannot end.
///
/// A guard begins to close one renewal interval (ttl ÷ 5) before the end. Until then two renewals must have had their
/// chance, the second with its repeat and the answer: 2·ttl÷5 + repeat + answer ≤ 4·ttl÷5, so
/// ttl ≥ 5 ÷ 2 · (repeat + answer).
#[must_use]
pub fn shortest_lease() -> Duration {
    (RENEWAL_REPEAT_AFTER + RENEWAL_ANSWER) * RENEWALS_PER_LEASE / 2
}

/// Checks the whole for the node named `me`. `whole` is false when a `[[node]]` was too faulty to be looked at.
pub(super) fn check(
    config: &Config,
    me: &str,
    whole: bool,
    origins: &BTreeMap<String, Origin>,
    findings: &mut Findings,
) {
    let mut rules = Rules { config, me, origins, findings };
    rules.own_entry(whole);
    rules.distinct_nodes();
    if whole {
        rules.enough_nodes();
        rules.enough_ackers();
    }
    rules.hooks();
    rules.replicas();
    rules.proxies();
    rules.alerts();
    rules.backups();
    rules.timing();
    rules.fence();
    rules.listeners();
    rules.folders();
}

struct Rules<'a> {
    config: &'a Config,
    me: &'a str,
    origins: &'a BTreeMap<String, Origin>,
    findings: &'a mut Findings,
}

impl Rules<'_> {
    /// Blames the first of `keys` that somebody wrote.
    fn error(&mut self, keys: &[&str], text: String) {
        let blamed = keys.iter().find(|key| self.origins.contains_key(**key)).or(keys.first()).copied();
        let key = blamed.unwrap_or_default();
        let place = self.findings.place(self.origins.get(key));
        self.findings.error(place, key, text);
    }

    fn warning(&mut self, key: &str, text: String) {
        let place = self.findings.place(self.origins.get(key));
        self.findings.warning(place, key, text);
    }

    fn own_entry(&mut self, whole: bool) {
        if self.config.node(self.me).is_some() || !whole {
            return;
        }
        let names: Vec<&str> = self.config.nodes.iter().map(|node| node.name.as_str()).collect();
        let text = if names.is_empty() {
            "no [[node]] is in the file; add one for each host".to_owned()
        } else {
            format!(
                "node \"{}\" is not in the file, which has {}; correct --node or BATON_NODE, or add a [[node]]",
                self.me,
                names.join(", ")
            )
        };
        self.findings.error(self.findings.file(None), "node", text);
    }

    fn distinct_nodes(&mut self) {
        let mut seen: BTreeMap<(&str, String), &NodeConfig> = BTreeMap::new();
        for (index, node) in self.config.nodes.iter().enumerate() {
            let server = node.server.as_ref().map(|server| ("server", server.to_string()));
            let marks = [Some(("name", node.name.clone())), Some(("peer", node.peer.to_string())), server];
            for (field, value) in marks.into_iter().flatten() {
                // Peer and server listen at once, so that they share one space of addresses.
                let space = if field == "name" { "name" } else { "address" };
                if let Some(other) = seen.insert((space, value.clone()), node) {
                    let place = self.findings.place(self.origins.get(&format!("node.{index}.{field}")));
                    let text = if field == "name" {
                        format!("two nodes are named \"{value}\"; give each its own name")
                    } else if std::ptr::eq(other, node) {
                        format!(
                            "node \"{}\" has {value} as peer and as server; they need two ports",
                            node.name
                        )
                    } else {
                        format!(
                            "nodes \"{}\" and \"{}\" share {value}; give each its own address",
                            other.name, node.name
                        )
                    };
                    self.findings.error(place, &format!("node.{field}"), text);
                }
            }
            self.reachable(index, "peer", &node.peer);
            if let Some(server) = &node.server {
                self.reachable(index, "server", server);
            }
        }
    }

    fn reachable(&mut self, index: usize, field: &str, address: &HostPort) {
        if ["0.0.0.0", "::"].contains(&address.host.as_str()) {
            let place = self.findings.place(self.origins.get(&format!("node.{index}.{field}")));
            let text = format!("nobody can connect to {address}; write the address that the other nodes use");
            self.findings.error(place, &format!("node.{field}"), text);
        }
    }

    fn enough_nodes(&mut self) {
        let (nodes, servers) = (self.config.nodes.len(), self.servers());
        if nodes == 0 {
            return;
        }
        if servers == 0 {
            let text = "no node has a server; add server = \"host:port\" to those beside one";
            self.findings.error(self.findings.file(None), "node", text);
        }
        if nodes < 3 {
            let text = format!(
                "{nodes} node{} cannot outvote a lost one, so nothing fails over by itself; add a witness",
                if nodes == 1 { "" } else { "s" }
            );
            self.findings.warning(self.findings.file(None), "node", text);
        } else if nodes % 2 == 0 {
            let text = format!(
                "{nodes} voters survive no more losses than {}, and half of them decide nothing; add or drop a witness",
                nodes - 1
            );
            self.findings.warning(self.findings.file(None), "node", text);
        }
    }

    fn enough_ackers(&mut self) {
        let (count, servers) = (self.config.failover.wait_count, self.servers());
        let replicas = servers.saturating_sub(1);
        if servers == 1 {
            self.warning(
                "failover.wait_count",
                "one server has no replica, so no acker; add a second server".to_owned(),
            );
        } else if servers > 1 && count as usize > replicas {
            let plural = if replicas == 1 { "" } else { "s" };
            let text = format!(
                "{count} ackers cannot be had from {replicas} replica{plural}; lower it to {replicas} or add servers"
            );
            self.error(&["failover.wait_count"], text);
        }
    }

    /// Blames a key of the `index`th entry of a list, or the entry where it has a default.
    fn of_list(&mut self, list: &str, index: usize, key: &str, text: String) {
        let written = self.origins.get(&format!("{list}.{index}.{key}"));
        let place = self.findings.place(written.or_else(|| self.origins.get(&format!("{list}.{index}"))));
        self.findings.error(place, &format!("{list}.{key}"), text);
    }

    fn servers(&self) -> usize {
        self.config.nodes.iter().filter(|node| !node.is_witness()).count()
    }

    fn timing(&mut self) {
        let (failover, raft) = (&self.config.failover, &self.config.raft);
        if failover.lease_ttl < shortest_lease() {
            self.error(
                &["failover.lease_ttl"],
                format!(
                    "{} is too short for its renewals ({RENEWALS_PER_LEASE} per lease, each repeated after {}): one \
                     lost packet would close the writer; use {} or more",
                    show(failover.lease_ttl),
                    show(RENEWAL_REPEAT_AFTER),
                    show(shortest_lease())
                ),
            );
        }
        if raft.election_min < raft.heartbeat * 3 {
            self.error(
                &["raft.election_min", "raft.heartbeat"],
                format!(
                    "election_min {} is less than three heartbeats of {}: one late packet would elect; use {} or more",
                    show(raft.election_min),
                    show(raft.heartbeat),
                    show(raft.heartbeat * 3)
                ),
            );
        }
        if raft.election_min >= raft.election_max {
            self.error(
                &["raft.election_max", "raft.election_min"],
                format!(
                    "election_max {} must be greater than election_min {}: nodes that wait equally long split the vote",
                    show(raft.election_max),
                    show(raft.election_min)
                ),
            );
        }
        let connect = self.config.server.connect_timeout;
        if connect >= failover.unreachable_after {
            self.error(
                &["server.connect_timeout", "failover.unreachable_after"],
                format!(
                    "connect_timeout {} must be shorter than unreachable_after {}: no attempt would fail in time",
                    show(connect),
                    show(failover.unreachable_after)
                ),
            );
        }
    }

    /// The command reaches a keeper as one line of its protocol; a longer one would end the connection, and with it the lease.
    fn fence(&mut self) {
        let Some(command) = self.config.failover.hard_fence.command(&"n".repeat(LONGEST_NAME)) else {
            return;
        };
        let bytes = serde_json::json!(command).to_string().len();
        if bytes > FENCE_BYTES_MAX {
            self.error(
                &["failover.hard_fence"],
                format!(
                    "{bytes} bytes are too many, {FENCE_BYTES_MAX} at most; write a script and name that"
                ),
            );
        }
    }

    fn listeners(&mut self) {
        let config = self.config;
        let mut taken: Vec<(&str, SocketAddr)> = vec![("http.listen", config.http.listen)];
        if config.router.enabled {
            taken.push(("router.writer_listen", config.router.writer_listen));
            taken.push(("router.reader_listen", config.router.reader_listen));
        }
        taken.extend(config.control.listen.map(|listen| ("control.listen", listen)));
        if let Some(me) = config.node(self.me) {
            let fixed = [("node.peer", Some(&me.peer)), ("node.server", me.server.as_ref())];
            for (key, address) in fixed {
                let address = address.and_then(|address| address.to_string().parse().ok());
                taken.extend(address.map(|address| (key, address)));
            }
        }
        for (index, (key, address)) in taken.iter().enumerate() {
            let clash = taken[..index].iter().find(|(_, other)| overlap(*other, *address));
            // Two addresses of one node are compared above.
            if let Some((other, _)) =
                clash.filter(|(other, _)| !(key.starts_with("node") && other.starts_with("node")))
            {
                let ours: Vec<&str> =
                    [*key, *other].into_iter().filter(|key| !key.starts_with("node")).collect();
                self.error(&ours, format!("{other} and {key} both want {address}; change the port of one"));
            }
        }
    }

    fn folders(&mut self) {
        if self.config.paths.data == self.config.paths.run {
            self.error(
                &["paths.run", "paths.data"],
                "data and run are one folder, but run is emptied when the host boots; use two".to_owned(),
            );
        }
    }
}

/// Whether one socket bound to the first would be in the way of the second.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
