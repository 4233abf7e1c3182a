//! Opens the file: settings, tables, and the check that it belongs here.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use rustix::fs::Access;
use rustix::io::Errno;

use super::error::StoreError;

/// Format of the tables, kept in `user_version`.
const FORMAT: i64 = 1;
/// Marks the file as Baton's, kept in `application_id` ("Batn").
const APPLICATION: i64 = 0x4261_746e;
/// A daemon that is just ending may still hold the file.
const BUSY: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE identity (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        store_id   TEXT NOT NULL,
        machine_id TEXT NOT NULL
    ) STRICT;
    CREATE TABLE binding (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        cluster    TEXT NOT NULL,
        cluster_id TEXT NOT NULL,
        raft_id    INTEGER NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log (idx INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE raft (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE machine (
        one          INTEGER PRIMARY KEY CHECK (one = 1),
        last_applied TEXT NOT NULL,
        membership   TEXT NOT NULL,
        state        TEXT NOT NULL
    ) STRICT;
    CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// Opens or makes the store at `path` for this machine, and answers its store id.
///
/// `new_store_id` is used only when the file is made now.
pub(super) fn open(
    path: &Path,
    machine_id: &str,
    new_store_id: &str,
) -> Result<(Connection, String), StoreError> {
    writable(path)?;
    let is_new = !path.exists();
    let opened = open_or_make(path, machine_id, new_store_id);
    if opened.is_err() && is_new {
        remove_attempt(path);
    }
    opened
}

/// SQLite names a read-only file system in several ways, among them an input/output error.
fn writable(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    match rustix::fs::access(folder, Access::WRITE_OK) {
        Ok(()) => Ok(()),
        Err(Errno::ROFS) => Err(StoreError::ReadOnly { path: path.to_owned() }),
        Err(error) => Err(StoreError::CannotOpen { path: path.to_owned(), detail: error.to_string() }),
    }
}

/// Looks at everything before it writes anything: what is damaged stays as it was found.
fn open_or_make(
    path: &Path,
    machine_id: &str,
    new_store_id: &str,
) -> Result<(Connection, String), StoreError> {
    let fail = |e: rusqlite::Error| StoreError::from_sqlite(path, "open", &e);
    let mut connection = Connection::open(path).map_err(fail)?;
    settings(&connection).map_err(fail)?;
    check_format(path, &connection)?;
    sound(path, &connection)?;
    let store_id = identity(path, &mut connection, machine_id, new_store_id)?;
    Ok((connection, store_id))
}

/// What a full disk leaves of a store that was to be made. The error that is told is the first one.
fn remove_attempt(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
}

/// `synchronous=FULL` because a vote or an entry that was answered for must survive a power cut: in WAL mode
/// NORMAL does not wait for the disk. The exclusive lock keeps a second daemon out.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 500)
}

fn check_format(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let fail = |e: rusqlite::Error| StoreError::from_sqlite(path, "open", &e);
    let (format, application) =
        (number("user_version").map_err(fail)?, number("application_id").map_err(fail)?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if tables == 0 || (application == APPLICATION && format == FORMAT) {
        return Ok(());
    }
    Err(StoreError::OtherFormat { path: path.to_owned(), found: format, known: FORMAT })
}

pub(super) fn identity(
    path: &Path,
    connection: &mut Connection,
    machine_id: &str,
    new_store_id: &str,
) -> Result<String, StoreError> {
    let fail = |e: rusqlite::Error| StoreError::from_sqlite(path, "open", &e);
    let transaction = connection.transaction().map_err(fail)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if tables == 0 {
        transaction.execute_batch(TABLES).map_err(fail)?;
        transaction.pragma_update(None, "user_version", FORMAT).map_err(fail)?;
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(fail)?;
        transaction
            .execute("INSERT INTO identity VALUES (1, ?1, ?2)", (new_store_id, machine_id))
            .map_err(fail)?;
    }
    let found: Option<(String, String)> = transaction
        .query_row("SELECT store_id, machine_id FROM identity", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(fail)?;
    let Some((store_id, made_on)) = found else {
        return Err(StoreError::Corrupt { path: path.to_owned(), detail: "it names no store id".into() });
    };
    if made_on != machine_id {
        return Err(StoreError::OtherMachine { path: path.to_owned(), made_on, this: machine_id.into() });
    }
    // Written even when nothing changes, so that a read-only or full disk shows now and not at the first vote.
    transaction.execute("UPDATE identity SET store_id = store_id", []).map_err(fail)?;
    transaction.commit().map_err(fail)?;
    Ok(store_id)
}

fn sound(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| StoreError::from_sqlite(path, "open", &e))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt { path: path.to_owned(), detail: verdict.replace('\n', " ") })
}
