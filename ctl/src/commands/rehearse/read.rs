//! What single servers, routers and ProxySQL say, judged. Pure.

use baton_proto::control::{Flag, Proxy, RoutingReply};

/// Every switch of a server that must refuse writes is on.
///
/// # Errors
/// The switches as they stand.
pub(super) fn is_closed(flags: &[Flag]) -> Result<String, String> {
    let on = |flag: &Flag| !matches!(flag.value.to_ascii_uppercase().as_str(), "0" | "OFF" | "");
    let each: Vec<String> = flags.iter().map(|flag| format!("{}={}", flag.name, flag.value)).collect();
    match flags {
        [] => Err("it has not said how its switches stand".into()),
        flags if flags.iter().all(on) => Ok(each.join(", ")),
        _ => Err(each.join(", ")),
    }
}

/// Every row that was acknowledged is among those found.
///
/// # Errors
/// How many are missing, and the first of them.
pub(super) fn has_rows(node: &str, written: &[u32], found: &[u32]) -> Result<(), String> {
    let missing: Vec<&u32> = written.iter().filter(|row| !found.contains(row)).collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("{node} lacks {} of {} rows, such as row {first}", missing.len(), written.len()))
        }
    }
}

/// Every router leads to the writer's server; a node whose server id is 0 does not route.
///
/// # Errors
/// The first that does not.
pub(super) fn routed(writer: u32, routes: &[(&str, u32)]) -> Result<String, String> {
    let routing: Vec<&(&str, u32)> = routes.iter().filter(|(_, server)| *server != 0).collect();
    if let Some((node, server)) = routing.iter().find(|(_, server)| *server != writer) {
        return Err(format!("{node}'s router leads to the server with server_id {server}, not {writer}"));
    }
    let nodes: Vec<&str> = routing.iter().map(|(node, _)| *node).collect();
    Ok(if nodes.is_empty() { "no node routes".into() } else { format!("routers of {}", nodes.join(", ")) })
}

/// Every ProxySQL has been read since `before`, is as wanted, and has the writer alone to write to.
///
/// # Errors
/// The first that is not so.
pub(super) fn proxied(writer: &str, before: &RoutingReply, now: &RoutingReply) -> Result<String, String> {
    let is_old = |proxy: &Proxy| {
        before.proxies.iter().any(|other| other.name == proxy.name && other.read_ms == proxy.read_ms)
    };
    for proxy in &now.proxies {
        let takes_writes = |node: &str| {
            proxy.servers.iter().any(|server| server.node == node && server.writer_status == "ONLINE")
        };
        let others = proxy.servers.iter().map(|server| server.node.as_str());
        let other = others.filter(|node| !node.is_empty() && *node != writer).find(|node| takes_writes(node));
        let wrong = match other {
            _ if proxy.state != "right" => format!("is {}: {}", proxy.state, proxy.note),
            _ if is_old(proxy) => "has not been read anew".into(),
            Some(other) => format!("leads writes to {other}"),
            None if !takes_writes(writer) => format!("leads no writes to {writer}"),
            None => continue,
        };
        return Err(format!("ProxySQL {} {wrong}", proxy.name));
    }
    let names: Vec<&str> = now.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    match names.is_empty() {
        true => Err("no ProxySQL is known any more".into()),
        false => Ok(format!("ProxySQL {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use baton_proto::control::ProxyServer;

    use super::*;

    fn flags(values: &[(&str, &str)]) -> Vec<Flag> {
        values.iter().map(|(name, value)| Flag { name: (*name).into(), value: (*value).into() }).collect()
    }

    #[test]
    fn every_switch_has_to_be_on() {
        let closed = flags(&[("read_only", "1"), ("super_read_only", "1")]);
        assert_eq!(is_closed(&closed), Ok("read_only=1, super_read_only=1".into()));
        assert!(is_closed(&flags(&[("read_only", "NO_LOCK_NO_ADMIN")])).is_ok());
        assert!(is_closed(&flags(&[("read_only", "1"), ("super_read_only", "0")])).is_err());
        assert!(is_closed(&flags(&[("read_only", "OFF")])).is_err());
        assert!(is_closed(&[]).is_err());
    }

    #[test]
    fn a_row_that_is_missing_is_named_and_one_more_is_none() {
        assert_eq!(has_rows("db2", &[1, 2], &[1, 2, 3]), Ok(()));
        let lacks = has_rows("db2", &[1, 2, 4], &[1]).unwrap_err();
        assert_eq!(lacks, "db2 lacks 2 of 3 rows, such as row 2");
    }

    #[test]
    fn a_router_that_leads_elsewhere_is_named() {
        assert_eq!(routed(2, &[("db1", 2), ("app1", 2), ("db3", 0)]), Ok("routers of db1, app1".into()));
        assert!(routed(2, &[("db1", 2), ("app1", 1)]).unwrap_err().contains("app1's router leads to"));
        assert_eq!(routed(2, &[("db1", 0)]), Ok("no node routes".into()));
    }

    fn routing(read_ms: i64, state: &str, online: &[&str]) -> RoutingReply {
        let server = |node: &&str| ProxyServer {
            node: (*node).into(),
            writer_status: if online.contains(node) { "ONLINE".into() } else { String::new() },
            ..ProxyServer::default()
        };
        let servers = ["db1", "db2"].iter().map(server).collect();
        let proxy = Proxy { name: "app1".into(), state: state.into(), read_ms, servers, ..Proxy::default() };
        RoutingReply { proxies: vec![proxy], ..RoutingReply::default() }
    }

    #[test]
    fn a_proxysql_must_be_read_anew_and_have_the_writer_alone() {
        let before = routing(1, "right", &["db1"]);
        let now = |read_ms, state, online: &[&str]| proxied("db2", &before, &routing(read_ms, state, online));
        assert_eq!(now(2, "right", &["db2"]), Ok("ProxySQL app1".into()));
        assert!(now(1, "right", &["db2"]).unwrap_err().contains("not been read anew"));
        assert!(now(2, "diverged", &["db2"]).unwrap_err().contains("diverged"));
        assert!(now(2, "right", &["db1", "db2"]).unwrap_err().contains("leads writes to db1"));
        assert!(now(2, "right", &[]).unwrap_err().contains("no writes to db2"));
        assert!(proxied("db2", &before, &RoutingReply::default()).is_err());
    }
}
