//! Who is told what happens: what is read, shown and reloaded, and what is said about mistakes.

use super::*;

const TOLD: &str = r#"[telegram]
token_file = "/etc/baton/{node}.token"

[[telegram.chat]]
id = -1001
quiet = "22:00-07:00"

[[telegram.chat]]
id = 7
severity = "critical"

[[webhook]]
name = "ops"
url = "https://ops.example.org/baton?key=1"

[[alert.command]]
name = "pager"
run = ["/usr/bin/page", "now"]

[heartbeat]
url = "https://hc.example.org/ping/x"
"#;

#[test]
fn lists_are_read_and_shown_with_their_lines_and_read_back_the_same() {
    let loaded = parse(&format!("{GOOD}{TOLD}")).unwrap();
    let config = &loaded.config;
    assert_eq!(config.telegram.token_file.as_deref(), Some(Path::new("/etc/baton/db1.token")));
    assert_eq!(config.telegram.chats[0].severity, Severity::Warning);
    assert_eq!((config.telegram.chats[1].id, config.telegram.chats[1].severity), (7, Severity::Critical));
    assert_eq!(config.alert.commands[0].run, ["/usr/bin/page", "now"]);
    let shown = render_effective(&loaded);
    let lists = &shown[shown.find("[[telegram.chat]]").unwrap()..];
    insta::assert_snapshot!(lists, @r#"
    [[telegram.chat]]
    id       = -1001          # file, line 23
    severity = "warning"      # default
    quiet    = "22:00-07:00"  # file, line 24

    [[telegram.chat]]
    id       = 7           # file, line 27
    severity = "critical"  # file, line 28
    # quiet is not set

    [heartbeat]
    url   = "https://hc.example.org/ping/x"  # file, line 39
    every = "1m"                             # default

    [[webhook]]
    name        = "ops"                                  # file, line 31
    url         = "https://ops.example.org/baton?key=1"  # file, line 32
    # secret_file is not set
    severity    = "warning"                              # default

    [[alert.command]]
    name     = "pager"                   # file, line 35
    run      = ["/usr/bin/page", "now"]  # file, line 36
    severity = "warning"                 # default
    "#);
    assert_eq!(parse(&shown).unwrap().config, loaded.config);
}

#[test]
fn mistakes_are_named_with_their_mend() {
    insta::assert_snapshot!(
        said(
            r#"[telegram]
api = "telegram.example.org"
time_zone = "Europe/Berlim"

[[telegram.chat]]
id = "-1001"
quiet = "22-7"

[[telegram.chat]]
severity = "loud"

[[webhook]]
name = "ops"

[[webhook]]
name = "ops"
url = "ftp://secret.example.org"

[webhok]
"#
        ),
        @r#"
    error    baton.toml:20: telegram.api: is no address; write "https://host/path"
    error    baton.toml:21: telegram.time_zone: this host knows no time zone "Europe/Berlim"; correct the name, install tzdata, or write "UTC"
    error    baton.toml:24: telegram.chat.id: is text; write a whole number, not 0
    error    baton.toml:25: telegram.chat.quiet: "22-7" is no part of a day; write "22:00-07:00"
    error    baton.toml:27: telegram.chat.id: is missing from this [[telegram.chat]]; add it
    error    baton.toml:28: telegram.chat.severity: "loud" is unknown; write "info" or "warning" or "critical"
    error    baton.toml:30: webhook.url: is missing from this [[webhook]]; add it
    error    baton.toml:35: webhook.url: is no address; write "https://host/path"
    error    baton.toml:37: webhok: unknown section; did you mean [webhook]?
    9 errors, 0 warnings: nothing was changed
    "#
    );
    insta::assert_snapshot!(
        said(
            r#"[[telegram.chat]]
id = 1

[[telegram.chat]]
id = 1

[[alert.command]]
name = "pager"
run = ["page"]

[alert]
"#
        ),
        @r"
    error    baton.toml:19: telegram.chat.0: a chat needs a bot; write telegram.token_file, which names the file with its token
    error    baton.toml:23: telegram.chat.id: two [[telegram.chat]] have the id 1; leave one out
    error    baton.toml:27: alert.command.run: must begin with the program's absolute path
    3 errors, 0 warnings: nothing was changed
    "
    );
    insta::assert_snapshot!(said("[telegram]\ntoken_file = \"/etc/baton/token\"\n\n[webhook]\nurl = 1\n"), @r"
    error    baton.toml:22: webhook: write each webhook as its own [[webhook]]
    warning  baton.toml:20: telegram.token_file: a bot without a chat tells nobody; add a [[telegram.chat]]
    1 error, 1 warning: nothing was changed
    ");
}

#[test]
fn all_of_it_counts_at_a_reload() {
    let before = parse(GOOD).unwrap().config;
    let after = parse(&format!("{GOOD}{TOLD}")).unwrap().config;
    let changes = Config::reload_diff(&before, &after).unwrap();
    let keys: Vec<&str> = changes.live.iter().map(|c| c.key.as_str()).collect();
    assert!(keys.contains(&"telegram.chat.7.severity") && keys.contains(&"webhook.ops.url"), "{keys:?}");
    assert!(!format!("{changes:?}").contains("example.org"), "changes are logged: {changes:?}");
    assert!(changes.replicated.is_empty(), "{:?}", changes.replicated);
    assert_eq!(digest(&before), digest(&after));
}
