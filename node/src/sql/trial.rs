//! A restored server that runs for a look: whether its tables are whole, and where it stands.

use std::time::Duration;

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::wire::Wire;
use crate::gtid::Dialect;

/// Beside the tables.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);
/// The largest table there may be, read once on a slow disk.
const TABLE_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Of what is wrong so much is told.
const FAULTS_MAX: usize = 20;

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
     AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema') ORDER BY TABLE_SCHEMA, TABLE_NAME";
/// Of an engine that cannot look at its tables.
const UNSUPPORTED: &str = "The storage engine for the table doesn't support check";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// The server's version.
    pub version: String,
    /// Where it stands: every transaction on MySQL, what it has replicated on MariaDB.
    pub gtids: String,
    /// Tables that were checked.
    pub tables: u64,
    /// What is wrong with some, the first few.
    pub faults: Vec<String>,
    /// XA transactions that were prepared and wait for a decision.
    pub prepared: u64,
}

/// Whether it answers.
///
/// # Errors
/// It does not yet.
pub async fn answers(connector: &Connector) -> Result<(), SqlError> {
    Wire::open(connector, None, "trial", LOOKED_WITHIN).await.map(drop)
}

/// Checks every table, one after another. `told` hears how many of how many are done.
///
/// # Errors
/// The server's.
pub async fn look(connector: &Connector, told: impl Fn(u64, u64)) -> Result<Looked, SqlError> {
    let mut wire = Wire::open(connector, None, "trial", LOOKED_WITHIN).await?;
    let caps = wire.caps();
    let variable = match caps.dialect {
        Dialect::Mysql => "gtid_executed",
        Dialect::Mariadb => "gtid_slave_pos",
    };
    let row = wire.row(&format!("SELECT @@GLOBAL.{variable} AS gtids")).await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let gtids = fields.must("gtids")?.split_whitespace().collect();
    let prepared = wire.rows("XA RECOVER").await?.len() as u64;
    let rows = wire.rows(TABLES).await?;
    let tables: Vec<_> = rows.iter().filter_map(|row| Some((text_at(row, 0)?, text_at(row, 1)?))).collect();
    let mut looked = Looked { version: caps.version.text.clone(), gtids, prepared, ..Looked::default() };
    let total = tables.len() as u64;
    for (schema, table) in tables {
        wire.begin("CHECK TABLE", TABLE_WITHIN);
        let rows = wire.rows(&format!("CHECK TABLE {}.{}", identifier(&schema), identifier(&table))).await?;
        let said =
            rows.iter().filter_map(|row| Some((text_at(row, 2)?, text_at(row, 3)?))).collect::<Vec<_>>();
        looked.tables += 1;
        if let Some(why) = fault(&said)
            && looked.faults.len() < FAULTS_MAX
        {
            looked.faults.push(format!("{schema}.{table}: {why}"));
        }
        told(looked.tables, total);
    }
    Ok(looked)
}

/// What CHECK TABLE's answer, type and text of each line, says against a table.
fn fault(said: &[(String, String)]) -> Option<String> {
    let is_fine = |(kind, text): &&(String, String)| {
        let is_status = kind == "status" && (text == "OK" || text.starts_with("Table is already up to date"));
        is_status || (kind == "note" && text == UNSUPPORTED)
    };
    match said.last() {
        Some(last) if is_fine(&last) => None,
        Some((_, text)) => {
            let error = said.iter().find(|(kind, _)| kind.eq_ignore_ascii_case("error"));
            Some(error.map_or(text, |(_, error)| error).clone())
        }
        None => Some("CHECK TABLE says nothing of it".into()),
    }
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_check_table_says() {
        let said = |lines: &[(&str, &str)]| {
            fault(
                &lines
                    .iter()
                    .map(|(kind, text)| ((*kind).to_owned(), (*text).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(said(&[("status", "OK")]), None);
        assert_eq!(said(&[("note", UNSUPPORTED)]), None);
        assert_eq!(
            said(&[("warning", "1 client is using or hasn't closed the table"), ("status", "OK")]),
            None
        );
        let corrupt = [("Error", "Tablespace is missing"), ("error", "Corrupt")];
        assert_eq!(said(&corrupt), Some("Tablespace is missing".into()));
        assert_eq!(said(&[("status", "Operation failed")]), Some("Operation failed".into()));
        assert!(said(&[]).is_some());
    }

    #[test]
    fn a_name_does_not_end_early() {
        assert_eq!(identifier("a`b"), "`a``b`");
    }
}
