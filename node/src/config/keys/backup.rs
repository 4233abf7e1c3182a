//! The keys of when backups are made and where they go.

use super::Preset::{Required, Unset, Value};
use super::Scope::{Live, Restart};
use super::{Key, key};
use crate::config::kind::Kind;

/// Milliseconds in a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// The keys of each `[[backup.schedule]]`.
pub static SCHEDULE_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Live, "What the list and messages call it."),
    key(
        "cron",
        Kind::Cron,
        Required,
        Live,
        "When a backup is made: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). The leader's \
         file counts. Where there is a store and no schedule, weekly makes a full one at 2:00 UTC on Sundays, and daily an \
         increment at 2:00 UTC on each other day.",
    ),
    key(
        "kind",
        Kind::Choice(&["full", "incremental"]),
        Value("full"),
        Live,
        "How much: everything, or what changed since the last backup of the same server. Where that cannot be told apart, as \
         after a rebuild of the server, a full one is made, and the list says why. Of MariaDB alone.",
    ),
    key(
        "time_zone",
        Kind::Zone,
        Value("UTC"),
        Live,
        "Of the expression. In UTC no hour is left out or comes twice.",
    ),
    key(
        "enabled",
        Kind::Boolean,
        Value("true"),
        Live,
        "Whether it counts. One that is switched off also takes the place of weekly and daily, and so makes none.",
    ),
    key(
        "allow_writer",
        Kind::Boolean,
        Value("false"),
        Live,
        "Whether the writer is read when no replica will do. Off: what reads a server slows it down.",
    ),
];

/// The keys of each `[[store]]`.
pub static STORE_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Restart, "What messages and the catalogue call it."),
    key(
        "type",
        Kind::Choice(&["files", "s3"]),
        Required,
        Restart,
        "A folder, or a bucket that is spoken to like S3.",
    ),
    key(
        "required",
        Kind::Boolean,
        Value("true"),
        Restart,
        "Whether a backup counts only if this store has all of it. On: what may be missing was never needed.",
    ),
    key(
        "path",
        Kind::Path,
        Unset,
        Restart,
        "files: the folder. It has to be there: a disk that is not mounted must not be taken for an empty store.",
    ),
    key(
        "keep_all",
        Kind::Duration { min_ms: 0, max_ms: 100 * 366 * DAY_MS },
        Value("30d"),
        Live,
        "How long every backup is kept. The leader's file counts for this and the next two.",
    ),
    key(
        "keep_weekly",
        Kind::Duration { min_ms: 0, max_ms: 100 * 366 * DAY_MS },
        Value("90d"),
        Live,
        "Up to which age the first backup of each week is kept after that. Weeks begin on Mondays, UTC.",
    ),
    key(
        "keep_at_least",
        Kind::Integer { min: 1, max: 1000 },
        Value("2"),
        Live,
        "So many good ones are kept, whatever their age. Two, as one may turn out to be damaged.",
    ),
    key(
        "prune",
        Kind::Boolean,
        Value("false"),
        Restart,
        "Whether Baton removes what is not to be kept. Off: credentials that can delete are best not on a database's host, and \
         whoever takes the host cannot take the backups.",
    ),
    key("endpoint", Kind::Text, Unset, Restart, "s3: `https://host`, without the bucket."),
    key("bucket", Kind::Text, Unset, Restart, "s3: the bucket."),
    key(
        "region",
        Kind::Text,
        Value("us-east-1"),
        Restart,
        "s3: as the store names it. Most that are not AWS take this one.",
    ),
    key("prefix", Kind::Text, Unset, Restart, "s3: before the name of every object."),
    key(
        "credentials_file",
        Kind::Path,
        Unset,
        Restart,
        "s3: a file with the lines aws_access_key_id = … and aws_secret_access_key = …",
    ),
    key(
        "ca",
        Kind::Path,
        Unset,
        Restart,
        "s3: authorities to trust in place of those that the world trusts.",
    ),
];
