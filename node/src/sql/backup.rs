//! MariaDB: where a server has its data, and the positions of one that was made from a copy of another's.
//!
//! What was tried on 10.11: a copy by mariadb-backup comes without a binlog and without the source's replication. Its table
//! `mysql.gtid_slave_pos` is as old as the rows beside it, and may be one transaction ahead of the position that the
//! program notes on a replica, which reads it after the commit; on a writer it is as old as that server's last time as a
//! replica. So the later of the two counts, domain by domain.

use std::path::{Path, PathBuf};

use super::error::SqlError;
use super::fields::{Fields, quote};
use super::managed::Permit;
use super::replica_status::mariadb_position;
use super::wire::Wire;
use crate::gtid::{Dialect, GtidSet, MariadbSet};

/// Where a server has its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataPlaces {
    /// The data directory, as the server names it.
    pub data: PathBuf,
    /// The file in it that a running server holds locked.
    pub locked: String,
    /// Settings by which a part of the data is elsewhere: name and value.
    pub elsewhere: Vec<(String, String)>,
}

/// What a copy has, by the word of who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPosition {
    /// The last transaction of each domain, as noted with the copy.
    pub position: MariadbSet,
    /// Everything that the source had at that time and a little more: it is cut off at the position.
    pub had: MariadbSet,
}

const DIRECTORIES: [&str; 4] =
    ["innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory", "aria_log_dir_path"];

/// Reads where the data is.
pub(super) async fn places(wire: &mut Wire) -> Result<DataPlaces, SqlError> {
    if wire.caps().dialect != Dialect::Mariadb {
        return Err(SqlError::Unsupported("MySQL is copied by CLONE".into()));
    }
    let names = DIRECTORIES.map(quote).join(", ");
    let sql =
        format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('datadir', 'innodb_data_file_path', {names})");
    read_places(&Fields::of_pairs(&wire.rows(&sql).await?))
}

fn read_places(fields: &Fields) -> Result<DataPlaces, SqlError> {
    let data = PathBuf::from(fields.must("datadir")?);
    let files = fields.must("innodb_data_file_path")?;
    let locked = files.split(':').next().unwrap_or_default().to_owned();
    let is_inside = |value: &str| {
        let path = Path::new(value);
        path.components().all(|part| part == std::path::Component::CurDir) || data == path
    };
    let elsewhere = DIRECTORIES.iter().filter_map(|name| {
        let value = fields.filled(&[name]).filter(|value| !is_inside(value))?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    // A file of the system tablespace may have a path of its own.
    let strays = files.contains('/').then(|| ("innodb_data_file_path".to_owned(), files.to_owned()));
    let elsewhere = elsewhere.chain(strays).collect();
    Ok(DataPlaces { data, locked, elsewhere })
}

/// Gives a server that runs with a copy the copy's positions: nothing of what it had before is left of them. Repeating it
/// changes nothing, as long as the server has not replicated since.
pub(super) async fn take_position(
    wire: &mut Wire,
    copy: &CopyPosition,
    permit: &Permit,
) -> Result<(), SqlError> {
    let row = wire.row("SELECT @@global.gtid_slave_pos AS slave_pos").await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let table = match mariadb_position(fields.text(&["slave_pos"]).unwrap_or_default())? {
        GtidSet::Mariadb(set) => set,
        GtidSet::Mysql(_) => MariadbSet::default(),
    };
    let (state, position) = positions(copy, &table);
    for statement in statements(&state, &position) {
        permit.check(&statement)?;
        wire.run(&statement).await?;
    }
    let row =
        wire.row("SELECT @@global.gtid_slave_pos AS slave_pos, @@global.gtid_binlog_state AS state").await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let now = fields.text(&["slave_pos"]).unwrap_or_default();
    let same = MariadbSet::parse_position(now).is_ok_and(|set| set == position);
    let logged = fields.text(&["state"]).unwrap_or_default();
    if same && MariadbSet::parse_state(logged).is_ok_and(|set| set == state) {
        return Ok(());
    }
    Err(SqlError::NotInEffect { what: "the copy's position", seen: format!("{now} and {logged}") })
}

/// Binlog state and replica position of a copy whose own table says `table`.
fn positions(copy: &CopyPosition, table: &MariadbSet) -> (MariadbSet, MariadbSet) {
    // A position alone: of each domain only the last one counts.
    let last = |set: &MariadbSet| MariadbSet::parse_position(&set.position()).unwrap_or_default();
    let position = last(&copy.position.union(table));
    (copy.had.up_to(&position), position)
}

fn statements(state: &MariadbSet, position: &MariadbSet) -> [String; 5] {
    [
        "STOP ALL SLAVES".to_owned(),
        "RESET SLAVE ALL".to_owned(),
        // Binlog files of before may lie outside of the data that was replaced.
        "RESET MASTER".to_owned(),
        format!("SET GLOBAL gtid_binlog_state={}", quote(&state.to_string())),
        format!("SET GLOBAL gtid_slave_pos={}", quote(&position.position())),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_outside_of_the_data_directory_is_named() {
        let mut pairs = vec![
            ("datadir", "/var/lib/mysql/"),
            ("innodb_data_file_path", "ibdata1:12M:autoextend"),
            ("innodb_data_home_dir", ""),
            ("innodb_log_group_home_dir", "./"),
            ("aria_log_dir_path", "/var/lib/mysql/"),
        ];
        let places = read_places(&Fields::of(&pairs)).unwrap();
        assert_eq!((places.locked.as_str(), places.elsewhere), ("ibdata1", vec![]));
        pairs.push(("innodb_undo_directory", "/fast/undo"));
        let places = read_places(&Fields::of(&pairs)).unwrap();
        assert_eq!(places.elsewhere, [("innodb_undo_directory".to_owned(), "/fast/undo".to_owned())]);
    }

    #[test]
    fn the_later_of_note_and_table_counts() {
        let set = |text: &str| MariadbSet::parse_state(text).unwrap();
        let copy = CopyPosition { position: set("0-2-150"), had: set("0-1-100,0-2-180") };
        let of = |table: &str| {
            let (state, position) = positions(&copy, &set(table));
            (state.to_string(), position.position())
        };
        assert_eq!(of("0-2-151"), ("0-1-100,0-2-151".into(), "0-2-151".into()), "a replica's");
        assert_eq!(of("0-1-100"), ("0-1-100,0-2-150".into(), "0-2-150".into()), "a writer's");
        let sql = statements(&set("0-1-100,0-2-150"), &set("0-2-150")).join("; ");
        assert_eq!(
            sql,
            "STOP ALL SLAVES; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_binlog_state='0-1-100,0-2-150'; \
             SET GLOBAL gtid_slave_pos='0-2-150'"
        );
    }
}
