//! mysqldump and mariadb-dump: rows as SQL. Everything is read in one snapshot; its position is at the beginning, MariaDB's
//! GTID set behind the tables on versions that know why.

use std::ffi::OsString;
use std::path::Path;

use super::findings::{FileEntry, Findings, Position};
use super::{Inspector, with};
use crate::gtid::Dialect;

/// The last line of a dump that is whole.
const TRAILER: &[u8] = b"-- Dump completed";
/// Of a line so much is looked at: names are shorter, and GTID sets of MySQL are cut into lines.
const LINE_MAX: usize = 4096;
/// On MariaDB, before the set.
const SLAVE_POS: &str = "-- SET GLOBAL gtid_slave_pos=";
/// A GTID set.
const GTIDS_MAX: usize = 4 << 20;
/// More tables than any server has.
const TABLES_MAX: usize = 4_000_000;

pub(super) fn words(program: &Path, dialect: Dialect, defaults: &Path) -> Vec<OsString> {
    let options: &[&str] = match dialect {
        Dialect::Mysql => &["--set-gtid-purged=ON", "--source-data=2"],
        Dialect::Mariadb => &["--gtid", "--master-data=2"],
    };
    let always = [
        "--single-transaction",
        "--quick",
        "--all-databases",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--default-character-set=utf8mb4",
    ];
    let start = [program.into(), with("--defaults-file=", defaults)];
    start.into_iter().chain(always.iter().chain(options).map(OsString::from)).collect()
}

/// Reads line by line, as much as there is to learn.
pub(super) struct Check {
    dialect: Dialect,
    line: Vec<u8>,
    line_bytes: u64,
    last: Vec<u8>,
    schema: String,
    tables: Vec<FileEntry>,
    position: Position,
    server_version: String,
    tool_version: String,
    in_gtids: bool,
    /// It was said before the first table.
    is_in_head: bool,
    has_gtids: bool,
}

impl Check {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            line: Vec::new(),
            line_bytes: 0,
            last: Vec::new(),
            schema: String::new(),
            tables: Vec::new(),
            position: Position::default(),
            server_version: String::new(),
            tool_version: String::new(),
            in_gtids: false,
            is_in_head: false,
            has_gtids: false,
        }
    }

    fn end_line(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        if let Some(table) = self.tables.last_mut() {
            table.bytes += self.line_bytes;
        }
        self.line_bytes = 0;
        self.look(&String::from_utf8_lossy(&line))?;
        if !line.is_empty() {
            self.last = line;
        }
        Ok(())
    }

    fn look(&mut self, line: &str) -> Result<(), String> {
        if self.in_gtids {
            self.gtids(line);
        } else if let Some(schema) = line.strip_prefix("-- Current Database: ") {
            schema.trim_matches('`').clone_into(&mut self.schema);
        } else if let Some(table) = line.strip_prefix("-- Table structure for table ") {
            let name = format!("{}.{}", self.schema, table.trim_matches('`'));
            self.tables.push(FileEntry { name, bytes: 0 });
            if self.tables.len() > TABLES_MAX {
                return Err("it has more tables than any server".into());
            }
        } else if let Some(version) = line.strip_prefix("-- Server version") {
            version.trim().clone_into(&mut self.server_version);
        } else if self.tool_version.is_empty() && line.contains(" dump ") {
            line.trim_start_matches(['-', ' ']).clone_into(&mut self.tool_version);
        } else if self.tables.is_empty() {
            self.look_for_position(line);
        } else if let Some(rest) = line.strip_prefix(SLAVE_POS).filter(|_| !self.is_in_head) {
            // The body of a routine may hold such a line, too. The dump's own is the last one.
            self.position.gtids.clear();
            self.gtids(rest);
        }
        Ok(())
    }

    fn look_for_position(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("SET @@GLOBAL.GTID_PURGED=") {
            (self.in_gtids, self.is_in_head) = (true, true);
            // The comment makes the set an addition to the server's own, on versions that know that.
            self.gtids(rest.split_once("*/").map_or(rest, |(_, set)| set));
        } else if let Some(rest) = line.strip_prefix(SLAVE_POS) {
            self.is_in_head = true;
            self.gtids(rest);
        } else if line.contains("LOG_FILE='") {
            let mut quoted = line.split('\'');
            self.position.binlog_file = quoted.nth(1).unwrap_or_default().to_owned();
            let number = line.rsplit('=').next().unwrap_or_default().trim_end_matches(';').trim();
            self.position.binlog_position = number.parse().unwrap_or_default();
        }
    }

    fn gtids(&mut self, line: &str) {
        self.has_gtids = true;
        let is_last = line.trim_end().ends_with(';');
        let set = line.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\'' | ';'));
        if self.position.gtids.len() < GTIDS_MAX {
            self.position.gtids.extend(set);
        }
        self.in_gtids &= !is_last;
    }
}

