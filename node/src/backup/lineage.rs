//! Which increments belong to which backups. InnoDB counts its log bytes in each data directory for itself: an increment
//! taken elsewhere fits by its numbers and holds other pages. Both tools that make and apply one have been seen to say "OK"
//! over lost tables, so it is decided here, before anything is read.

use serde::{Deserialize, Serialize};

/// The history of one data directory, from the moment it was made. Whoever makes one anew, by whatever means, gives it a new
/// lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Unique.
    pub id: String,
    /// The backup that the data directory was restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// What an increment would be taken since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base<'a> {
    /// That backup.
    pub backup: &'a str,
    /// Whose data it is of.
    pub node: &'a str,
    /// Of the data directory it was taken of.
    pub lineage: &'a str,
    /// The server's version then.
    pub server_version: &'a str,
    /// Where it ends.
    pub to_lsn: u64,
}

/// The server that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now<'a> {
    /// Its node.
    pub node: &'a str,
    /// Its data directory's.
    pub lineage: &'a Lineage,
    /// Its version.
    pub server_version: &'a str,
    /// Where its log is.
    pub lsn: u64,
}

/// Whether an increment of `now` since `base` is one.
///
/// # Errors
/// Why a full backup has to be made in its place.
pub fn may_chain(base: &Base<'_>, now: &Now<'_>) -> Result<(), String> {
    let backup = base.backup;
    // A copy of the whole data directory, made by hand, brings the lineage along: so it counts on its own node only.
    let is_same = base.lineage == now.lineage.id && base.node == now.node;
    let is_child = now.lineage.parent.as_deref() == Some(backup);
    if !is_same && !is_child {
        return Err(format!("{backup} is of another data directory"));
    }
    if base.server_version != now.server_version {
        return Err(format!("{backup} is of version {}", base.server_version));
    }
    if now.lsn < base.to_lsn {
        return Err(format!("the server's log is at {} and {backup} ends at {}", now.lsn, base.to_lsn));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_increment_belongs_to_one_data_directory() {
        let of = |id: &str, parent: Option<&str>| Lineage { id: id.into(), parent: parent.map(Into::into) };
        let base =
            Base { backup: "full", node: "db2", lineage: "a", server_version: "10.11.14", to_lsn: 100 };
        let may = |node, lineage: &Lineage, version, lsn| {
            may_chain(&base, &Now { node, lineage, server_version: version, lsn })
        };
        let (own, other) = (of("a", None), of("b", None));
        assert_eq!(may("db2", &own, "10.11.14", 100), Ok(()));
        assert_eq!(
            may("db3", &of("c", Some("full")), "10.11.14", 120),
            Ok(()),
            "restored from that very backup"
        );
        let error = may("db3", &other, "10.11.14", 120);
        assert_eq!(error, Err("full is of another data directory".into()), "another replica");
        assert!(may("db3", &own, "10.11.14", 120).is_err(), "the whole directory was copied by hand");
        assert!(may("db2", &of("c", Some("older")), "10.11.14", 120).is_err());
        assert!(may("db2", &own, "10.11.15", 120).is_err(), "upgraded meanwhile");
        let error = may("db2", &own, "10.11.14", 99);
        assert_eq!(error, Err("the server's log is at 99 and full ends at 100".into()));
    }
}
