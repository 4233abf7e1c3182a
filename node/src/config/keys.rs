//! Every key: what it takes, its default with the reason for it, and when a change of it counts.

mod alerting;
mod backup;
mod proxysql;

pub use self::proxysql::PROXYSQL_KEYS;
use super::kind::Kind;
pub use alerting::{ALERT_COMMAND_KEYS, CHAT_KEYS, WEBHOOK_KEYS};
pub use backup::{SCHEDULE_KEYS, STORE_KEYS};

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the next reload (SIGHUP).
    Live,
    /// At the next start of the daemon.
    Restart,
    /// Never from the file once the group has formed: `batonctl config apply` changes the replicated value.
    Replicated,
}

/// One key of the file.
#[derive(Debug)]
pub struct Key {
    /// `section.key`; in a [`List`] the key alone.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// As it would be written in the environment.
    pub default: Preset,
    /// When a change counts.
    pub scope: Scope,
    /// What it does, and why the default is what it is.
    pub about: &'static str,
}

/// What stands for a key that is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// It must be written.
    Required,
    /// Nothing: the feature is off.
    Unset,
    /// This value.
    Value(&'static str),
}

use Preset::{Required, Unset, Value};
use Scope::{Live, Replicated, Restart};

const fn key(path: &'static str, kind: Kind, default: Preset, scope: Scope, about: &'static str) -> Key {
    Key { path, kind, default, scope, about }
}

/// Milliseconds in an hour, the most that most waits may be set to.
const HOUR_MS: u64 = 3_600_000;

