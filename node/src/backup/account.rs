//! The account of a program that reads the server: in a file that only Baton's user can read, gone with the program.

use std::fs::{OpenOptions, remove_file};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// How the server beside this node is reached.
#[derive(Clone, Debug)]
pub struct LocalAccount {
    /// Baton's own account.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// The server's socket.
    pub socket: PathBuf,
}

/// The file, for as long as it is needed.
pub(crate) struct AccountFile(PathBuf);

impl AccountFile {
    /// Writes it, in the place of one that an earlier process may have left.
    pub(crate) fn write(path: &Path, account: &LocalAccount) -> Result<Self, String> {
        remove(path);
        let file = Self(path.to_owned());
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text(account).as_bytes()));
        written.map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AccountFile {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes one that an earlier process left.
pub(crate) fn remove(path: &Path) {
    match remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the file with the account cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

fn text(account: &LocalAccount) -> String {
    format!(
        "[client]\nuser={}\npassword={}\nsocket={}\n",
        quoted(&account.user),
        quoted(account.password.expose_secret()),
        quoted(&account.socket.to_string_lossy())
    )
}

/// In quotes an option file takes everything as it stands, but for backslashes and quotes (tried on 10.11).
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_written_for_its_owner_alone_and_goes() {
        let path = std::env::temp_dir().join(format!("baton-account-{}.cnf", std::process::id()));
        std::fs::write(&path, "a leftover").unwrap();
        let account = LocalAccount {
            user: "baton".into(),
            password: "a\"b\\c#d'e ".to_owned().into(),
            socket: "/run/mysqld/mysqld.sock".into(),
        };
        let file = AccountFile::write(&path, &account).unwrap();
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "[client]\nuser=\"baton\"\npassword=\"a\\\"b\\\\c#d'e \"\nsocket=\"/run/mysqld/mysqld.sock\"\n"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }
}