impl Inspector for Check {
    fn feed(&mut self, data: &[u8]) -> Result<(), String> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line_bytes += piece.len() as u64;
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_MAX.saturating_sub(self.line.len()).min(text.len());
            self.line.extend_from_slice(text.get(..room).unwrap_or_default());
            if text.len() < piece.len() {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _log: &str) -> Result<Findings, String> {
        if !self.line.is_empty() {
            return Err("the dump ends in the middle of a line".into());
        }
        if !self.last.starts_with(TRAILER) {
            return Err("the dump has no end: its last line should say that it was completed".into());
        }
        let has_position = match self.dialect {
            Dialect::Mysql => self.has_gtids || !self.position.binlog_file.is_empty(),
            // A server that never had a transaction has an empty set, and says so.
            Dialect::Mariadb => self.has_gtids && !self.position.binlog_file.is_empty(),
        };
        if !has_position {
            return Err("the dump does not say where it stands: does the server write a binlog?".into());
        }
        if self.tables.is_empty() {
            return Err("the dump has no tables".into());
        }
        self.tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Findings {
            position: Some(self.position),
            lsn: None,
            tool_version: self.tool_version,
            server_version: self.server_version,
            inventory: self.tables,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MYSQL: &str = "-- MySQL dump 10.13  Distrib 9.7.0, for Linux (x86_64)\n-- Server version\t9.7.0\n\
        SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n\
        4e11fa47-71ca-11e1-9e33-c80aa9429562:1-77';\n\
        -- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=158;\n\
        -- Current Database: `app`\n--\n-- Table structure for table `rows`\nINSERT INTO `rows` VALUES (1);\n\
        -- Dump completed on 2026-01-01  0:00:00\n";

    fn finish(dialect: Dialect, dump: &str, step: usize) -> Result<Findings, String> {
        let mut check = Box::new(Check::new(dialect));
        for piece in dump.as_bytes().chunks(step) {
            check.feed(piece)?;
        }
        check.finish("")
    }

    #[test]
    fn a_dump_of_mysql() {
        for step in [1, 7, 100_000] {
            let found = finish(Dialect::Mysql, MYSQL, step).unwrap();
            let position = found.position.unwrap();
            let gtids = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-77";
            assert_eq!(position.gtids, gtids);
            assert_eq!((position.binlog_file.as_str(), position.binlog_position), ("binlog.000003", 158));
            assert_eq!(found.server_version, "9.7.0");
            assert_eq!(found.inventory.first().unwrap().name, "app.rows");
        }
    }

    #[test]
    fn a_dump_of_mariadb() {
        let dump = MYSQL
            .replace("SET @@GLOBAL.GTID_PURGED", "-- not")
            .replace(
                "-- CHANGE REPLICATION SOURCE TO SOURCE",
                "-- SET GLOBAL gtid_slave_pos='0-1-3,7-1-9';\n-- CHANGE MASTER TO MASTER",
            )
            .replace("SOURCE_LOG_POS", "MASTER_LOG_POS");
        let found = |dump: &str| finish(Dialect::Mariadb, dump, 10).unwrap().position.unwrap();
        let position = found(&dump);
        assert_eq!((position.gtids.as_str(), position.binlog_position), ("0-1-3,7-1-9", 158));

        // As 10.11.18 writes it: behind everything else.
        let said = "-- SET GLOBAL gtid_slave_pos='0-1-3,7-1-9';\n";
        let of_a_routine = "-- SET GLOBAL gtid_slave_pos='6-6-6';\n";
        let later = dump
            .replace(said, "")
            .replace("-- Dump completed", &format!("{of_a_routine}{said}-- Dump completed"));
        assert_eq!(found(&later).gtids, "0-1-3,7-1-9");
        let early = dump.replace("-- Dump completed", &format!("{of_a_routine}-- Dump completed"));
        assert_eq!(found(&early).gtids, "0-1-3,7-1-9");
        let none = finish(Dialect::Mariadb, &dump.replace(said, ""), 10).unwrap_err();
        assert!(none.contains("where it stands"), "{none}");
    }

    #[test]
    fn half_a_dump_is_none() {
        let cut = |at: &str| MYSQL.split_once(at).unwrap().0.to_owned();
        let no_end = finish(Dialect::Mysql, &cut("-- Dump completed"), 100).unwrap_err();
        assert!(no_end.contains("has no end"), "{no_end}");
        assert!(finish(Dialect::Mysql, &cut("completed on"), 100).unwrap_err().contains("middle of a line"));
        let nowhere = MYSQL.replace("GTID_PURGED", "X").replace("LOG_FILE", "X");
        assert!(finish(Dialect::Mysql, &nowhere, 100).unwrap_err().contains("where it stands"));
        let empty = MYSQL.replace("-- Table structure", "-- ");
        assert!(finish(Dialect::Mysql, &empty, 100).unwrap_err().contains("no tables"));
    }

    #[test]
    fn the_command_lines() {
        let shown = |program: &str, dialect| {
            let words = words(Path::new(program), dialect, Path::new("/run/a.cnf"));
            words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let common = "--defaults-file=/run/a.cnf --single-transaction --quick --all-databases --routines --events --triggers \
                      --hex-blob --default-character-set=utf8mb4";
        assert_eq!(
            shown("mysqldump", Dialect::Mysql),
            format!("mysqldump {common} --set-gtid-purged=ON --source-data=2")
        );
        assert_eq!(
            shown("mariadb-dump", Dialect::Mariadb),
            format!("mariadb-dump {common} --gtid --master-data=2")
        );
    }
}