/// Every key outside lists, in the order in which they are shown.
pub static KEYS: &[Key] = &[
    key("cluster.name", Kind::Name, Required, Restart, "The cluster's name, part of every certificate."),
    key(
        "server.user",
        Kind::Text,
        Value("baton"),
        Restart,
        "Baton's own account; `batonctl grants` prints its SQL.",
    ),
    key(
        "server.password_file",
        Kind::Path,
        Value("/etc/baton/mysql.password"),
        Restart,
        "Holds that account's password: a file, because a process list and an environment can be read.",
    ),
    key(
        "server.replication_user",
        Kind::Text,
        Value("baton_replication"),
        Restart,
        "The account replicas connect with; apart from Baton's, so that it can do nothing else.",
    ),
    key(
        "server.replication_password_file",
        Kind::Path,
        Value("/etc/baton/replication.password"),
        Restart,
        "Holds the replication account's password.",
    ),
    key(
        "server.socket",
        Kind::Path,
        Value("/run/mysqld/mysqld.sock"),
        Restart,
        "The server's socket: it tells the server's pid, which the keeper needs. Debian's place for MySQL and MariaDB.",
    ),
    key(
        "server.events",
        Kind::Boolean,
        Value("false"),
        Restart,
        "Whether events follow the writer: the scheduler is switched on after an opening, and off on a closed server, and \
         events that ran at the last writer are enabled at the new one, under their own definers. Off, because who has no events needs none; with events it must be set, as every server starts without.",
    ),
    key(
        "server.allow_rehearsal",
        Kind::Boolean,
        Value("false"),
        Restart,
        "Whether `batonctl rehearse` may end this server, move the writer and write rows of its own. Off: it is for a cluster that nobody depends on.",
    ),
    key(
        "server.accepted_accounts",
        Kind::Text,
        Value("root@localhost, root@127.0.0.1, root@::1, mysql@localhost, mariadb.sys@localhost"),
        Restart,
        "Accounts (user@host, with commas) that may hold a privilege to write while their server is closed. The default \
         names those that every installation has and that only the host's own root can use.",
    ),
    key(
        "server.connect_timeout",
        Kind::Duration { min_ms: 50, max_ms: 30_000 },
        Value("500ms"),
        Live,
        "Bound on one connection attempt: over ten round trips between sites, and three fit into unreachable_after.",
    ),
    key(
        "failover.automatic",
        Kind::Boolean,
        Value("true"),
        Live,
        "Whether the writer moves without being told to; `batonctl pause` stops it for a time.",
    ),
    key(
        "failover.lease_ttl",
        Kind::Duration { min_ms: 1, max_ms: 15_000 },
        Value("1500ms"),
        Replicated,
        "How long a writer stays open without a majority. Outlasts an election, so that losing the leader closes \
         nothing, and bounds the outage when the writer's host is cut off. From 500ms on, below which one lost \
         packet ends it, to the 15s of a hand-over.",
    ),
    key(
        "failover.drift",
        Kind::Ratio { max: 0.1 },
        Value("0.001"),
        Replicated,
        "How much faster one clock may run than another: time services slew by 500 ppm at most, and two clocks differ \
         by twice that.",
    ),
    key(
        "failover.unreachable_after",
        Kind::Duration { min_ms: 100, max_ms: 600_000 },
        Value("1500ms"),
        Live,
        "How long the writer must be out of reach. As long as a lease: shorter gains nothing, the lease has to end.",
    ),
    key(
        "failover.catch_up_for",
        Kind::Duration { min_ms: 100, max_ms: HOUR_MS },
        Value("30s"),
        Live,
        "Bound on a candidate applying its relay log before the next one, or on_loss, is tried. A healthy replica \
         needs far less than a second.",
    ),
    key(
        "failover.degrade_after",
        Kind::Duration { min_ms: 0, max_ms: 600_000 },
        Value("2s"),
        Replicated,
        "How long commits may wait for a missing acker. Longer than a lease, so that a short cut degrades nothing.",
    ),
    key(
        "failover.wait_count",
        Kind::Integer { min: 1, max: 16 },
        Value("1"),
        Replicated,
        "How many ackers each commit waits for. One is what two servers can give.",
    ),
    key(
        "failover.on_loss",
        Kind::Choice(&["wait", "promote"]),
        Value("wait"),
        Replicated,
        "When no candidate has every acknowledged write: wait for one, or promote the most advanced and report the loss.",
    ),
    key(
        "failover.on_ackers_lost",
        Kind::Choice(&["degrade", "block"]),
        Value("degrade"),
        Replicated,
        "When too few ackers are left: go on unprotected, committed as `degraded`, or let commits wait.",
    ),
    key(
        "failover.hard_fence",
        Kind::HardFence,
        Value("sigkill"),
        Replicated,
        "What ends a server whose lease ran out: \"sigkill\", or program and arguments. SIGKILL needs nothing but the \
         keeper, and leaves no commit answered that no acker has.",
    ),
    key(
        "failover.other_zone",
        Kind::Choice(&["allow", "forbid"]),
        Value("allow"),
        Live,
        "Whether an automatic failover may move the writer to a node of another zone. Forbidden, such a failover waits for \
         the old writer or for `batonctl failover --force --to NODE`. Allowed, because most zones are one site's.",
    ),
    key(
        "failover.closed_by_hand_for",
        Kind::Duration { min_ms: 0, max_ms: HOUR_MS },
        Value("30s"),
        Live,
        "How long a writer that somebody set read_only is left alone: a person did it, and may be about to go on.",
    ),
    key(
        "failover.on_closed_by_hand",
        Kind::Choice(&["reopen", "move", "leave"]),
        Value("reopen"),
        Live,
        "What follows: the next epoch for the same server, for another one, or nothing. The least change that ends the \
         outage, where nobody said otherwise.",
    ),
    key(
        "failover.flap_limit",
        Kind::Integer { min: 0, max: 100 },
        Value("5"),
        Live,
        "How many automatic failovers may follow each other quickly; 0 for any number. More than that mends nothing that \
         fewer did not, and each costs an outage.",
    ),
    key(
        "failover.flap_half_life",
        Kind::Duration { min_ms: 1_000, max_ms: HOUR_MS },
        Value("10m"),
        Live,
        "After so long a completed failover counts half towards flap_limit. An hour later it is forgotten.",
    ),
    key(
        "failover.power_fence",
        Kind::Command,
        Unset,
        Replicated,
        "Cuts the power of the host of node {node}: program and arguments, run by the leader without a shell, at most \
         30s. Exit status 0 counts as proof that the old writer is off, so it must mean exactly that; a fence of the \
         network alone counts only where no client is local. Tried when neither a close nor the end of the lease has \
         proven it. Its last line of output is kept; unset: never.",
    ),
    key(
        "rebuild.policy",
        Kind::Choice(&["automatic", "approve", "never"]),
        Value("approve"),
        Live,
        "What becomes of a server that came back with transactions that the writer lacks, once these are archived: rebuilt \
         by itself, when an operator says so, or left as it is. A person should have looked at what is discarded.",
    ),
    key(
        "rebuild.start",
        Kind::Command,
        Unset,
        Restart,
        "Starts the server beside this node: program and arguments, run without a shell, at most 60s, such as [\"systemctl\", \
         \"start\", \"mysql\"]. Unset: on MySQL whoever supervises it does in a rebuild (CLONE ends a server that nobody \
         supervises), and `batonctl restart` and `rehearse` are refused; on MariaDB, whose rebuild stops the server: systemctl \
         start mariadb.",
    ),
    key(
        "rebuild.stop",
        Kind::Command,
        Unset,
        Restart,
        "Stops the server beside this node, so that nobody starts it again by itself: program and arguments, run without a \
         shell, at most 300s. Unset: on MariaDB systemctl stop mariadb; on MySQL, where CLONE stops the server itself, \
         `batonctl restart` is refused.",
    ),
    key(
        "rebuild.mariadb_backup",
        Kind::Path,
        Unset,
        Restart,
        "MariaDB: the program that reads one server's data for another one, mbstream beside it. Both are in Debian's package \
         mariadb-backup. Unset: looked for on PATH.",
    ),
    key(
        "backup.engine",
        Kind::Choice(&["mariadb-backup", "clone", "dump"]),
        Unset,
        Restart,
        "What reads the server: mariadb-backup (MariaDB's files), clone (MySQL's files, by way of backup.stage) or dump (rows as \
         SQL, of both). Unset: mariadb-backup on MariaDB; clone on MySQL where there is a stage, else dump.",
    ),
    key(
        "backup.escrow",
        Kind::Recipients,
        Unset,
        Restart,
        "Whose private keys open a backup in the last resort: public keys of age (age1…), with commas. Keep the private ones \
         offline. Backups are always encrypted, so without one none is made.",
    ),
    key(
        "backup.readers",
        Kind::Recipients,
        Unset,
        Restart,
        "Who else can read backups: public keys of age, with commas, such as that of a host that restores.",
    ),
    key(
        "backup.stage",
        Kind::Path,
        Unset,
        Restart,
        "MySQL's clone: a folder on the server's host in which the server may make a copy of itself, with room for all of its data.",
    ),
    key(
        "backup.dump_program",
        Kind::Path,
        Unset,
        Restart,
        "mysqldump or mariadb-dump, of the server's own release. Unset: looked for on PATH.",
    ),
    key(
        "backup.mib_per_second",
        Kind::Integer { min: 1, max: 1_000_000 },
        Unset,
        Restart,
        "The most that is read of the server in a second, in MiB. Unset: as fast as processor, disk and stores let it.",
    ),
    key(
        "backup.stale_after",
        Kind::Duration { min_ms: 60_000, max_ms: 400 * 24 * HOUR_MS },
        Value("25h"),
        Live,
        "People are told when the newest backup is older and backups are scheduled. A day, and an hour for making one; longer \
         where none is made each day. The leader's file counts.",
    ),
    key(
        "backup.delete_after",
        Kind::Duration { min_ms: 0, max_ms: 400 * 24 * HOUR_MS },
        Value("72h"),
        Live,
        "How long a backup that is to leave a store is only marked, and can be kept with `batonctl backup pin`. A weekend. The \
         leader's file counts.",
    ),
    key(
        "archive.store",
        Kind::Name,
        Unset,
        Restart,
        "The `[[store]]` that the binlog is archived in, all the time, encrypted as backups are. Unset: it is not archived here. \
         A replica is read, or the writer while there is none that can be; the same on every node, so that any of them can be.",
    ),
    key(
        "archive.segment_every",
        Kind::Duration { min_ms: 500, max_ms: HOUR_MS },
        Value("5s"),
        Restart,
        "What was committed goes to the store after this. It is what a lost site can cost, and each segment is a few requests to \
         the store.",
    ),
    key(
        "archive.segment_mib",
        Kind::Integer { min: 1, max: 1024 },
        Value("16"),
        Restart,
        "A segment ends before its time when it has so many MiB, but never within a transaction.",
    ),
    key(
        "archive.spool_mib",
        Kind::Integer { min: 16, max: 1_048_576 },
        Value("1024"),
        Restart,
        "The most that waits in `paths.data` for a store that takes nothing. The server is read no further then: its own binlog \
         has the rest.",
    ),
    key(
        "archive.keep_free_mib",
        Kind::Integer { min: 0, max: 1_048_576 },
        Value("2048"),
        Restart,
        "What stays free on the disk of `paths.data`, where the group's own state lies: with less, nothing more is read, also in \
         the middle of a transaction, and people are told.",
    ),
    key(
        "raft.heartbeat",
        Kind::Duration { min_ms: 10, max_ms: 10_000 },
        Value("100ms"),
        Restart,
        "How often the leader says that it is there.",
    ),
    key(
        "raft.election_min",
        Kind::Duration { min_ms: 30, max_ms: 60_000 },
        Value("400ms"),
        Restart,
        "Least silence before an election: four heartbeats, so that one late packet elects nobody.",
    ),
    key(
        "raft.election_max",
        Kind::Duration { min_ms: 40, max_ms: 120_000 },
        Value("700ms"),
        Restart,
        "Most silence before an election. Ends before unreachable_after, so that a new leader loses no time.",
    ),
    key("router.enabled", Kind::Boolean, Value("true"), Restart, "Whether this node routes connections."),
    key(
        "router.writer_listen",
        Kind::Listen,
        Value("127.0.0.1:6446"),
        Restart,
        "Connections to the writer. On loopback: an application beside its node needs no other listener.",
    ),
    key("router.reader_listen", Kind::Listen, Value("127.0.0.1:6447"), Restart, "Connections to readers."),
    key(
        "router.hold_for",
        Kind::Duration { min_ms: 0, max_ms: HOUR_MS },
        Value("30s"),
        Live,
        "How long a new connection waits while there is no writer. Less than most connection pools give up after.",
    ),
    key(
        "router.held_max",
        Kind::Integer { min: 0, max: 65_536 },
        Value("1024"),
        Live,
        "How many new connections wait at once. Each holds one descriptor.",
    ),
    key(
        "router.reader_max_lag",
        Kind::Duration { min_ms: 0, max_ms: 24 * HOUR_MS },
        Value("10s"),
        Live,
        "How far a replica may be behind and still be read from; one that left comes back at half of it. The leader's file \
         counts, for all routing. Longer than a burst of writes, and soon enough that nobody reads yesterday's data.",
    ),
    key(
        "control.listen",
        Kind::Listen,
        Unset,
        Restart,
        "A listener of its own for batonctl; unset: the peer port serves it too, one hole in the firewall less.",
    ),
    key(
        "http.listen",
        Kind::Listen,
        Value("127.0.0.1:7480"),
        Restart,
        "Health, roles, metrics, and the page for people. On loopback: it asks nobody for a certificate.",
    ),
    key(
        "http.token_file",
        Kind::Path,
        Unset,
        Restart,
        "Holds the token with which the page is shown, also to browsers on other hosts. Unset: it is shown on its own host alone. \
         Health, roles and metrics need none.",
    ),
    key("tls.ca", Kind::Path, Value("/etc/baton/tls/ca.pem"), Restart, "The cluster's CA certificate."),
    key("tls.cert", Kind::Path, Value("/etc/baton/tls/{node}.pem"), Restart, "This node's certificate."),
    key("tls.key", Kind::Path, Value("/etc/baton/tls/{node}.key"), Restart, "This node's private key."),
    key(
        "paths.data",
        Kind::Path,
        Value("/var/lib/baton"),
        Restart,
        "Log and state. Not on a volume that is snapshotted or restored with the server.",
    ),
    key(
        "paths.run",
        Kind::Path,
        Value("/run/baton"),
        Restart,
        "The keeper's socket and deadline: what has to end when the host does.",
    ),
    key(
        "telegram.token_file",
        Kind::Path,
        Unset,
        Live,
        "Holds the token of the bot that tells the chats in [[telegram.chat]] what happens. Unset: nobody is told there.",
    ),
    key(
        "telegram.api",
        Kind::Url,
        Value("https://api.telegram.org"),
        Live,
        "Where the Bot API is: Telegram's own, or a server of yours.",
    ),
    key(
        "telegram.time_zone",
        Kind::Zone,
        Value("UTC"),
        Live,
        "The time zone of the quiet hours, such as Europe/Berlin.",
    ),
    key(
        "telegram.users",
        Kind::Users,
        Unset,
        Live,
        "Whom the bot answers: /status, /why and /backups, and the buttons below its messages (see to it, mute, approve a rebuild). \
         Nobody else, and nothing moves the writer from a chat. Unset: nobody.",
    ),
    key(
        "heartbeat.url",
        Kind::Url,
        Unset,
        Live,
        "A dead man's switch: the leader asks for this address while the cluster is healthy (a writer that serves, lossless, an \
         archive of the binlog that gets on and has no hole, nothing critical), and whoever is behind it raises the alarm when \
         that stops. Unset: none.",
    ),
    key(
        "heartbeat.every",
        Kind::Duration { min_ms: 1_000, max_ms: HOUR_MS },
        Value("60s"),
        Live,
        "How often. The switch should wait for two or three of them.",
    ),
];

