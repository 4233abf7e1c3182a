//! What keeps certificates from being made or shown.

use std::path::PathBuf;

/// Why it did not work, and the mend.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum CertsError {
    #[error("{what}: {fault}")]
    Name { what: &'static str, fault: String },
    #[error("node \"{0}\" is named twice; name each once")]
    Twice(String),
    #[error("a node cannot be named \"ca\": its files would be the CA's; choose another name")]
    NamedCa,
    #[error(
        "\"{0}\" is neither a DNS name nor an address, or ends in .baton, where Baton's own names are; correct --san"
    )]
    San(String),
    #[error("{} exists; --force replaces it{consequence}", path.display())]
    Exists { path: PathBuf, consequence: &'static str },
    #[error("{} cannot be read: {source}; make a CA with `batonctl certs init`, or correct --dir", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} is not {what}; restore it, or make a new CA with `batonctl certs init --force`", path.display())]
    NotOurs { path: PathBuf, what: &'static str },
    #[error(
        "{} expired on {at}; make a new CA with `batonctl certs init --force` and give every node its new files",
        path.display()
    )]
    CaExpired { path: PathBuf, at: String },
    #[error("{} holds no certificate (*.pem); correct --dir", .0.display())]
    NothingThere(PathBuf),
    #[error("the time {0} cannot stand in a certificate; correct this host's clock")]
    Time(jiff::Timestamp),
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}
