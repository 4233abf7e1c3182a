//! `batonctl certs`: a CA for one cluster, and the certificates of its nodes and of those who operate it.
//!
//! Works on files alone, needs no running node, and is best run where the CA's key stays: not on the hosts.

mod error;
mod files;
mod make;
mod show;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

pub use error::CertsError;
pub use make::{CA_DAYS, LEAF_DAYS, Made, make_all, make_ca, make_client, make_node};
pub use show::{Shown, show};

/// Arguments of `batonctl certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CertsCommand,
}

/// What `batonctl certs` does.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make a CA, a certificate for every node, and one for the client "admin"
    Init {
        /// The cluster's name, as in the configuration file
        #[arg(long)]
        cluster: String,
        /// Where
        #[command(flatten)]
        place: Place,
        /// The nodes' names, as in the configuration file
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Make one node's certificate, new or anew (--force)
    Node {
        /// The node's name
        name: String,
        /// A further DNS name or address for other tools; Baton itself needs none
        #[arg(long = "san", value_name = "NAME")]
        sans: Vec<String>,
        /// Where
        #[command(flatten)]
        place: Place,
    },
    /// Make an operator's certificate, new or anew (--force)
    Client {
        /// The operator's name; it appears in the history
        name: String,
        /// Where
        #[command(flatten)]
        place: Place,
    },
    /// Show whom each certificate is for and when it expires
    Show {
        /// The folder with the certificates
        #[arg(long, visible_alias = "out", default_value = ".")]
        dir: PathBuf,
    },
}

/// Where certificates are made.
#[derive(Debug, Args)]
pub struct Place {
    /// The folder with the CA, where the certificates are put too
    #[arg(long, visible_alias = "out", default_value = ".")]
    pub dir: PathBuf,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// Does what the arguments say at the time `now`, and gives what to print: text, or one JSON object.
///
/// # Errors
/// Says what is wrong and the mend; then nothing was written, except when a disk refused half way.
pub fn run(args: &CertsArgs, json: bool, now: Timestamp) -> Result<String, CertsError> {
    let made = match &args.command {
        CertsCommand::Init { cluster, place, nodes } => {
            make_all(cluster, nodes, "admin", &place.dir, place.force, now)?
        }
        CertsCommand::Node { name, sans, place } => {
            vec![make_node(name, sans, &place.dir, place.force, now)?]
        }
        CertsCommand::Client { name, place } => vec![make_client(name, &place.dir, place.force, now)?],
        CertsCommand::Show { dir } => {
            let shown = show(dir, now)?;
            return Ok(if json { as_json("certificates", &shown) } else { show::table(&shown) });
        }
    };
    Ok(if json { as_json("made", &made) } else { told(&made) })
}

fn told(made: &[Made]) -> String {
    let mut text = String::new();
    let width = made.iter().map(|one| one.holder.len()).max().unwrap_or_default();
    for Made { holder, cert, key, until, .. } in made {
        let until = until.strftime("%Y-%m-%d");
        let _ = writeln!(text, "made  {holder:width$}  until {until}  {} {}", cert.display(), key.display());
    }
    if made.iter().any(|one| one.node.is_some()) {
        text.push_str("\nEach node needs ca.pem and its own two files in /etc/baton/tls.\n");
    }
    if made.iter().any(|one| one.cert.ends_with("ca.pem")) {
        text.push_str("ca.key stays here: whoever has it can make itself a node.\n");
    }
    text
}

fn as_json<T: serde::Serialize>(name: &str, list: &[T]) -> String {
    format!("{}\n", serde_json::json!({ name: list }))
}
