//! Bad input and what is said about it, line for line; and what good input gives.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;

const GOOD: &str = r#"[cluster]
name = "shop"

[[node]]
name = "db1"
peer = "10.0.0.1:7400"
server = "10.0.0.1:3306"
zone = "fsn1"

[[node]]
name = "db2"
peer = "10.0.0.2:7400"
server = "10.0.0.2:3306"
priority = 50

[[node]]
name = "app1"
peer = "10.0.0.9:7400"
"#;

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::parse(text, Path::new("baton.toml"), "db1", &env)
}

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    parse_with(text, &[])
}

/// What is said about the good file with these lines after it.
fn said(more: &str) -> String {
    render_check(&parse(&format!("{GOOD}{more}")))
}

#[test]
fn defaults_are_filled_in_and_the_node_too() {
    let loaded = parse(GOOD).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = &loaded.config;
    assert_eq!(config.failover.lease_ttl, Duration::from_millis(1500));
    assert_eq!(config.failover.hard_fence, HardFence::Signal(FenceSignal::Sigkill));
    assert_eq!(config.tls.cert, Path::new("/etc/baton/tls/db1.pem"));
    assert_eq!(config.nodes[1].priority, 50);
    assert_eq!(config.nodes[2].priority, 100);
    assert!(config.nodes[2].is_witness() && !loaded.me.is_witness());
    assert_eq!(loaded.me.zone.as_deref(), Some("fsn1"));
    assert_eq!(
        config.safety_settings(),
        SafetySettings {
            lease_ttl_ms: 1500,
            drift_ppm: 1000,
            degrade_after_ms: 2000,
            wait_count: 1,
            on_loss: OnLoss::Wait,
            on_ackers_lost: OnAckersLost::Degrade,
            hard_fence: HardFence::Signal(FenceSignal::Sigkill),
            power_fence: None,
        }
    );
}

/// The table of keys and the types must know the same keys, or a default would be missing or never read.
#[test]
fn every_key_of_the_table_reaches_the_types() {
    let mut text = String::new();
    for section in KEYS.iter().map(Key::section).collect::<std::collections::BTreeSet<_>>() {
        text.push_str(&format!("[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let value = match (key.default, key.kind) {
                (_, Kind::Command) => "[\"/bin/true\"]".to_owned(),
                (Preset::Value(value), Kind::Boolean | Kind::Integer { .. } | Kind::Ratio { .. }) => {
                    value.to_owned()
                }
                (Preset::Value(value), _) => format!("\"{value}\""),
                (_, Kind::Listen) => "\"127.0.0.1:7411\"".to_owned(),
                _ => "\"shop\"".to_owned(),
            };
            text.push_str(&format!("{} = {value}\n", key.name()));
        }
    }
    text.push_str(GOOD.trim_start_matches("[cluster]\nname = \"shop\"\n"));
    let loaded = parse(&text).unwrap();
    for key in KEYS {
        assert!(reload::flat(&loaded.config).contains_key(key.path), "{} is in no type", key.path);
        assert!(loaded.origins.contains_key(key.path), "{} has no origin", key.path);
    }
    let mut outside: Vec<_> =
        reload::flat(&loaded.config).into_keys().filter(|path| !path.starts_with("node.")).collect();
    outside.retain(|path| !KEYS.iter().any(|key| key.path == path));
    assert!(outside.is_empty(), "in a type but not in the table: {outside:?}");
}

