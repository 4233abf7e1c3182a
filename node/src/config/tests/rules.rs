//! Values that do not fit together.

use std::time::Duration;

use super::*;

#[test]
fn timing_that_cannot_work_is_refused() {
    assert_eq!(shortest_lease(), Duration::from_millis(500));
    insta::assert_snapshot!(said(r#"
[failover]
lease_ttl = "499ms"
unreachable_after = "300ms"
[raft]
heartbeat = "200ms"
election_max = "400ms"
"#), @r#"
    error    baton.toml:21: failover.lease_ttl: 499ms is too short for its renewals (5 per lease, each repeated after 150ms): one lost packet would close the writer; use 500ms or more
    error    baton.toml:22: failover.unreachable_after: connect_timeout 500ms must be shorter than unreachable_after 300ms: no attempt would fail in time
    error    baton.toml:24: raft.heartbeat: election_min 400ms is less than three heartbeats of 200ms: one late packet would elect; use 600ms or more
    error    baton.toml:25: raft.election_max: election_max 400ms must be greater than election_min 400ms: nodes that wait equally long split the vote
    4 errors, 0 warnings: nothing was changed
    "#);
    assert!(parse(&format!("{GOOD}[failover]\nlease_ttl = \"500ms\"\n")).is_ok());
    insta::assert_snapshot!(said("[failover]\nlease_ttl = \"16s\"\n"), @r#"
    error    baton.toml:20: failover.lease_ttl: 16s is out of range; write a duration from 1ms to 15s, in quotes
    1 error, 0 warnings: nothing was changed
    "#);
}

#[test]
fn nodes_must_differ() {
    insta::assert_snapshot!(said(r#"
[[node]]
name = "db1"
peer = "10.0.0.4:7400"

[[node]]
name = "db4"
peer = "10.0.0.1:7400"
server = "10.0.0.2:3306"

[[node]]
name = "db5"
peer = "0.0.0.0:7400"
server = "10.0.0.5:7400"

[[node]]
name = "db6"
peer = "10.0.0.6:7400"
server = "10.0.0.6:7400"
"#), @r#"
    error    baton.toml:21: node.name: two nodes are named "db1"; give each its own name
    error    baton.toml:26: node.peer: nodes "db1" and "db4" share 10.0.0.1:7400; give each its own address
    error    baton.toml:27: node.server: nodes "db2" and "db4" share 10.0.0.2:3306; give each its own address
    error    baton.toml:31: node.peer: nobody can connect to 0.0.0.0:7400; write the address that the other nodes use
    error    baton.toml:37: node.server: node "db6" has 10.0.0.6:7400 as peer and as server; they need two ports
    5 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn a_node_needs_a_proper_name_and_a_peer_address() {
    insta::assert_snapshot!(said("[[node]]\nname = \"DB_3\"\npeer = \"10.0.0.3\"\n[[node]]\nserver = \"a:1\"\n"), @r#"
    error    baton.toml:20: node.name: "DB_3" is not a name; use 1 to 32 of a-z, 0-9 and -, without - at either end
    error    baton.toml:21: node.peer: "10.0.0.3" is not an address; write it as "host:port"
    error    baton.toml:22: node.name: is missing from this [[node]]; add it
    error    baton.toml:22: node.peer: is missing from this [[node]]; add it
    4 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn the_group_is_looked_at_as_a_whole() {
    let nodes = |text: &str| render_check(&parse(&format!("[cluster]\nname = \"shop\"\n{text}")));
    insta::assert_snapshot!(nodes(""), @r#"
    error    baton.toml: node: no [[node]] is in the file; add one for each host
    1 error, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(nodes("[[node]]\nname = \"db1\"\npeer = \"a:7400\"\n"), @r#"
    error    baton.toml: node: no node has a server; add server = "host:port" to those beside one
    warning  baton.toml: node: 1 node cannot outvote a lost one, so nothing fails over by itself; add a witness
    1 error, 1 warning: nothing was changed
    "#);
    insta::assert_snapshot!(nodes("[[node]]\nname = \"db7\"\npeer = \"a:7400\"\nserver = \"a:3306\"\n"), @r#"
    error    baton.toml: node: node "db1" is not in the file, which has db7; correct --node or BATON_NODE, or add a [[node]]
    warning  baton.toml: node: 1 node cannot outvote a lost one, so nothing fails over by itself; add a witness
    warning  baton.toml: failover.wait_count: one server has no replica, so no acker; add a second server
    1 error, 2 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said("[[node]]\nname = \"app2\"\npeer = \"10.0.0.8:7400\"\n"), @r#"
    warning  baton.toml: node: 4 voters survive no more losses than 3, and half of them decide nothing; add or drop a witness
    0 errors, 1 warning: baton.toml is right for node db1
    "#);
    insta::assert_snapshot!(said("[failover]\nwait_count = 2\n"), @r#"
    error    baton.toml:20: failover.wait_count: 2 ackers cannot be had from 1 replica; lower it to 1 or add servers
    1 error, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(render_check(&parse("[cluster]\nname = 3\n")), @r#"
    error    baton.toml:2: cluster.name: is a whole number; write a name
    error    baton.toml: node: no [[node]] is in the file; add one for each host
    2 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(render_check(&parse("")), @r#"
    error    baton.toml: cluster.name: is missing; write name = "…" into [cluster]
    error    baton.toml: node: no [[node]] is in the file; add one for each host
    2 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn listeners_and_folders_must_differ() {
    insta::assert_snapshot!(said(r#"
[http]
listen = "0.0.0.0:6446"
[control]
listen = "10.0.0.1:3306"
[paths]
data = "/srv/baton"
run = "/srv/baton"
"#), @r#"
    error    baton.toml:21: http.listen: http.listen and router.writer_listen both want 127.0.0.1:6446; change the port of one
    error    baton.toml:23: control.listen: control.listen and node.server both want 10.0.0.1:3306; change the port of one
    error    baton.toml:26: paths.run: data and run are one folder, but run is emptied when the host boots; use two
    3 errors, 0 warnings: nothing was changed
    "#);
    let off = "[router]\nenabled = false\nwriter_listen = \"127.0.0.1:7480\"\n";
    assert!(parse(&format!("{GOOD}{off}")).is_ok(), "a router that is off listens nowhere");
}

/// A keeper takes a line of 4 KiB, and a longer one would end the connection.
#[test]
fn a_hard_fence_fits_into_a_line_of_the_keepers() {
    let fence = |letters: usize| said(&format!("[failover]\nhard_fence = [\"/{}\"]\n", "x".repeat(letters)));
    assert!(fence(2100).contains("failover.hard_fence: 2105 bytes are too many"), "{}", fence(2100));
    assert!(!fence(1000).contains("too many"));
}

#[test]
fn hooks_have_names_of_their_own_and_hold_up_no_failover() {
    insta::assert_snapshot!(said(r#"
[[hook]]
name = "tell"
at = "after_open"
command = ["/bin/true"]

[[hook]]
name = "tell"
at = "before_close"
when = "unplanned"
command = ["/bin/true"]

[[hook]]
name = "tall"
at = "after_close"
on = "writer"
timeout = "10m"
"#), @r#"
    error    baton.toml:26: hook.name: two hooks are named "tell"; give each its own name
    error    baton.toml:28: hook.when: a failover waits for no hook, so that before_close is for switchovers alone; write when = "planned", or another point
    error    baton.toml:31: hook.command: is missing from this [[hook]]; add it
    error    baton.toml:33: hook.at: "after_close" is unknown; write "before_close" or "after_open" or "after_route" or "after_failure"
    error    baton.toml:34: hook.on: "writer" is unknown; write "leader" or "old_writer" or "new_writer"
    error    baton.toml:35: hook.timeout: 10m is out of range; write a duration from 100ms to 5m, in quotes
    6 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn a_replica_is_no_nodes_server() {
    insta::assert_snapshot!(said(r#"
[[replica]]
name = "etl"
server = "10.0.0.1:3306"

[[replica]]
name = "db1"
server = "127.0.0.1:3306"

[[replica]]
name = "etl"
server = "10.0.0.1:3306"
"#), @r#"
    error    baton.toml:22: replica.server: 10.0.0.1:3306 is the server of node db1, which looks after it; remove this
    error    baton.toml:25: replica.name: "db1" is the name of another replica or of a node; give each its own name
    error    baton.toml:26: replica.server: 127.0.0.1:3306 is another server on each node; write an address that all nodes reach
    error    baton.toml:29: replica.name: "etl" is the name of another replica or of a node; give each its own name
    error    baton.toml:30: replica.server: 10.0.0.1:3306 is another replica's too; remove one of the two
    error    baton.toml:30: replica.server: 10.0.0.1:3306 is the server of node db1, which looks after it; remove this
    6 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn each_proxysql_is_reached_by_every_node_and_has_two_groups() {
    insta::assert_snapshot!(said(r#"
[[proxysql]]
name = "app1"
admin = "10.0.0.9:6032"

[[proxysql]]
name = "app1"
admin = "10.0.0.9:6032"
user = "admin"

[[proxysql]]
name = "app2"
admin = "127.0.0.1:6032"
writer_hostgroup = 20

[[proxysql]]
name = "app3"
"#), @r#"
    error    baton.toml:25: proxysql.name: two ProxySQL are named "app1"; give each its own name
    error    baton.toml:26: proxysql.admin: "app1" and "app1" share 10.0.0.9:6032; give each its own address
    error    baton.toml:27: proxysql.user: ProxySQL lets "admin" in from its own host only; add another user to its admin-admin_credentials and name that
    error    baton.toml:29: proxysql.reader_hostgroup: 20 is the writer_hostgroup too: readers would be sent writes; choose another
    error    baton.toml:31: proxysql.admin: 127.0.0.1:6032 is another ProxySQL on each node, and whichever leads speaks to it; write an address that all nodes reach
    error    baton.toml:34: proxysql.admin: is missing from this [[proxysql]]; add it
    6 errors, 0 warnings: nothing was changed
    "#);
}
