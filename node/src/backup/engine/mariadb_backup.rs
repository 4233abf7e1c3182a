//! mariadb-backup: MariaDB's files and as much of the redo log as came along, full or since another backup.

use std::ffi::OsString;
use std::path::Path;

use super::findings::Findings;
use super::metadata::{Metadata, is_kept};
use super::xbstream::{Flavour, StreamCheck};
use super::{Extent, Inspector, with};

/// What it says last when all went well; it is also its last line.
const TRAILER: &str = "completed OK!";
/// Without this no copy is one.
const SYSTEM_TABLESPACE: &str = "ibdata1";

pub(super) fn words(program: &Path, extent: &Extent, defaults: &Path, scratch: &Path) -> Vec<OsString> {
    // The option file has to be named first.
    let mut words = vec![
        program.into(),
        with("--defaults-file=", defaults),
        "--backup".into(),
        "--stream=mbstream".into(),
        "--slave-info".into(),
        with("--target-dir=", scratch),
    ];
    if let Extent::Incremental { from_lsn, .. } = extent {
        words.push(format!("--incremental-lsn={from_lsn}").into());
    }
    words
}

pub(super) struct Check {
    stream: StreamCheck,
    from_lsn: Option<u64>,
}

impl Check {
    pub(super) fn new(extent: &Extent) -> Self {
        let from_lsn = match extent {
            Extent::Full => None,
            Extent::Incremental { from_lsn, .. } => Some(*from_lsn),
        };
        Self { stream: StreamCheck::new(Flavour::Mariadb, is_kept), from_lsn }
    }
}

impl Inspector for Check {
    fn feed(&mut self, data: &[u8]) -> Result<(), String> {
        self.stream.feed(data)
    }

    fn finish(self: Box<Self>, log: &str) -> Result<Findings, String> {
        if !log.trim_end().ends_with(TRAILER) {
            return Err("mariadb-backup did not say that it was done".into());
        }
        let (inventory, kept) = self.stream.finish()?;
        let is_there =
            |name: &str| inventory.iter().any(|f| f.name == name || f.name == format!("{name}.delta"));
        if !is_there(SYSTEM_TABLESPACE) {
            return Err(format!("the copy has no {SYSTEM_TABLESPACE}"));
        }
        let copy = Metadata::new(kept);
        let (kind, lsn) = copy.checkpoints()?;
        // The program itself has been seen to say "OK" to each of these.
        let (expected, from) = self.from_lsn.map_or(("full-backuped", 0), |lsn| ("incremental", lsn));
        if kind != expected {
            return Err(format!("the copy is {kind} and should be {expected}"));
        }
        if lsn.from != from || lsn.to < lsn.from || lsn.to == 0 {
            let (found, to) = (lsn.from, lsn.to);
            return Err(format!(
                "the copy goes from LSN {found} to {to} and should go from {from} on: its base is another server's"
            ));
        }
        if copy.info("partial").as_deref() == Some("Y") {
            return Err("the copy leaves tables out: an option file tells mariadb-backup so".into());
        }
        if copy.info("end_time").is_none() {
            return Err("the copy does not say when it ended".into());
        }
        let position = copy.position();
        let said = |key: &str| copy.info(key).unwrap_or_default();
        let (tool_version, server_version) = (said("tool_version"), said("server_version"));
        Ok(Findings { position, lsn: Some(lsn), tool_version, server_version, inventory })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::xbstream::testing::file;
    use super::*;

    const INFO: &str = "tool_version = 10.11.14\nserver_version = 10.11.14-MariaDB-log\nend_time = 2026-01-01 00:00:01\n\
                        partial = N\n";
    const LOG: &str = "[00] Streaming\n[00] 2026-01-01 00:00:01 completed OK!\n";

    fn finish(
        extent: &Extent,
        from: u64,
        to: u64,
        kind: &str,
        info: &str,
        log: &str,
    ) -> Result<Findings, String> {
        let checkpoints =
            format!("backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {to}\n");
        let mut check = Box::new(Check::new(extent));
        check.feed(&file("ibdata1", b"pages")).unwrap();
        check.feed(&file("xtrabackup_checkpoints", checkpoints.as_bytes())).unwrap();
        check.feed(&file("mariadb_backup_binlog_info", b"binlog.000002\t907\t0-1-3,7-1-9\n")).unwrap();
        check.feed(&file("xtrabackup_info", info.as_bytes())).unwrap();
        check.finish(log)
    }

    #[test]
    fn the_command_lines() {
        let shown = |extent: &Extent| {
            let words =
                words(Path::new("mariadb-backup"), extent, Path::new("/run/a.cnf"), Path::new("/run/s"));
            words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let full = "mariadb-backup --defaults-file=/run/a.cnf --backup --stream=mbstream --slave-info --target-dir=/run/s";
        assert_eq!(shown(&Extent::Full), full);
        let extent = Extent::Incremental { base: "b".into(), from_lsn: 77 };
        assert_eq!(shown(&extent), format!("{full} --incremental-lsn=77"));
    }

    #[test]
    fn a_full_copy() {
        let found = finish(&Extent::Full, 0, 4711, "full-backuped", INFO, LOG).unwrap();
        let position = found.position.unwrap();
        assert_eq!((position.gtids.as_str(), position.binlog_position), ("0-1-3,7-1-9", 907));
        assert_eq!(found.lsn.unwrap().to, 4711);
        assert_eq!((found.tool_version.as_str(), found.inventory.len()), ("10.11.14", 4));
    }

    #[test]
    fn what_the_program_calls_a_success_and_is_none() {
        let full =
            |info: &str, log: &str| finish(&Extent::Full, 0, 4711, "full-backuped", info, log).unwrap_err();
        assert_eq!(full(INFO, "[00] log copying failed\n"), "mariadb-backup did not say that it was done");
        assert!(full(&INFO.replace("partial = N", "partial = Y"), LOG).contains("leaves tables out"));
        assert!(full("partial = N\n", LOG).contains("when it ended"));
        let extent = Extent::Incremental { base: "b".into(), from_lsn: 47_670_563 };
        let increment = |from, to, kind| finish(&extent, from, to, kind, INFO, LOG);
        let error = increment(47_670_563, 24_259_640, "incremental").unwrap_err();
        assert!(error.contains("its base is another server's"), "{error}");
        assert!(increment(0, 50_000_000, "incremental").is_err());
        assert!(increment(47_670_563, 47_670_563, "full-backuped").is_err());
        assert!(increment(47_670_563, 47_670_563, "incremental").is_ok());
    }
}
