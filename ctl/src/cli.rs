//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::at::At;
use crate::certs::CertsArgs;
use crate::exit;

/// Ask and steer a Baton cluster.
#[derive(Debug, Parser)]
#[command(name = "batonctl", version, about, after_help = exit::TABLE, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file [default: ~/.config/baton/batonctl.toml, /etc/baton/batonctl.toml or /etc/baton/baton.toml]
    #[arg(long, global = true, env = "BATON_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Nodes to ask, the first that answers counts; repeat it, or separate them by commas
    #[arg(
        long,
        global = true,
        env = "BATON_NODES",
        hide_env_values = true,
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub node: Vec<String>,
    /// The cluster's name
    #[arg(long, global = true, env = "BATON_CLUSTER", hide_env_values = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The cluster's CA certificate [default: ca.pem in ~/.config/baton or /etc/baton/tls]
    #[arg(long, global = true, env = "BATON_CA", hide_env_values = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Client certificate [default: admin.client.pem in the same places]
    #[arg(long, global = true, env = "BATON_CERT", hide_env_values = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The client certificate's key [default: admin.client.key in the same places]
    #[arg(long, global = true, env = "BATON_KEY", hide_env_values = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Bound on each request [default: 5s for a question, 60s for a change]
    #[arg(long, global = true, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// Print one JSON object on stdout, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Use colour: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a pipe.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who is the writer, who follows, and are they well?
    Status {
        /// Show it again every second, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Every cluster of clusters.toml at once, the worst first
    Fleet {
        /// The list of clusters [default: clusters.toml in ~/.config/baton or /etc/baton]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Show it again every second, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// What happened, a line each: the steps of operations, and decisions
    Events {
        /// How many, the newest
        #[arg(value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Go on with what happens now, until Ctrl-C
        #[arg(long)]
        follow: bool,
    },
    /// What happened: the last operations, or one of them step by step
    History {
        /// How many, the newest first; a single one is shown with its steps
        #[arg(value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only the operations of this epoch, with their steps
        #[arg(long, value_name = "E")]
        epoch: Option<u64>,
        /// Show the steps of each
        #[arg(long)]
        steps: bool,
    },
    /// Why does Baton do what it does, or nothing; with an epoch, why that one ended
    Why {
        /// The epoch that ended
        epoch: Option<u64>,
    },
    /// Promote nothing automatically for a time
    Pause {
        /// How long, for example 30m; the pause ends by itself
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        length: Duration,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End a pause now
    Resume,
    /// Tell nobody what happens, for a time
    Mute {
        /// How long, for example 2h; it ends by itself
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, required_unless_present = "end")]
        length: Option<Duration>,
        /// Why, for the history
        #[arg(long, value_name = "TEXT", conflicts_with = "end")]
        reason: Option<String>,
        /// End it now
        #[arg(long, conflicts_with = "length")]
        end: bool,
    },
    /// Who is told what happens
    Alert {
        /// What to do
        #[command(subcommand)]
        action: AlertAction,
    },
    /// Move the write role away from a writer that is lost
    Failover {
        /// Take your word, not a proof, that the old writer can acknowledge nothing more
        #[arg(long)]
        force: bool,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The new writer; otherwise Baton chooses
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// Don't ask for the cluster's name
        #[arg(long)]
        yes: bool,
    },
    /// Move the write role away from a healthy writer, with a pause of writes that is bounded
    Switchover {
        /// The new writer; otherwise Baton chooses
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// Show what was found and what would be done, change nothing
        #[arg(long)]
        dry_run: bool,
        /// How long writes may pause; past it everything is taken back
        #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
        max_pause: Duration,
        /// Kill sessions that hold up the close, instead of taking it back
        #[arg(long)]
        kill_blockers: bool,
        /// Do it then, whoever leads by then: 2h from now, or 2026-11-30T02:00Z
        #[arg(long, value_name = "TIME", conflicts_with = "dry_run")]
        at: Option<At>,
        /// End the switchover appointed with --at
        #[arg(long, conflicts_with_all = ["to", "dry_run", "max_pause", "kill_blockers", "at"])]
        cancel: bool,
    },
    /// Leave a replica to people for a time: nobody reads from it, and it does not become the writer
    Maintenance {
        /// Whose server
        #[arg(value_name = "NODE")]
        name: String,
        /// How long, for example 2h; the maintenance ends by itself
        #[arg(
            long = "for",
            value_name = "TIME",
            value_parser = humantime::parse_duration,
            required_unless_present = "end"
        )]
        length: Option<Duration>,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Move the write role away first, where it is there
        #[arg(long)]
        switchover: bool,
        /// End it now
        #[arg(long, conflicts_with_all = ["length", "reason", "switchover"])]
        end: bool,
    },
    /// Restart a server: out of the way first, and back once it follows the writer again
    Restart {
        /// Whose server
        #[arg(value_name = "NODE")]
        name: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Move the write role away first, where it is there
        #[arg(long)]
        switchover: bool,
    },
    /// Try on a staging cluster what must hold on the other: replica failure, switchover, primary failure, fencing
    Rehearse {
        /// Write the results there as JUnit XML, for CI
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// Don't ask for the cluster's name
        #[arg(long)]
        yes: bool,
    },
    /// Find what is wrong with servers and configuration, each with its mend
    Check,
    /// Where each ProxySQL leads clients, and where it should
    Routing,
    /// Print the SQL that creates Baton's accounts with the least privileges
    Grants(Grants),
    /// Take a running replication under Baton's care; the writer stays open
    Adopt {
        /// The server that must be the writer; otherwise the one that is open now
        #[arg(long, value_name = "NODE")]
        writer: Option<String>,
        /// Show what would change, change nothing
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Give the cluster back to its people: Baton watches on and touches nothing
    Release {
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Replace a replica's data by a copy of another server's, and let it follow the writer again
    Rebuild {
        /// Whose server; never the writer's
        #[arg(value_name = "NODE")]
        name: String,
        /// Copy from this replica; otherwise Baton chooses one
        #[arg(long, value_name = "REPLICA", conflicts_with = "cancel")]
        from: Option<String>,
        /// Show what would be done, change nothing
        #[arg(long, conflicts_with = "cancel")]
        dry_run: bool,
        /// End the rebuild of this node that is under way
        #[arg(long)]
        cancel: bool,
        /// Don't ask for the node's name
        #[arg(long)]
        yes: bool,
    },
    /// Backups: make one, list them, look whether one is still as it was written
    Backup {
        /// Which of them
        #[command(subcommand)]
        action: BackupAction,
    },
    /// What can be restored now: windows of time, backups that stand alone, holes
    Recovery,
    /// Make the cluster's CA and the certificates of nodes and clients
    Certs(CertsArgs),
    /// Show the settings that the group runs by, or change them to a file's
    Config {
        /// Which of the two
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Transactions that one server alone has: where they are kept, and whether they may be discarded
    Quarantine {
        /// Which of the three
        #[command(subcommand)]
        action: QuarantineAction,
    },
    /// Add or remove a node
    Node {
        /// Which of the two
        #[command(subcommand)]
        action: NodeAction,
    },
}

/// `batonctl grants`.
#[derive(Debug, Args)]
pub struct Grants {
    /// Which server the SQL is for: mysql or mariadb
    #[arg(value_name = "mysql|mariadb", hide_possible_values = true)]
    pub dialect: Dialect,
    /// Baton's own account, `server.user` in baton.toml
    #[arg(long, value_name = "NAME", default_value = "baton")]
    pub user: String,
    /// The account that replicas connect with, `server.replication_user` in baton.toml
    #[arg(long, value_name = "NAME", default_value = "baton_replication")]
    pub replication_user: String,
    /// Where the accounts may connect from, as in CREATE USER
    #[arg(long, value_name = "HOST", default_value = "%")]
    pub host: String,
    /// Take Baton's password from this file; without it you fill it in
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Take the replication account's password from this file
    #[arg(long, value_name = "FILE")]
    pub replication_password_file: Option<PathBuf>,
}

/// Which family of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// MySQL 8.0.23 and later.
    Mysql,
    /// MariaDB 10.6 and later.
    Mariadb,
}

/// `batonctl config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// What safety depends on, as the group agreed on it, and the nodes whose file says something else
    Show,
    /// Make the group run by what this baton.toml says of it; the same file then goes to every node
    Apply {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Show what would change, change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `batonctl backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupAction {
    /// Make a backup now, of the replica that can bear it best
    Now {
        /// Of that server and no other
        // Not called node: that is the option of every command.
        #[arg(value_name = "NODE")]
        name: Option<String>,
        /// How much: everything, or what changed since the last one; a full one is made where that cannot be told apart
        #[arg(long, value_name = "KIND", value_parser = ["full", "incremental"], default_value = "full")]
        kind: String,
        /// Read the writer when no replica will do
        #[arg(long)]
        allow_writer: bool,
        /// Don't leave processor and disk to everybody else first
        #[arg(long)]
        full_speed: bool,
        /// Wait until it is over, and say how far it is
        #[arg(long)]
        follow: bool,
    },
    /// Every backup, and what is under way
    List,
    /// One backup
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Read every object of a backup again and compare checksums; nothing is restored, and no key is needed
    Verify {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// Wait until it is over, and say how far it is
        #[arg(long)]
        follow: bool,
    },
    /// Look through a node's stores and list every backup there that is not listed, after a cluster was lost or formed anew
    Scan {
        /// Whose stores; without a name those of a node that has any
        // Not called node: that is the option of every command.
        #[arg(value_name = "NODE")]
        name: Option<String>,
        /// Wait until it is over, and say what was found
        #[arg(long)]
        follow: bool,
    },
    /// End what is under way
    Cancel,
    /// Keep a backup, whatever its age; one that is to be deleted too
    Pin {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Keep it for as long as each store's rules say
    Unpin {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Mark a backup: it leaves its stores after backup.delete_after; refused while no newer good one is there
    Delete {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Show what goes and what stays by each store's rules, and mark what goes
    Prune {
        /// Mark nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `batonctl quarantine …`.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// The servers in quarantine, and every archive
    List,
    /// One archive: its transactions, its files, and the beginning of its SQL
    Show {
        /// Its name, or a node in quarantine
        #[arg(value_name = "ID")]
        id: String,
        /// Print the SQL alone, as far as one answer reaches
        #[arg(long)]
        sql: bool,
    },
    /// Say that a server's extra transactions may be discarded, so that it can be rebuilt
    Release {
        /// The server's node
        // Not called node: that is the option of every command.
        #[arg(value_name = "NODE")]
        name: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Also when they are not archived; nobody has them then, once the server is rebuilt
        #[arg(long)]
        without_archive: bool,
    },
}

/// `batonctl alert …`.
#[derive(Debug, Subcommand)]
pub enum AlertAction {
    /// Send a message to everybody who is told anything, and say what became of it
    Test,
}

/// `batonctl node …`.
#[derive(Debug, Subcommand)]
pub enum NodeAction {
    /// Add a node; it joins as a learner and votes once it has caught up
    Add {
        /// Its name
        name: String,
        /// Where the other nodes reach it
        #[arg(long, value_name = "HOST:PORT")]
        peer: String,
        /// Its server; without one it is a witness
        #[arg(long, value_name = "HOST:PORT")]
        server: Option<String>,
        /// Its zone
        #[arg(long, value_name = "ZONE")]
        zone: Option<String>,
    },
    /// Remove a node; never the one that holds the write role
    Remove {
        /// Its name
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
