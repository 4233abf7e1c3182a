//! `batonctl routing`: each ProxySQL with what it leads clients by, and what is wanted.

use baton_proto::control::{Proxy, ProxyServer, RoutingReply};
use jiff::Timestamp;

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone};
use super::time::ago;

/// One block for each ProxySQL, what is wrong below its name.
pub fn routing(reply: &RoutingReply, now: Timestamp, style: &Style) -> String {
    if reply.proxies.is_empty() {
        return "no [[proxysql]] in the leader's baton.toml: clients use the embedded routers\n".into();
    }
    let mut text = match (reply.managed, reply.writer.as_str()) {
        (false, _) => "not adopted: no ProxySQL is touched\n".to_owned(),
        (true, "") => format!("epoch {}   no writer now\n", reply.epoch),
        (true, writer) => format!("epoch {}   writer {writer}\n", reply.epoch),
    };
    for proxy in &reply.proxies {
        text.push('\n');
        text += &of_proxy(proxy, now, style);
    }
    text
}

fn of_proxy(proxy: &Proxy, now: Timestamp, style: &Style) -> String {
    let (tone, shape) = match proxy.state.as_str() {
        "right" => (Tone::Good, "●"),
        "unknown" => (Tone::Dim, "○"),
        _ => (Tone::Bad, "!"),
    };
    let read = match proxy.read_ms {
        0 => "never read".to_owned(),
        ms => format!("read {}", ago(ms, now)),
    };
    let head = Cell::new(tone, format!("{shape} ")).then(Tone::Strong, &proxy.name);
    let state = Cell::new(if tone == Tone::Good { Tone::Plain } else { tone }, &proxy.state);
    let mut text = table(&[vec![head, Cell::plain(&proxy.admin), state, Cell::new(Tone::Dim, read)]], style);
    if !proxy.note.is_empty() {
        text += &wrap(&proxy.note, "  ", "  ", style.width);
    }
    let rows: Vec<Vec<Cell>> = proxy.servers.iter().map(|server| of_server(proxy, server)).collect();
    text += &table(&rows, style);
    if proxy.repairs > 0 {
        let times = if proxy.repairs == 1 { "once".to_owned() } else { format!("{} times", proxy.repairs) };
        text +=
            &wrap(&format!("put right {times}, the last time: {}", proxy.repaired), "  ", "  ", style.width);
    }
    text
}

fn of_server(proxy: &Proxy, server: &ProxyServer) -> Vec<Cell> {
    let (tone, shape) = if server.right { (Tone::Plain, "   ") } else { (Tone::Bad, "  !") };
    let name = if server.node.is_empty() { "–" } else { &server.node };
    vec![
        Cell::new(tone, format!("{shape} {name}")),
        Cell::plain(&server.address),
        Cell::plain(wanted(server)),
        Cell::new(if server.right { Tone::Dim } else { Tone::Bad }, found(proxy, server)),
    ]
}

/// What a server is there for.
fn wanted(server: &ProxyServer) -> &'static str {
    match (server.node.as_str(), server.writer_wanted.as_str(), server.reader_wanted.as_str()) {
        ("", _, _) => "not Baton's",
        (_, "online", "online") => "writes, reads",
        (_, "online", _) => "writes",
        (_, "soft", _) => "is drained",
        (_, "any", _) => "is about to write",
        (_, _, "online") => "reads",
        (_, _, "soft") => "is not read from",
        _ => "is not led to",
    }
}

fn found(proxy: &Proxy, server: &ProxyServer) -> String {
    let groups =
        [(proxy.writer_hostgroup, &server.writer_status), (proxy.reader_hostgroup, &server.reader_status)];
    let there: Vec<String> = groups
        .iter()
        .filter(|(_, status)| !status.is_empty())
        .map(|(group, status)| format!("{group} {status}"))
        .collect();
    if there.is_empty() { "in neither group".into() } else { there.join(", ") }
}

#[cfg(test)]
mod tests;
