//! The small files that mariadb-backup and XtraBackup put into a copy.

use super::findings::{LsnRange, Position};
use super::xbstream::Kept;

/// What the files have been called: before and after 11.1.
const PREFIXES: [&str; 2] = ["xtrabackup_", "mariadb_backup_"];
const KEPT: [&str; 4] = ["checkpoints", "info", "binlog_info", "slave_info"];

/// Whether a file of a copy is one of them.
pub(super) fn is_kept(path: &str) -> bool {
    PREFIXES.iter().filter_map(|prefix| path.strip_prefix(prefix)).any(|rest| KEPT.contains(&rest))
}

/// The small files of a copy.
pub(super) struct Metadata(Kept);

impl Metadata {
    pub(super) fn new(kept: Kept) -> Self {
        Self(kept)
    }

    fn text(&self, name: &str) -> Option<String> {
        let found = PREFIXES.iter().find_map(|prefix| self.0.get(&format!("{prefix}{name}")));
        found.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A line `key = value` of a file.
    fn value(&self, name: &str, key: &str) -> Option<String> {
        let text = self.text(name)?;
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(k, _)| k.trim() == key).map(|(_, value)| value.trim().to_owned())
    }

    pub(super) fn info(&self, key: &str) -> Option<String> {
        self.value("info", key).filter(|value| !value.is_empty())
    }

    /// Type of the backup, and its range.
    pub(super) fn checkpoints(&self) -> Result<(String, LsnRange), String> {
        let missing = |key: &str| format!("the copy does not say its {key}");
        let text = |key: &str| self.value("checkpoints", key).ok_or_else(|| missing(key));
        let number = |key: &str| text(key)?.parse::<u64>().map_err(|_| missing(key));
        Ok((text("backup_type")?, LsnRange { from: number("from_lsn")?, to: number("to_lsn")? }))
    }

    /// `binlog.000001<TAB>907<TAB>gtids`; the set may have several lines.
    pub(super) fn position(&self) -> Option<Position> {
        let text = self.text("binlog_info")?;
        let mut fields = text.trim().splitn(3, '\t');
        let (file, position) = (fields.next()?, fields.next()?);
        let gtids: String = fields.next().unwrap_or_default().split_whitespace().collect();
        Some(Position { gtids, binlog_file: file.to_owned(), binlog_position: position.trim().parse().ok()? })
    }
}