/// The keys of each `[[node]]`. Who is in the group is replicated: `batonctl node add` and `remove` change it.
pub static NODE_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Replicated, "The node's name, part of its certificate."),
    key("peer", Kind::Address, Required, Replicated, "Where the other nodes and batonctl reach this node."),
    key(
        "server",
        Kind::Address,
        Unset,
        Replicated,
        "Where clients and replicas reach its server; unset makes it a witness.",
    ),
    key("zone", Kind::Text, Unset, Replicated, "Its site or failure domain."),
    key(
        "priority",
        Kind::Integer { min: 0, max: 1000 },
        Value("100"),
        Replicated,
        "Among equally fit candidates the highest is chosen. In the middle, so that one can be preferred or put last.",
    ),
];

/// The keys of each `[[hook]]`.
pub static HOOK_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Live, "What logs, the dry run and `batonctl why` call it."),
    key(
        "at",
        Kind::Choice(&["before_close", "after_open", "after_route", "after_failure"]),
        Required,
        Live,
        "At which point of a move it is run. A switchover waits for before_close, and is stopped by an exit status other \
         than 0; nothing waits for the others.",
    ),
    key(
        "when",
        Kind::Choice(&["planned", "unplanned", "any"]),
        Value("any"),
        Live,
        "For switchovers, for failovers, or for both. A failover has no before_close.",
    ),
    key(
        "on",
        Kind::Choice(&["leader", "old_writer", "new_writer"]),
        Value("leader"),
        Live,
        "On which node it is run. The leader is one that certainly lives.",
    ),
    key(
        "command",
        Kind::Command,
        Required,
        Live,
        "Program and arguments, run without a shell; it is told on its standard input, as JSON, what happens.",
    ),
    key(
        "timeout",
        Kind::Duration { min_ms: 100, max_ms: 300_000 },
        Value("10s"),
        Live,
        "After so long it is killed, with all that it started. As long as an operator at the terminal waits without wondering.",
    ),
];