#[test]
fn unknown_keys_and_sections_are_named_with_their_line() {
    insta::assert_snapshot!(said(r#"
[failover]
lease_tll = "2s"
heartbeat = "50ms"
colour = "red"

[proxysql]
admin = "x"

[routers]
"#), @r#"
    error    baton.toml:21: failover.lease_tll: unknown key; did you mean lease_ttl?
    error    baton.toml:22: failover.heartbeat: unknown key; heartbeat belongs into [raft]
    error    baton.toml:23: failover.colour: unknown key; remove it
    error    baton.toml:25: proxysql: unknown section; remove it
    error    baton.toml:28: routers: unknown section; did you mean [router]?
    5 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said("prio = 3\n[[proxysql]]\nadmin = \"10.0.0.9:6032\"\n"), @r#"
    error    baton.toml:19: node.prio: unknown key; remove it
    error    baton.toml:20: proxysql: unknown section; remove it
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
start_command = ["mysqld"]

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
    error    baton.toml:24: server.start_command: must begin with the program's absolute path
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

#[test]
fn the_environment_overrides_the_file_and_is_checked_like_it() {
    let loaded = parse_with(
        &format!("{GOOD}[failover]\nlease_ttl = \"3s\"\n"),
        &[
            ("BATON_FAILOVER_LEASE_TTL", "2s"),
            ("BATON_FAILOVER_WAIT_COUNT", "1"),
            ("BATON_FAILOVER_HARD_FENCE", "/sbin/fence {node} off"),
            ("BATON_NODE", "db1"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(loaded.config.failover.lease_ttl, Duration::from_secs(2));
    let fence = loaded.config.failover.hard_fence.command("db1").unwrap();
    assert_eq!(fence, ["/sbin/fence", "db1", "off"]);
    let env = [
        ("BATON_FAILOVER_LEASE_TTI", "2s"),
        ("BATON_FAILOVER_WAIT_COUNT", "many"),
        ("BATON_RAFT_ELECTION_MIN", "250ms"),
        ("BATON_PATHS_DATA", "data"),
    ];
    insta::assert_snapshot!(render_check(&parse_with(GOOD, &env)), @r#"
    error    environment BATON_FAILOVER_LEASE_TTI: unknown key; did you mean BATON_FAILOVER_LEASE_TTL?
    error    environment BATON_FAILOVER_WAIT_COUNT: failover.wait_count: "many" is not a whole number from 1 to 16
    error    environment BATON_PATHS_DATA: paths.data: "data" is not an absolute path; let it start with /
    error    environment BATON_RAFT_ELECTION_MIN: raft.election_min: election_min 250ms is less than three heartbeats of 100ms: one late packet would elect; use 300ms or more
    4 errors, 0 warnings: nothing was changed
    "#);
}

#[test]
fn print_config_tells_every_source_and_reads_back_the_same() {
    let text =
        format!("{GOOD}[failover]\nlease_ttl = \"2s\"\nhard_fence = [\"/sbin/fence\", \"{{node}}\"]\n");
    let loaded = parse_with(&text, &[("BATON_ROUTER_ENABLED", "false")]).unwrap();
    let shown = render_effective(&loaded);
    insta::assert_snapshot!(shown, @r#"
    # baton.toml as node db1 uses it

    [cluster]
    name = "shop"  # file, line 2
    # id is not set

    [[node]]
    name     = "db1"            # file, line 5
    peer     = "10.0.0.1:7400"  # file, line 6
    server   = "10.0.0.1:3306"  # file, line 7
    zone     = "fsn1"           # file, line 8
    priority = 100              # default

    [[node]]
    name     = "db2"            # file, line 11
    peer     = "10.0.0.2:7400"  # file, line 12
    server   = "10.0.0.2:3306"  # file, line 13
    # zone is not set
    priority = 50               # file, line 14

    [[node]]
    name     = "app1"           # file, line 17
    peer     = "10.0.0.9:7400"  # file, line 18
    # server is not set
    # zone is not set
    priority = 100              # default

    [server]
    user                      = "baton"                                                                             # default
    password_file             = "/etc/baton/mysql.password"                                                         # default
    replication_user          = "baton_replication"                                                                 # default
    replication_password_file = "/etc/baton/replication.password"                                                   # default
    socket                    = "/run/mysqld/mysqld.sock"                                                           # default
    # unit is not set
    # start_command is not set
    accepted_accounts         = "root@localhost, root@127.0.0.1, root@::1, mysql@localhost, mariadb.sys@localhost"  # default
    connect_timeout           = "500ms"                                                                             # default

    [failover]
    automatic          = true                       # default
    lease_ttl          = "2s"                       # file, line 20
    drift              = 0.001                      # default
    unreachable_after  = "1500ms"                   # default
    catch_up_for       = "30s"                      # default
    degrade_after      = "2s"                       # default
    wait_count         = 1                          # default
    on_loss            = "wait"                     # default
    on_ackers_lost     = "degrade"                  # default
    hard_fence         = ["/sbin/fence", "{node}"]  # file, line 21
    other_zone         = "allow"                    # default
    closed_by_hand_for = "30s"                      # default
    on_closed_by_hand  = "reopen"                   # default
    flap_limit         = 5                          # default
    flap_half_life     = "10m"                      # default
    # power_fence is not set

    [raft]
    heartbeat    = "100ms"  # default
    election_min = "400ms"  # default
    election_max = "700ms"  # default

    [router]
    enabled       = false             # environment, BATON_ROUTER_ENABLED
    writer_listen = "127.0.0.1:6446"  # default
    reader_listen = "127.0.0.1:6447"  # default
    hold_for      = "30s"             # default
    held_max      = 1024              # default

    [control]
    # listen is not set

    [http]
    listen = "127.0.0.1:7480"  # default

    [tls]
    ca   = "/etc/baton/tls/ca.pem"   # default
    cert = "/etc/baton/tls/db1.pem"  # default
    key  = "/etc/baton/tls/db1.key"  # default

    [paths]
    data = "/var/lib/baton"  # default
    run  = "/run/baton"      # default
    "#);
    assert_eq!(parse(&shown).unwrap().config, loaded.config);
}

#[test]
fn a_reload_is_all_or_none() {
    let old = parse(GOOD).unwrap().config;
    let change = |more: &str| Config::reload_diff(&old, &parse(&format!("{GOOD}{more}")).unwrap().config);
    assert_eq!(change("").unwrap(), Reload::default());

    let reload = change("[failover]\ncatch_up_for = \"60s\"\nlease_ttl = \"2s\"\n").unwrap();
    let one = |key: &str, old: &str, new: &str| {
        vec![Change { key: key.to_owned(), old: Some(old.to_owned()), new: Some(new.to_owned()) }]
    };
    assert_eq!(reload.live, one("failover.catch_up_for", "\"30s\"", "\"1m\""));
    assert_eq!(reload.replicated, one("failover.lease_ttl", "\"1500ms\"", "\"2s\""));

    let member = change("zone = \"hel1\"\n").unwrap().replicated;
    let zone = Change { key: "node.app1.zone".to_owned(), old: None, new: Some("\"hel1\"".to_owned()) };
    assert_eq!(member, [zone]);

    let refused = change("[failover]\ncatch_up_for = \"60s\"\n[raft]\nheartbeat = \"50ms\"\n").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "raft.heartbeat changed, which counts after a restart of the daemon only"
    );
}

#[test]
fn the_digest_marks_what_must_be_equal_and_nothing_else() {
    let of = |text: &str| digest(&parse(text).unwrap().config);
    let good = of(GOOD);
    assert_eq!(
        good, 10_335_825_315_488_252_764,
        "another value means that old and new builds form no group together"
    );
    let (head, nodes) = GOOD.split_once("[[node]]").unwrap();
    let (first, rest) = nodes.split_once("[[node]]").unwrap();
    assert_eq!(
        of(&format!("{head}[[node]]{rest}[[node]]{first}")),
        good,
        "the order of nodes does not count"
    );
    assert_eq!(of(&format!("{GOOD}[router]\nenabled = false\n")), good, "what one node may have for itself");
    assert_ne!(of(&format!("{GOOD}[failover]\nlease_ttl = \"2s\"\n")), good);
    assert_ne!(of(&GOOD.replace("priority = 50", "priority = 51")), good);
    assert_ne!(of(&GOOD.replace("\"shop\"", "\"shoq\"")), good);
}

#[test]
fn the_reference_has_every_key() {
    let text = render_reference();
    for key in KEYS.iter().chain(NODE_KEYS) {
        assert!(text.contains(&format!("**{}**", key.name())), "{} is missing", key.path);
    }
    insta::assert_snapshot!(text.split("\n\n").find(|part| part.contains("**lease_ttl**")).unwrap(), @r#"
    **lease_ttl**: a duration from 1ms to 15s, in quotes; default `1500ms`; replicated: seeded by the file when the group forms; `BATON_FAILOVER_LEASE_TTL`.
    How long a writer stays open without a majority. Outlasts an election, so that losing the leader closes nothing, and bounds the outage when the writer's host is cut off. From 500ms on, below which one lost packet ends it, to the 15s of a hand-over.
    "#);
}

mod with_files {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// Removed with everything in it when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("baton-config-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        }

        fn load(&self, node: &str, more: &str) -> Result<Loaded, ConfigErrors> {
            let file = self.write("baton.toml", &format!("{GOOD}{more}"), 0o644);
            Config::load(&file, node, &BTreeMap::new())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn passwords_must_be_there_and_private() {
        let folder = Folder::new("passwords");
        let (open, good) = (folder.write("open", "x\n", 0o644), folder.write("good", "x\n", 0o640));
        let empty = folder.write("empty", "\n", 0o600);
        let keys = |own: &Path, replication: &Path| {
            format!(
                "[server]\npassword_file = \"{}\"\nreplication_password_file = \"{}\"\n",
                own.display(),
                replication.display()
            )
        };
        assert!(folder.load("db1", &keys(&good, &good)).is_ok());
        let hide = |outcome| render_check(&outcome).replace(&folder.0.display().to_string(), "DIR");
        insta::assert_snapshot!(hide(folder.load("db1", &keys(&open, &empty))), @r#"
        error    DIR/baton.toml:20: server.password_file: DIR/open is open to every user of this host; run: chmod o= DIR/open
        error    DIR/baton.toml:21: server.replication_password_file: DIR/empty is empty; write the password into it
        2 errors, 0 warnings: nothing was changed
        "#);
        insta::assert_snapshot!(hide(folder.load("db1", &keys(&folder.0.join("none"), &good))), @r#"
        error    DIR/baton.toml:20: server.password_file: DIR/none does not exist; create it or correct the path
        1 error, 0 warnings: nothing was changed
        "#);
        let all =
            folder.load("db1", &format!("{}[raft]\nheartbeats = 1\n", keys(&empty, &good))).unwrap_err();
        assert_eq!(all.errors.len(), 2, "files and text are judged at once: {all}");
        let long = folder.write("long", &"x".repeat(33), 0o600);
        insta::assert_snapshot!(hide(folder.load("db1", &keys(&good, &long))), @r#"
        error    DIR/baton.toml:21: server.replication_password_file: DIR/long holds more than 32 characters, which MySQL takes for no replication channel; choose a shorter password
        1 error, 0 warnings: nothing was changed
        "#);
        let witness = |own: &Path| folder.load("app1", &keys(own, &folder.0.join("none")));
        assert!(witness(&good).is_ok(), "a witness makes nobody replicate");
        assert!(witness(&empty).is_err(), "a witness probes the servers");
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = Folder::new("missing");
        let outcome = Config::load(&folder.0.join("none.toml"), "db1", &BTreeMap::new());
        let shown = render_check(&outcome).replace(&folder.0.display().to_string(), "DIR");
        insta::assert_snapshot!(shown, @r#"
        error    DIR/none.toml: does not exist; create it or correct the path
        1 error, 0 warnings: nothing was changed
        "#);
    }
}
