//! The programs of mariadb-backup: where they are, and their command lines.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::backup::program::{is_program, on_path};

/// Its name on PATH, where the configuration does not say.
const PROGRAM: &str = "mariadb-backup";
/// Stands beside it.
const UNPACKER: &str = "mbstream";
/// The Debian package that has both.
const PACKAGE: &str = "mariadb-backup";
/// Whatever the server and Baton do comes first.
const LOWEST: [&str; 3] = ["nice", "-n", "19"];

/// Where to look for the programs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `mariadb-backup`, where the configuration names it.
    pub configured: Option<PathBuf>,
    /// The search path otherwise, as `PATH` has it.
    pub path: OsString,
}

/// Both programs, as they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operate::rebuild) struct Found {
    backup: PathBuf,
    unpack: PathBuf,
}

impl Tools {
    /// What this node lacks to give or to take a copy, with the mend; `None` where it has everything.
    pub fn lacks(&self) -> Option<String> {
        self.find().err()
    }

    /// Finds both.
    ///
    /// # Errors
    /// Which one is missing, with the mend.
    pub(in crate::operate::rebuild) fn find(&self) -> Result<Found, String> {
        let backup = match &self.configured {
            Some(path) if is_program(path) => path.clone(),
            Some(path) => {
                return Err(format!(
                    "[rebuild] mariadb_backup is {}, which is no program: correct it, or apt-get install {PACKAGE}",
                    path.display()
                ));
            }
            None => on_path(&self.path, PROGRAM).ok_or_else(|| {
                format!("has no {PROGRAM}: apt-get install {PACKAGE} there, or set [rebuild] mariadb_backup")
            })?,
        };
        let unpack = backup.with_file_name(UNPACKER);
        if !is_program(&unpack) {
            return Err(format!(
                "has no {UNPACKER} beside {}: apt-get install {PACKAGE} there",
                backup.display()
            ));
        }
        Ok(Found { backup, unpack })
    }
}

impl Found {
    /// Reads the server that `defaults` has the account for, and writes the copy to its output. What it puts into `target`
    /// is small.
    pub(in crate::operate::rebuild) fn give(&self, defaults: &Path, target: &Path) -> Vec<OsString> {
        // The option file has to be named first.
        let options = [with("--defaults-file=", defaults), "--backup".into(), "--stream=mbstream".into()];
        words(&self.backup, options.into_iter().chain([with("--target-dir=", target)]))
    }

    /// Unpacks what comes to its input.
    pub(super) fn unpack(&self, into: &Path) -> Vec<OsString> {
        words(&self.unpack, ["-x".into(), "-C".into(), into.into()])
    }

    /// Makes what was unpacked a data directory that a server can start with.
    pub(super) fn prepare(&self, copy: &Path) -> Vec<OsString> {
        words(&self.backup, ["--prepare".into(), with("--target-dir=", copy)])
    }
}

fn with(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

fn words(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    LOWEST.map(OsString::from).into_iter().chain([program.into()]).chain(arguments).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(words: &[OsString]) -> String {
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_command_lines() {
        let found = Found { backup: "/usr/bin/mariadb-backup".into(), unpack: "/usr/bin/mbstream".into() };
        assert_eq!(
            shown(&found.give(Path::new("/run/baton/give.cnf"), Path::new("/run/baton/give"))),
            "nice -n 19 /usr/bin/mariadb-backup --defaults-file=/run/baton/give.cnf --backup --stream=mbstream \
             --target-dir=/run/baton/give"
        );
        let copy = Path::new("/var/lib/mysql.baton-rebuild");
        assert_eq!(
            shown(&found.unpack(copy)),
            "nice -n 19 /usr/bin/mbstream -x -C /var/lib/mysql.baton-rebuild"
        );
        assert_eq!(
            shown(&found.prepare(copy)),
            "nice -n 19 /usr/bin/mariadb-backup --prepare --target-dir=/var/lib/mysql.baton-rebuild"
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let nowhere = Tools { configured: None, path: "/nowhere:/neither".into() };
        assert_eq!(
            nowhere.lacks().unwrap(),
            "has no mariadb-backup: apt-get install mariadb-backup there, or set [rebuild] mariadb_backup"
        );
        let wrong = Tools { configured: Some("/nowhere/mariadb-backup".into()), ..nowhere };
        assert!(wrong.lacks().unwrap().contains("which is no program"));
        let alone = Tools { configured: Some("/bin/sh".into()), ..wrong };
        assert!(alone.lacks().unwrap().contains("has no mbstream beside /bin/sh"));
    }
}
