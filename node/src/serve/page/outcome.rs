//! What became of a backup, as shape and colour, and of several of them.

use baton_proto::control::{Backup, BackupListReply, BackupTask};

/// From the best to the worst, so that the worst of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Made, and later read again: as it was written.
    Proven,
    /// Made.
    Made,
    /// A try came to nothing.
    Failed,
    /// Read again, and not as it was written, or adds to one of which that is true.
    Damaged,
}

impl Outcome {
    /// In the order of a legend.
    pub(super) const ALL: [Self; 4] = [Self::Proven, Self::Made, Self::Failed, Self::Damaged];

    pub(super) fn of(backup: &Backup) -> Self {
        match (backup.verified_ms, backup.fault.as_str()) {
            // An increment is worth what it adds to.
            _ if !backup.chain_fault.is_empty() => Self::Damaged,
            (0, _) => Self::Made,
            (_, "") => Self::Proven,
            _ => Self::Damaged,
        }
    }

    pub(super) fn tone(self) -> &'static str {
        match self {
            Self::Proven => "good",
            Self::Made => "plain",
            Self::Failed => "warn",
            Self::Damaged => "bad",
        }
    }

    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Proven => "●",
            Self::Made => "◐",
            Self::Failed => "▲",
            Self::Damaged => "✗",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Proven => "made and read again",
            Self::Made => "made",
            Self::Failed => "came to nothing",
            Self::Damaged => "DAMAGED",
        }
    }
}

/// Tries to make one that came to nothing. What somebody ended looks the same: there is no backup of it.
pub(super) fn failed(backups: &BackupListReply) -> impl Iterator<Item = &BackupTask> {
    backups.ended.iter().filter(|task| task.what == "make" && !task.error.is_empty())
}

/// Every backup and every try, with the moment at which it began, in milliseconds since 1970.
pub(super) fn all(backups: &BackupListReply) -> impl Iterator<Item = (i64, Outcome)> {
    let made = backups.backups.iter().map(|backup| (backup.began_ms, Outcome::of(backup)));
    made.chain(failed(backups).map(|task| (task.started_ms, Outcome::Failed)))
}

/// "2 made and read again, 1 came to nothing".
pub(super) fn counted(outcomes: &[Outcome]) -> String {
    let parts = Outcome::ALL.into_iter().filter_map(|one| {
        let count = outcomes.iter().filter(|outcome| **outcome == one).count();
        (count > 0).then(|| format!("{count} {}", one.words()))
    });
    parts.collect::<Vec<_>>().join(", ")
}
