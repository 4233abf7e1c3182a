//! The files that the configuration names.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::load::{Findings, Origin};
use super::model::Config;

/// MySQL takes no longer one for a replication channel (error 3056).
const REPLICATION_PASSWORD_MAX: usize = 32;
/// Nobody guesses one of so many characters.
const PAGE_TOKEN_MIN: usize = 16;

/// Checks that each secret can be read by the daemon, and by nobody who should not. A witness probes the servers with
/// Baton's own; it makes nobody replicate but a `[[replica]]`, when it leads. Any node may come to lead, and then speaks to
/// each ProxySQL.
pub(super) fn check(
    config: &Config,
    is_witness: bool,
    origins: &BTreeMap<String, Origin>,
    findings: &mut Findings,
) {
    let server = &config.server;
    let mut fault = |place: &str, key: &str, read: Result<SecretString, String>| {
        if let Err(fault) = read {
            findings.error(findings.place(origins.get(place)), key, fault);
        }
    };
    let key = "server.password_file";
    fault(key, key, read_password(&server.password_file));
    if !is_witness || !config.replicas.is_empty() {
        let (key, path) = ("server.replication_password_file", &server.replication_password_file);
        fault(key, key, read_replication_password(path));
    }
    for (index, proxy) in config.proxies.iter().enumerate() {
        let place = format!("proxysql.{index}.password_file");
        fault(&place, "proxysql.password_file", read_password(&proxy.password_file));
    }
    if let Some(path) = &config.telegram.token_file {
        let key = "telegram.token_file";
        fault(key, key, read_password(path));
    }
    if let Some(path) = &config.http.token_file {
        let key = "http.token_file";
        fault(key, key, read_page_token(path));
    }
    for (index, webhook) in config.webhooks.iter().enumerate() {
        if let Some(path) = &webhook.secret_file {
            let place = format!("webhook.{index}.secret_file");
            fault(&place, "webhook.secret_file", read_password(path));
        }
    }
}

/// Reads a replication password, see [`read_password`].
///
/// # Errors
/// Also when it is longer than the 32 characters that MySQL takes for a replication channel.
pub fn read_replication_password(path: &Path) -> Result<SecretString, String> {
    let password = read_password(path)?;
    if password.expose_secret().chars().count() > REPLICATION_PASSWORD_MAX {
        return Err(format!(
            "{} holds more than {REPLICATION_PASSWORD_MAX} characters, which MySQL takes for no replication channel; \
             choose a shorter password",
            path.display()
        ));
    }
    Ok(password)
}

/// Reads the token of the page, see [`read_password`].
///
/// # Errors
/// Also when it is shorter than 16 characters.
pub fn read_page_token(path: &Path) -> Result<SecretString, String> {
    let token = read_password(path)?;
    if token.expose_secret().chars().count() < PAGE_TOKEN_MIN {
        return Err(format!(
            "{shown} holds fewer than {PAGE_TOKEN_MIN} characters; write a longer token, such as that of: openssl rand -hex 32",
            shown = path.display()
        ));
    }
    Ok(token)
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