/// The keys of each `[[replica]]`.
pub static REPLICA_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Live, "What status and metrics call it; no node's name."),
    key(
        "server",
        Kind::Address,
        Required,
        Live,
        "A server without a node, as every node reaches it, with Baton's own account on it. The leader points it at each new \
         writer; it never becomes the writer and no commit waits for it.",
    ),
];

/// A section that may stand in the file several times.
#[derive(Debug)]
pub struct List {
    /// `node` of `[[node]]`, `telegram.chat` of `[[telegram.chat]]`.
    pub section: &'static str,
    /// What one entry of it is, for messages.
    pub what: &'static str,
    /// The keys of each entry. The first of them tells an entry from the others.
    pub keys: &'static [Key],
    /// The section after which it is shown.
    pub after: &'static str,
}

/// Every such section.
pub static LISTS: &[List] = &[
    List { section: "node", what: "node", keys: NODE_KEYS, after: "cluster" },
    List { section: "replica", what: "replica", keys: REPLICA_KEYS, after: "cluster" },
    List { section: "hook", what: "hook", keys: HOOK_KEYS, after: "failover" },
    List { section: "proxysql", what: "ProxySQL", keys: PROXYSQL_KEYS, after: "router" },
    List { section: "telegram.chat", what: "chat", keys: CHAT_KEYS, after: "telegram" },
    List { section: "webhook", what: "webhook", keys: WEBHOOK_KEYS, after: "heartbeat" },
    List { section: "alert.command", what: "command", keys: ALERT_COMMAND_KEYS, after: "heartbeat" },
    List { section: "backup.schedule", what: "schedule", keys: SCHEDULE_KEYS, after: "backup" },
    List { section: "store", what: "store", keys: STORE_KEYS, after: "backup" },
];

/// The lists that are shown after a section.
pub(super) fn lists_after(section: &str) -> impl Iterator<Item = &'static List> {
    LISTS.iter().filter(move |list| list.after == section)
}

/// The list of that name.
pub(super) fn list(section: &str) -> Option<&'static List> {
    LISTS.iter().find(|list| list.section == section)
}

/// Names that stand alone at the beginning of a list's section, or are the whole of it.
pub(super) fn list_heads() -> impl Iterator<Item = &'static str> {
    LISTS.iter().map(|list| list.section.split_once('.').map_or(list.section, |(head, _)| head))
}

/// The key of that path outside lists.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Section names, in order, lists not among them.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter().filter_map(move |key| {
        let section = key.section();
        (section != last).then(|| {
            last = section;
            section
        })
    })
}

impl Key {
    /// `failover` of `failover.lease_ttl`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("node", |(section, _)| section)
    }

    /// `lease_ttl` of `failover.lease_ttl`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that overrides it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BATON_{}", self.path.replace('.', "_").to_uppercase())
    }
}
