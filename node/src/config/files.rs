//! The files that the configuration names.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

use super::load::{Findings, Origin};
use super::model::ServerConfig;

/// Checks that each password can be read by the daemon, and by nobody who should not.
pub(super) fn check(server: &ServerConfig, origins: &BTreeMap<String, Origin>, findings: &mut Findings) {
    let files = [
        ("server.password_file", &server.password_file),
        ("server.replication_password_file", &server.replication_password_file),
    ];
    for (key, path) in files {
        if let Err(fault) = read_password(path) {
            findings.error(findings.place(origins.get(key)), key, fault);
        }
    }
}

/// Reads a password: the file's content without the line end.
///
/// # Errors
/// The file is missing, unreadable, empty, or may be read by every user of the host. Says what mends it.
pub fn read_password(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let fault = |fault: std::io::Error| format!("{shown} {}", read_fault(&fault));
    let mode = std::fs::metadata(path).map_err(fault)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(format!("{shown} is open to every user of this host; run: chmod o= {shown}"));
    }
    let text = std::fs::read_to_string(path).map_err(fault)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(format!("{shown} is empty; write the password into it"));
    }
    Ok(SecretString::from(password))
}

/// Why a file could not be read, and the mend.
pub(super) fn read_fault(fault: &std::io::Error) -> String {
    match fault.kind() {
        ErrorKind::NotFound => "does not exist; create it or correct the path".to_owned(),
        ErrorKind::PermissionDenied => "may not be read by this user; correct its owner or mode".to_owned(),
        ErrorKind::InvalidData => "is not UTF-8 text; write it anew".to_owned(),
        _ => format!("cannot be read: {fault}"),
    }
}
