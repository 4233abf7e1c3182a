//! Reading certificates back: whose they are, and how long they last.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use baton_proto::names::{Holder, name_fault};
use jiff::Timestamp;
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, Pem, X509Certificate};

use super::error::CertsError;

/// From how many days before its end on a certificate is marked.
const SOON_DAYS: i64 = 14;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its file.
    pub path: PathBuf,
    /// Whose it is, in words.
    pub holder: String,
    /// The cluster it is for.
    pub cluster: Option<String>,
    /// Whether it signs others.
    pub ca: bool,
    /// When it expires.
    pub until: Timestamp,
    /// Whole days from now until then; negative when it has expired.
    pub days_left: i64,
    /// In hexadecimal.
    pub serial: String,
    #[serde(skip)]
    pub(super) public_key: Vec<u8>,
}

/// The DNS name in a CA's certificate; it has a label less than a node's.
pub(super) fn ca_name(cluster: &str) -> String {
    format!("{cluster}.baton")
}

/// Every certificate (`*.pem`) in a folder, by file name.
///
/// # Errors
/// The folder cannot be read, or has none.
pub fn show(dir: &Path, now: Timestamp) -> Result<Vec<Shown>, CertsError> {
    let unreadable = |source| CertsError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut shown = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| CertsError::Read { path: path.clone(), source })?;
        shown.extend(read_one(&path, &text, now));
    }
    if shown.is_empty() { Err(CertsError::NothingThere(dir.to_owned())) } else { Ok(shown) }
}

/// The first certificate of a PEM text; None when it has none.
pub(super) fn read_one(path: &Path, text: &str, now: Timestamp) -> Option<Shown> {
    let pem = Pem::iter_from_buffer(text.as_bytes()).find_map(Result::ok)?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    let until = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    let names = dns_names(&certificate);
    let holder = names.iter().find_map(|name| Holder::from_dns_name(name));
    let cluster = match &holder {
        Some(holder) => Some(holder.cluster().to_owned()),
        None => names.iter().find_map(|name| ca_cluster(name)),
    };
    let ca = certificate.is_ca();
    let words = match (&holder, &cluster) {
        (Some(holder), _) => holder.to_string(),
        (None, Some(cluster)) if ca => format!("CA of cluster {cluster}"),
        _ => certificate.subject().to_string(),
    };
    Some(Shown {
        path: path.to_owned(),
        holder: words,
        cluster,
        ca,
        until,
        days_left: (until.as_second() - now.as_second()).div_euclid(86_400),
        serial: certificate.raw_serial_as_string(),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

fn ca_cluster(name: &str) -> Option<String> {
    name.strip_suffix(".baton").filter(|cluster| name_fault(cluster).is_none()).map(str::to_owned)
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = alternative.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

/// One aligned line for each certificate.
pub(super) fn table(shown: &[Shown]) -> String {
    let mut text = String::new();
    let name = |one: &Shown| one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = shown.iter().map(|one| name(one).len()).max().unwrap_or_default();
    let holders = shown.iter().map(|one| one.holder.len()).max().unwrap_or_default();
    for one in shown {
        let mark = match one.days_left {
            ..0 => "EXPIRED",
            0..SOON_DAYS => "soon: make it anew",
            _ => "",
        };
        let line = format!(
            "{:names$}  {:holders$}  until {}  {:>5} days  {mark}",
            name(one),
            one.holder,
            one.until.strftime("%Y-%m-%d"),
            one.days_left
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
