//! How a backup becomes data again: the ways there are, the programs that they need, and how those are called. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use crate::gtid::Dialect;

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A data directory.
    Directory(PathBuf),
    /// A file that gets the stream as it is.
    Output(PathBuf),
    /// A server that runs, by its socket.
    Server(PathBuf),
}

/// What is done with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Unpacked by mbstream, then prepared.
    MariadbBackup,
    /// Unpacked by tar: it is a data directory then.
    Clone,
    /// Given to the server's client.
    Dump,
    /// Written down.
    Stream,
}

impl Way {
    /// The way of an engine's stream to a target.
    ///
    /// # Errors
    /// There is none, and which there are.
    pub(super) fn find(engine: &str, target: &Target) -> Result<Self, String> {
        match (engine, target) {
            (_, Target::Output(_)) => Ok(Self::Stream),
            ("mariadb-backup", Target::Directory(_)) => Ok(Self::MariadbBackup),
            ("clone", Target::Directory(_)) => Ok(Self::Clone),
            ("dump", Target::Server(_)) => Ok(Self::Dump),
            ("dump", Target::Directory(_)) => Err("the backup is SQL and no data directory: load it into a running server with \
                --socket SOCKET in place of --into, or write it down with --output FILE".into()),
            ("mariadb-backup" | "clone", Target::Server(_)) => {
                Err("the backup is a data directory, which no running server takes: use --into DIR in place of --socket".into())
            }
            (engine, _) => Err(format!("what to do with a stream of {engine} knows who made it: write it down with --output FILE")),
        }
    }
}

/// A program that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Debian's package.
    pub(super) package: &'static str,
    /// Where it is, and what it says of its version.
    pub(super) found: Option<(PathBuf, String)>,
}

/// The programs that a way needs, each with its package.
pub(super) fn needed(way: Way, dialect: Dialect) -> &'static [(&'static str, &'static str)] {
    match (way, dialect) {
        (Way::MariadbBackup, _) => &[("mariadb-backup", "mariadb-backup"), ("mbstream", "mariadb-backup")],
        (Way::Clone, _) => &[("tar", "tar")],
        (Way::Dump, Dialect::Mysql) => &[("mysql", "mysql-client")],
        (Way::Dump, Dialect::Mariadb) => &[("mariadb", "mariadb-client")],
        (Way::Stream, _) => &[],
    }
}

/// The program that makes SQL of a binlog, with its package.
pub(super) fn reader_of(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Mysql => ("mysqlbinlog", "mysql-client"),
        Dialect::Mariadb => ("mariadb-binlog", "mariadb-client"),
    }
}

/// The server's program.
pub(super) fn program_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "mysqld",
        Dialect::Mariadb => "mariadbd",
    }
}

pub(super) fn package_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "mysql-server",
        Dialect::Mariadb => "mariadb-server",
    }
}

/// The programs as they are run, for people and to be run.
pub(super) fn commands(
    chain: &Chain,
    way: Way,
    tools: &[Tool],
    data: &Path,
    increment: &Path,
) -> Vec<Vec<OsString>> {
    let tool = |name: &str| {
        let found = tools.iter().find(|tool| tool.name == name).and_then(|tool| tool.found.as_ref());
        found.map_or(name.into(), |(path, _)| path.clone().into_os_string())
    };
    let with = |option: &str, path: &Path| {
        let mut word = OsString::from(option);
        word.push(path);
        word
    };
    match way {
        Way::MariadbBackup => {
            let part = |number: usize| {
                let into = if number == 0 { data } else { increment };
                let unpack = vec![tool("mbstream"), "-x".into(), "-C".into(), into.into()];
                let mut prepare =
                    vec![tool("mariadb-backup"), "--prepare".into(), with("--target-dir=", data)];
                if number > 0 {
                    prepare.push(with("--incremental-dir=", increment));
                }
                [unpack, prepare]
            };
            (0..chain.parts().len()).flat_map(part).collect()
        }
        Way::Clone => {
            vec![vec![
                tool("tar"),
                "--extract".into(),
                "--file=-".into(),
                "--no-same-owner".into(),
                "--directory".into(),
                data.into(),
            ]]
        }
        Way::Dump | Way::Stream => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::chain;
    use super::*;

    #[tokio::test]
    async fn the_command_lines() {
        let chain = chain().await;
        let found = |name| Some((Path::new("/usr/bin").join(name), String::new()));
        let tools = ["mariadb-backup", "mbstream"].map(|name| Tool {
            name,
            package: "mariadb-backup",
            found: found(name),
        });
        let shown = |way| {
            let all = commands(&chain, way, &tools, Path::new("/d"), Path::new("/i"));
            let line = |words: &Vec<OsString>| {
                words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
            };
            all.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(Way::MariadbBackup),
            [
                "/usr/bin/mbstream -x -C /d",
                "/usr/bin/mariadb-backup --prepare --target-dir=/d",
                "/usr/bin/mbstream -x -C /i",
                "/usr/bin/mariadb-backup --prepare --target-dir=/d --incremental-dir=/i"
            ]
        );
        assert_eq!(shown(Way::Clone), ["tar --extract --file=- --no-same-owner --directory /d"]);
    }

    #[test]
    fn each_stream_has_its_ways() {
        let (folder, file, server) =
            (Target::Directory("/d".into()), Target::Output("/f".into()), Target::Server("/s".into()));
        assert_eq!(Way::find("clone", &folder), Ok(Way::Clone));
        assert_eq!(Way::find("dump", &server), Ok(Way::Dump));
        assert_eq!(Way::find("command", &file), Ok(Way::Stream));
        assert!(Way::find("dump", &folder).unwrap_err().contains("--socket SOCKET"));
        assert!(Way::find("mariadb-backup", &server).unwrap_err().contains("--into DIR"));
        assert!(Way::find("command", &folder).unwrap_err().contains("--output FILE"));
    }
}
