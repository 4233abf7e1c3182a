//! Where each ProxySQL leads clients, and where it should. Pure.

use baton_proto::control::{Proxy, ProxyServer, RoutingReply};

use crate::config::HostPort;
use crate::proxysql::{Condition, Desired, Shown, Want};
use crate::state::{ClusterState, Phase};

/// The whole answer, from what the leader knows of each instance.
pub fn routing(state: &ClusterState, shown: &[Shown]) -> RoutingReply {
    RoutingReply {
        managed: state.phase == Phase::Managed,
        epoch: state.epoch().0,
        writer: state.live_grant().map(|grant| grant.node.to_string()).unwrap_or_default(),
        proxies: shown.iter().map(proxy).collect(),
    }
}

fn proxy(shown: &Shown) -> Proxy {
    let (state, note) = match &shown.condition {
        Condition::Unknown => ("unknown", String::new()),
        Condition::Right => ("right", String::new()),
        Condition::Diverged(why) => ("diverged", why.clone()),
        Condition::Unreachable(why) => ("unreachable", why.clone()),
    };
    let servers = shown.wanted.as_ref().map(|desired| servers(shown, desired)).unwrap_or_default();
    Proxy {
        name: shown.name.clone(),
        admin: shown.admin.to_string(),
        state: state.into(),
        note,
        read_ms: shown.read_ms,
        writer_hostgroup: shown.groups.writer,
        reader_hostgroup: shown.groups.reader,
        servers,
        repairs: shown.repairs,
        repaired: shown.repaired.clone().unwrap_or_default(),
    }
}

/// The cluster's, then what else is in the two groups.
fn servers(shown: &Shown, desired: &Desired) -> Vec<ProxyServer> {
    let status = |group: u32, address: &HostPort| {
        let row = shown.actual.runtime.iter().find(|row| row.hostgroup == group && row.address == *address);
        row.map(|row| row.status.clone()).unwrap_or_default()
    };
    let of = |node: String, address: &HostPort, wanted: [&str; 2]| ProxyServer {
        node,
        address: address.to_string(),
        writer_wanted: wanted[0].into(),
        reader_wanted: wanted[1].into(),
        writer_status: status(shown.groups.writer, address),
        reader_status: status(shown.groups.reader, address),
        right: !shown.differences.iter().any(|difference| difference.address == *address),
    };
    let own = desired.servers.iter().map(|(address, (node, placement))| {
        of(node.to_string(), address, [word(placement.writer), word(placement.reader)])
    });
    let mut others: Vec<&HostPort> = shown.actual.runtime.iter().map(|row| &row.address).collect();
    others.retain(|address| !desired.servers.contains_key(*address));
    others.sort_unstable();
    others.dedup();
    own.chain(others.into_iter().map(|address| of(String::new(), address, ["any", "any"]))).collect()
}

fn word(want: Want) -> &'static str {
    match want {
        Want::Online => "online",
        Want::Soft => "soft",
        Want::Absent => "absent",
        Want::Any => "any",
    }
}
