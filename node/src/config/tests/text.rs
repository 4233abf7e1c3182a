//! Keys, types and values that are wrong by themselves.

use super::*;

#[test]
fn unknown_keys_and_sections_are_named_with_their_line() {
    insta::assert_snapshot!(said(r#"
[failover]
lease_tll = "2s"
heartbeat = "50ms"
colour = "red"

[colours]
admin = "x"

[routers]
"#), @r#"
    error    baton.toml:21: failover.lease_tll: unknown key; did you mean lease_ttl?
    error    baton.toml:22: failover.heartbeat: unknown key; heartbeat belongs into [raft]
    error    baton.toml:23: failover.colour: unknown key; remove it
    error    baton.toml:25: colours: unknown section; remove it
    error    baton.toml:28: routers: unknown section; did you mean [router]?
    5 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said("prio = 3\n[[colours]]\nadmin = \"10.0.0.9:6032\"\n"), @r#"
    error    baton.toml:19: node.prio: unknown key; remove it
    error    baton.toml:20: colours: unknown section; remove it
    2 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn wrong_types_and_values_are_named_with_what_to_write() {
    insta::assert_snapshot!(said(r#"
[server]
user = ""
socket = "mysqld.sock"
connect_timeout = 500
events = 1

[failover]
automatic = "yes"
lease_ttl = 1500
drift = 2.0
unreachable_after = "soon"
degrade_after = "20m"
wait_count = 0
on_loss = "hope"
hard_fence = "sigterm"

[router]
writer_listen = "localhost:6446"
held_max = -1
"#), @r#"
    error    baton.toml:21: server.user: is empty; write a value or leave the key out
    error    baton.toml:22: server.socket: "mysqld.sock" is not an absolute path; let it start with /
    error    baton.toml:23: server.connect_timeout: 500 has no unit; write "500ms" or "500s"
    error    baton.toml:24: server.events: is a whole number; write true or false
    error    baton.toml:27: failover.automatic: is text; write true or false
    error    baton.toml:28: failover.lease_ttl: 1500 has no unit; write "1500ms" or "1500s"
    error    baton.toml:29: failover.drift: 2 is out of range; write a fraction from 0 to 0.1
    error    baton.toml:30: failover.unreachable_after: "soon" is not a duration; write it with its unit, like "1500ms" or "30s"
    error    baton.toml:31: failover.degrade_after: 20m is out of range; write a duration from 0s to 10m, in quotes
    error    baton.toml:32: failover.wait_count: 0 is out of range; write a whole number from 1 to 16
    error    baton.toml:33: failover.on_loss: "hope" is unknown; write "wait" or "promote"
    error    baton.toml:34: failover.hard_fence: "sigterm" is unknown; write "sigkill" or ["/program", "argument"]
    error    baton.toml:37: router.writer_listen: "localhost:6446" is not an address to listen on; write it as "ip:port"
    error    baton.toml:38: router.held_max: -1 is out of range; write a whole number from 0 to 65536
    14 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said("server = \"10.0.0.9\"\n[raft]\nheartbeat = 2026-01-01\n"), @r#"
    error    baton.toml:19: node.server: "10.0.0.9" is not an address; write it as "host:port"
    error    baton.toml:21: raft.heartbeat: is a date; write a duration from 10ms to 10s, in quotes
    2 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    insta::assert_snapshot!(said("[server\nuser = \n"), @r#"
    error    baton.toml:19: not TOML: unclosed table, expected `]`
    1 error, 0 warnings: nothing was changed
    "#);
}
