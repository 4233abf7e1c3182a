//! Whose the restored files are.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use rustix::process::geteuid;

/// The account that packages make for either server.
const USUAL: &str = "mysql";

/// A user and a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// As it is shown, and as a server's `--user` takes it.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The one that was asked for, else whoever has `destination`, else the usual one, where there is such. `None`: files stay
    /// with whoever restores, because nobody else can give them away.
    pub(super) fn find(wanted: Option<&str>, destination: &Path) -> Result<Option<Self>, String> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Some(wanted) = wanted {
            let found = of_text(wanted, &passwd);
            return found.map(Some).ok_or_else(|| {
                format!("--owner {wanted}: this host has no such user; a user's name or UID:GID is wanted")
            });
        }
        if !geteuid().is_root() {
            return Ok(None);
        }
        let there = fs::metadata(destination).ok().filter(|found| found.uid() != 0);
        Ok(match there {
            Some(found) => {
                Some(Self { name: name_of(found.uid(), &passwd), uid: found.uid(), gid: found.gid() })
            }
            None => of_text(USUAL, &passwd),
        })
    }

    /// Gives it one file or folder.
    pub(super) fn give(&self, path: &Path) -> Result<(), String> {
        lchown(path, Some(self.uid), Some(self.gid))
            .map_err(|e| format!("{} cannot be given to {}: {e}", path.display(), self.name))
    }

    /// Gives it a folder and everything below.
    pub(super) fn give_all(&self, folder: &Path) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                self.give_all(&entry.path())?;
            } else {
                self.give(&entry.path())?;
            }
        }
        self.give(folder)
    }
}

/// `NAME` or `UID:GID`.
fn of_text(text: &str, passwd: &str) -> Option<Owner> {
    if let Some((uid, gid)) = text.split_once(':') {
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        return Some(Owner { name: name_of(uid, passwd), uid, gid });
    }
    let (name, uid, gid) = users(passwd).find(|(name, _, _)| *name == text)?;
    Some(Owner { name: name.to_owned(), uid, gid })
}

fn name_of(uid: u32, passwd: &str) -> String {
    users(passwd).find(|(_, id, _)| *id == uid).map_or(uid.to_string(), |(name, _, _)| name.to_owned())
}

fn users(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        Some((name, uid.parse().ok()?, gid.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_numbers() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmysql:x:105:110:MySQL,,,:/nonexistent:/bin/false\n";
        let owner = |text: &str| of_text(text, passwd).map(|o| (o.name, o.uid, o.gid));
        assert_eq!(owner("mysql"), Some(("mysql".into(), 105, 110)));
        assert_eq!(owner("105:7"), Some(("mysql".into(), 105, 7)));
        assert_eq!(owner("9:9"), Some(("9".into(), 9, 9)));
        assert_eq!((owner("nobody"), owner("a:b")), (None, None));
    }
}
