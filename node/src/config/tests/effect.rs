//! What a good configuration comes to: defaults, the environment, what is shown, reloaded and compared.

use std::time::Duration;

use super::*;

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
                (Preset::Value(value), Kind::Boolean | Kind::Integer { .. } | Kind::Ratio { .. }) => {
                    value.to_owned()
                }
                (Preset::Value(value), _) => format!("\"{value}\""),
                (_, Kind::Listen) => "\"127.0.0.1:7411\"".to_owned(),
                (_, Kind::Path) => "\"/usr/bin/shop\"".to_owned(),
                (_, Kind::Choice(words)) => format!("\"{}\"", words.first().unwrap()),
                (_, Kind::Integer { min, .. }) => min.to_string(),
                (_, Kind::Recipients) => format!("\"{RECIPIENT}\""),
                (_, Kind::Command) => "[\"/bin/true\"]".to_owned(),
                (_, Kind::Users) => "[7]".to_owned(),
                (_, Kind::Url) => "\"https://example.org/a\"".to_owned(),
                _ => "\"shop\"".to_owned(),
            };
            text.push_str(&format!("{} = {value}\n", key.name()));
        }
    }
    text.push_str(GOOD.trim_start_matches("[cluster]\nname = \"shop\"\n"));
    // The archive lies in one.
    text.push_str("[[store]]\nname = \"shop\"\ntype = \"files\"\npath = \"/backups\"\n");
    let loaded = parse(&text).unwrap();
    for key in KEYS {
        assert!(reload::flat(&loaded.config).contains_key(key.path), "{} is in no type", key.path);
        assert!(loaded.origins.contains_key(key.path), "{} has no origin", key.path);
    }
    let mut outside: Vec<_> = reload::flat(&loaded.config).into_keys().collect();
    let is_of_a_list = |path: &str| path.starts_with("node.") || path.starts_with("store.");
    outside.retain(|path| !is_of_a_list(path) && !KEYS.iter().any(|key| key.path == path));
    assert!(outside.is_empty(), "in a type but not in the table: {outside:?}");
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
    events                    = false                                                                               # default
    allow_rehearsal           = false                                                                               # default
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

    [rebuild]
    policy         = "approve"  # default
    # start is not set
    # stop is not set
    # mariadb_backup is not set

    [backup]
    # engine is not set
    # escrow is not set
    # readers is not set
    # stage is not set
    # dump_program is not set
    # mib_per_second is not set
    stale_after    = "25h"  # default
    delete_after   = "72h"  # default

    [archive]
    # store is not set
    segment_every = "5s"  # default
    segment_mib   = 16    # default
    spool_mib     = 1024  # default
    keep_free_mib = 2048  # default

    [raft]
    heartbeat    = "100ms"  # default
    election_min = "400ms"  # default
    election_max = "700ms"  # default

    [router]
    enabled        = false             # environment, BATON_ROUTER_ENABLED
    writer_listen  = "127.0.0.1:6446"  # default
    reader_listen  = "127.0.0.1:6447"  # default
    hold_for       = "30s"             # default
    held_max       = 1024              # default
    reader_max_lag = "10s"             # default

    [control]
    # listen is not set

    [http]
    listen     = "127.0.0.1:7480"  # default
    # token_file is not set

    [tls]
    ca   = "/etc/baton/tls/ca.pem"   # default
    cert = "/etc/baton/tls/db1.pem"  # default
    key  = "/etc/baton/tls/db1.key"  # default

    [paths]
    data = "/var/lib/baton"  # default
    run  = "/run/baton"      # default

    [telegram]
    # token_file is not set
    api        = "https://api.telegram.org"  # default
    time_zone  = "UTC"                       # default
    # users is not set

    [heartbeat]
    # url is not set
    every = "1m"  # default
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

/// They are no part of what the group agreed on.
#[test]
fn hooks_and_replicas_may_come_and_go_at_a_reload() {
    let (without, entries) = (
        parse(GOOD).unwrap(),
        "[[hook]]\nname = \"tell\"\nat = \"after_open\"\ncommand = [\"/bin/true\"]\n\
         [[replica]]\nname = \"etl\"\nserver = \"10.0.0.7:3306\"\n",
    );
    let with = parse(&format!("{GOOD}{entries}")).unwrap();
    let [hook] = with.config.hooks.as_slice() else { panic!("{:?}", with.config.hooks) };
    assert_eq!(
        (hook.when, hook.on, hook.timeout),
        (HookWhen::Any, HookPlace::Leader, Duration::from_secs(10))
    );
    let reload = Config::reload_diff(&without.config, &with.config).unwrap();
    let keys: Vec<_> = reload.live.iter().map(|change| change.key.as_str()).collect();
    assert!(keys.contains(&"hook.tell.at") && keys.contains(&"replica.etl.server"), "{reload:?}");
    assert!(reload.replicated.is_empty(), "{reload:?}");
    let shown = render_effective(&with);
    assert!(shown.contains("[[hook]]\nname    = \"tell\""), "{shown}");
    assert!(shown.contains("[[replica]]\nname   = \"etl\""), "{shown}");
}

/// Another ProxySQL counts at once: it is no part of what the group agreed on.
#[test]
fn proxysql_may_come_and_go_at_a_reload() {
    let (without, entry) =
        (parse(GOOD).unwrap(), "[[proxysql]]\nname = \"app1\"\nadmin = \"10.0.0.9:6032\"\n");
    let with = parse(&format!("{GOOD}{entry}")).unwrap();
    let [proxy] = with.config.proxies.as_slice() else { panic!("{:?}", with.config.proxies) };
    assert_eq!((proxy.writer_hostgroup, proxy.reader_hostgroup, proxy.user.as_str()), (10, 20, "baton"));
    let reload = Config::reload_diff(&without.config, &with.config).unwrap();
    let keys: Vec<_> = reload.live.iter().map(|change| change.key.as_str()).collect();
    assert!(keys.contains(&"proxysql.app1.admin") && reload.replicated.is_empty(), "{reload:?}");
    let shown = render_effective(&with);
    assert!(shown.contains("[[proxysql]]\nname             = \"app1\""), "{shown}");
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
    for key in KEYS.iter().chain(NODE_KEYS).chain(STORE_KEYS) {
        assert!(text.contains(&format!("**{}**", key.name())), "{} is missing", key.path);
    }
    insta::assert_snapshot!(text.split("\n\n").find(|part| part.contains("**lease_ttl**")).unwrap(), @r#"
    **lease_ttl**: a duration from 1ms to 15s, in quotes; default `1500ms`; replicated: seeded by the file when the group forms; `BATON_FAILOVER_LEASE_TTL`.
    How long a writer stays open without a majority. Outlasts an election, so that losing the leader closes nothing, and bounds the outage when the writer's host is cut off. From 500ms on, below which one lost packet ends it, to the 15s of a hand-over.
    "#);
}
