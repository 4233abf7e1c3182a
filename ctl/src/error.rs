//! Everything that can go wrong for the operator, each with what to do about it.

use std::path::PathBuf;

use crate::connect::Trouble;
use crate::exit::Exit;

/// Why a command did not do its work. `Display` is the one line that says what is wrong; [`Error::mend`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line does not make sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to write instead.
        mend: String,
    },
    /// A file cannot be read.
    #[error("{purpose} {}: {source}", path.display())]
    File {
        /// What the file is for.
        purpose: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// What to do when it is not there.
        mend: &'static str,
    },
    /// A configuration file was read and is wrong.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A certificate or key was read and cannot be used.
    #[error("{}: {what}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// `batonctl certs` could not do its work; its words hold the mend.
    #[error(transparent)]
    Certs(#[from] crate::certs::CertsError),
    /// Every node was tried and none answered.
    #[error("no node answers: {}", tried(.0))]
    NoAnswer(Vec<(String, Trouble)>),
    /// The connection ended, or the time was over, while a change was under way.
    #[error("{node} did not confirm: {what}")]
    Unconfirmed {
        /// Who was asked.
        node: String,
        /// What happened to the request.
        what: String,
    },
    /// A node answered that it will not do it, or could not.
    #[error("{what}")]
    Refused {
        /// The node's own words.
        what: String,
        /// What to do, empty where the words say it themselves.
        mend: String,
    },
    /// The operator did not confirm.
    #[error("not confirmed, nothing was done")]
    NotConfirmed,
    /// The terminal or a file could not be written to.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl Error {
    /// A usage error.
    pub fn usage(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), mend: mend.into() }
    }

    /// What to do about it; empty where the message says so itself.
    pub fn mend(&self) -> String {
        match self {
            Self::Usage { mend, .. } | Self::Refused { mend, .. } => mend.clone(),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "run as an account that may read it (often: with sudo)".into()
            }
            Self::Config { .. } => "correct the file; `batonctl --help` names the options that replace it".into(),
            Self::File { mend, .. } | Self::Certificate { mend, .. } => (*mend).into(),
            Self::NoAnswer(tried) => mend_of_all(tried),
            Self::Unconfirmed { .. } => {
                "it may have been carried out: look at `batonctl status` and `batonctl history` before repeating it"
                    .into()
            }
            Self::NotConfirmed => "type the name as it is shown, or pass --yes".into(),
            Self::Certs(_) | Self::Write(_) => String::new(),
        }
    }

    /// The exit status it ends the command with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. }
            | Self::File { .. }
            | Self::Config { .. }
            | Self::Certificate { .. }
            | Self::Certs(_)
            | Self::NotConfirmed => Exit::Usage,
            Self::NoAnswer(_) | Self::Unconfirmed { .. } => Exit::NoAnswer,
            Self::Refused { .. } | Self::Write(_) => Exit::Refused,
        }
    }
}

/// One clause for each node, or one for all when they share their trouble.
fn tried(tried: &[(String, Trouble)]) -> String {
    match tried {
        [] => "none is known".into(),
        [(_, first), rest @ ..] if !rest.is_empty() && rest.iter().all(|(_, other)| other == first) => {
            let names: Vec<&str> = tried.iter().map(|(node, _)| node.as_str()).collect();
            format!("{}: {first}", names.join(", "))
        }
        all => all.iter().map(|(node, trouble)| format!("{node}: {trouble}")).collect::<Vec<_>>().join("; "),
    }
}

/// The mend of the trouble that says most: a rejected certificate is a better clue than a refused port beside it.
fn mend_of_all(tried: &[(String, Trouble)]) -> String {
    let clearest = tried.iter().map(|(_, trouble)| trouble).max_by_key(|trouble| trouble.says());
    clearest.map(Trouble::mend).unwrap_or_default().into()
}
