//! What is asked for on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use jiff::Timestamp;

use super::find::Kind;
use super::judge::Wish;
use super::place::StoreArgs;
use super::plan::Target;
use super::replay::Wanted;

/// `baton-node restore`.
#[derive(Args, Debug, Clone)]
#[command(group = ArgGroup::new("target").required(true).args(["into", "output", "socket"]))]
#[command(group = ArgGroup::new("until").args(["latest", "to_gtid", "before_gtid", "to_time"]).conflicts_with("output"))]
#[command(group = ArgGroup::new("starts").args(["sandbox", "latest", "to_gtid", "before_gtid", "to_time"]).multiple(true))]
pub struct RestoreArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// A file with the private key, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// Which backup [default: the newest one that is complete, and lies before the moment that is gone on to]
    #[arg(long, value_name = "ID")]
    pub(super) backup: Option<String>,
    /// Go on from the backup to everything that is archived
    #[arg(long)]
    pub(super) latest: bool,
    /// Go on to the last transaction of this set, with all that precede it
    #[arg(long, value_name = "SET")]
    pub(super) to_gtid: Option<String>,
    /// Go on to right before this transaction
    #[arg(long, value_name = "GTID")]
    pub(super) before_gtid: Option<String>,
    /// Go on to what was committed by then, such as 2026-01-02T15:04:05Z
    #[arg(long, value_name = "RFC3339")]
    pub(super) to_time: Option<Timestamp>,
    /// The data directory that it becomes
    #[arg(long, value_name = "DIR")]
    pub(super) into: Option<PathBuf>,
    /// A file that gets the stream as it is: SQL, of a dump
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The socket of a running server that gets the SQL of a dump
    #[arg(long, value_name = "SOCKET")]
    pub(super) socket: Option<PathBuf>,
    /// The account on that server
    #[arg(long, default_value = "root", requires = "socket")]
    pub(super) user: String,
    /// A file with that account's password
    #[arg(long, value_name = "FILE", requires = "socket")]
    pub(super) password_file: Option<PathBuf>,
    /// Load into a server that has schemas: tables of the backup's names are replaced, all others stay
    #[arg(long, requires = "socket")]
    pub(super) force: bool,
    /// Restore also where another series of the server is installed
    #[arg(long)]
    pub(super) other_version: bool,
    /// Whose the files are: a user, or UID:GID [default: as root whoever has DIR, else mysql]
    #[arg(long, value_name = "USER")]
    pub(super) owner: Option<String>,
    /// Start the restored server without network, check every table, and stop it again
    #[arg(long, requires = "into")]
    pub(super) sandbox: bool,
    /// The option file that the restored server is started with for --sandbox, and to go on from the backup
    #[arg(long, value_name = "FILE", requires_all = ["into", "starts"])]
    pub(super) options: Option<PathBuf>,
    /// Show the plan with the transactions around the moment that is gone on to, and change nothing
    #[arg(long, requires = "until")]
    pub(super) preview: bool,
    /// Show the plan and what speaks against it, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// `baton-node backups`.
#[derive(Args, Debug, Clone)]
pub struct BackupsArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// `baton-node find`.
#[derive(Args, Debug, Clone)]
pub struct FindArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// A file with the private key, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// What was done; several with commas between them [default: anything]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(super) kind: Vec<Kind>,
    /// To which table, as shop.orders or orders; a * is any part of a name
    #[arg(long, value_name = "TABLE")]
    pub(super) table: Option<String>,
    /// What was committed from then on, such as 2026-01-02T15:04:05Z
    #[arg(long, value_name = "RFC3339")]
    pub(super) from: Option<Timestamp>,
    /// What was committed by then
    #[arg(long, value_name = "RFC3339")]
    pub(super) to: Option<Timestamp>,
    /// So many transactions at most, the first ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) limit: u32,
    /// One JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

impl RestoreArgs {
    /// clap has made sure that there is one.
    pub(super) fn target(&self) -> Target {
        // Programs that are started with it change their own folder.
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        match (&self.into, &self.output, &self.socket) {
            (Some(path), _, _) => Target::Directory(whole(path)),
            (_, Some(path), _) => Target::Output(whole(path)),
            (_, _, path) => Target::Server(path.clone().unwrap_or_default()),
        }
    }

    /// `replayed_bytes` are those of the segments that are replayed, if any are.
    pub(super) fn wish(&self, replayed_bytes: Option<u64>) -> Wish {
        Wish {
            force: self.force,
            other_version: self.other_version,
            sandbox: self.sandbox || replayed_bytes.is_some(),
            replayed_bytes: replayed_bytes.unwrap_or_default(),
        }
    }

    /// Where it goes on to; clap has made sure that there is one at most.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let latest = self.latest.then_some(Wanted::Latest);
        let to = self.to_gtid.clone().map(Wanted::ToGtid);
        latest
            .or(to)
            .or(self.before_gtid.clone().map(Wanted::BeforeGtid))
            .or(self.to_time.map(Wanted::ToTime))
    }
}
