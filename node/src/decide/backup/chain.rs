//! What an increment adds to, if it would be one. InnoDB counts the bytes of its log in each data directory for itself: an
//! increment taken elsewhere fits by its numbers and holds other pages. Both programs that make and apply one have been seen to
//! say "OK" over lost tables, so it is decided here, before anything is read.

use std::time::Duration;

use crate::state::{Backup, Backups, NodeName, UnixMillis};

/// So many increments are applied one after the other at a restore, and one that is damaged takes all that follow with it.
const LENGTH_MAX: usize = 200;
/// Nothing that an increment needs ever leaves: without a new full backup a store only grows.
const AGE_MAX: Duration = Duration::from_secs(35 * 24 * 3600);

/// The server that is to be read, as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now<'a> {
    /// Its node.
    pub node: &'a NodeName,
    /// Its data directory's.
    pub lineage: &'a str,
    /// The backup that the data directory was restored from.
    pub parent: Option<&'a str>,
    /// The backups that are noted in it.
    pub knows: &'a [String],
    /// Its version.
    pub version: &'a str,
    /// Where its log is.
    pub lsn: u64,
    /// The stores that get the backup.
    pub stores: &'a [String],
}

/// The backup that an increment of that server adds to, and where that one ends: the newest that will do.
///
/// # Errors
/// Why there is none, in the words of what comes nearest, and a full backup has to be made in its place.
pub fn base(backups: &Backups, now: &Now<'_>, now_ms: UnixMillis) -> Result<(String, u64), String> {
    let is_near = |(id, listed): &(&String, &Backup)| {
        listed.node == *now.node || now.parent.is_some_and(|parent| parent == *id)
    };
    let newest = bases(backups).next();
    let (id, listed) = newest.ok_or("there is none yet that it could add to")?;
    let far = format!("{id}, the newest, is of {} and not of {}", listed.node, now.node);
    let mut why = None;
    for (id, listed) in bases(backups).filter(is_near) {
        match may_add(backups, (id, listed), now) {
            // An older one would begin another branch, and that would never end.
            Ok(()) => return is_short(backups, id, listed, now_ms).map(|()| (id.clone(), listed.to_lsn)),
            Err(error) => why = why.or(Some(error)),
        }
    }
    Err(why.unwrap_or(far))
}

/// The nodes whose servers' increments have something to add to, as far as the group knows: the one with the newest first.
pub fn nodes(backups: &Backups, now_ms: UnixMillis) -> Vec<NodeName> {
    let mut nodes: Vec<NodeName> = Vec::new();
    for (id, listed) in bases(backups) {
        let stays = listed.stores.iter().all(|store| backups.is_whole_in(id, store));
        if stays && is_short(backups, id, listed, now_ms).is_ok() && !nodes.contains(&listed.node) {
            nodes.push(listed.node.clone());
        }
    }
    nodes
}

/// Backups that an increment can add to, the newest first.
fn bases(backups: &Backups) -> impl Iterator<Item = (&String, &Backup)> {
    backups.catalogue.iter().rev().filter(|(_, listed)| listed.to_lsn > 0)
}

fn may_add(backups: &Backups, (id, listed): (&String, &Backup), now: &Now<'_>) -> Result<(), String> {
    // A copy of the whole data directory, made by hand, brings the lineage along: so it counts on its own node only.
    let is_same = listed.lineage == now.lineage && listed.node == *now.node;
    let is_child = now.parent.is_some_and(|parent| parent == *id);
    if !is_same && !is_child {
        return Err(format!("{id} is of another data directory than {}'s", now.node));
    }
    // Its log counts on from there as if nothing had been, so that numbers alone would fit.
    if is_same && !now.knows.contains(id) {
        return Err(format!("{}'s data directory does not know of {id}: it was put back", now.node));
    }
    // What follows says which logs the server writes.
    let release = |version: &str| version.trim_end_matches("-log").to_owned();
    if release(&listed.server_version) != release(now.version) {
        return Err(format!(
            "{id} is of version {} and the server of {}",
            listed.server_version, now.version
        ));
    }
    if now.lsn < listed.to_lsn {
        return Err(format!("the server's log is at {} and {id} ends at {}", now.lsn, listed.to_lsn));
    }
    if let Some(fault) = backups.fault_of(id) {
        return Err(fault);
    }
    match now.stores.iter().find(|store| !backups.is_whole_in(id, store)) {
        Some(store) => Err(format!("{id}, or what it adds to, does not stay in store {store}")),
        None => Ok(()),
    }
}

/// Whether its chain may grow.
fn is_short(backups: &Backups, id: &str, listed: &Backup, now_ms: UnixMillis) -> Result<(), String> {
    let (bases, first) = backups.bases(id).fold((0, listed), |(count, _), (_, base)| (count + 1, base));
    if bases >= LENGTH_MAX {
        return Err(format!("{id} is the last of {bases} increments in a row"));
    }
    let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(first.began_ms)).unwrap_or_default());
    match age > AGE_MAX {
        true => Err(format!("the last full one is {} days old", age.as_secs() / (24 * 3600))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::{Leaving, Verified};

    const DAY: i64 = 24 * 3600 * 1000;

    fn listed(node: &str, base: Option<&str>, day: i64) -> Backup {
        Backup {
            node: node.into(),
            base: base.map(Into::into),
            lineage: format!("of-{node}"),
            server_version: "10.11.14-MariaDB-log".into(),
            to_lsn: 100 + u64::try_from(day).unwrap(),
            began_ms: day * DAY,
            stores: vec!["disk".into(), "bucket".into()],
            ..Backup::default()
        }
    }

    /// A full one of db2, two increments on it, and an older full one of db3.
    fn backups() -> Backups {
        let all = [
            ("1-db3", listed("db3", None, 1)),
            ("2-db2", listed("db2", None, 2)),
            ("3-db2", listed("db2", Some("2-db2"), 3)),
            ("4-db2", listed("db2", Some("3-db2"), 4)),
        ];
        Backups {
            catalogue: all.into_iter().map(|(id, one)| (id.to_owned(), one)).collect(),
            ..Backups::default()
        }
    }

    struct Server {
        node: NodeName,
        lineage: &'static str,
        parent: Option<&'static str>,
        knows: Vec<String>,
        version: &'static str,
        lsn: u64,
    }

    fn db2() -> Server {
        Server {
            node: "db2".into(),
            lineage: "of-db2",
            parent: None,
            knows: ["2-db2", "3-db2", "4-db2"].map(Into::into).to_vec(),
            version: "10.11.14-MariaDB",
            lsn: 200,
        }
    }

    fn found(backups: &Backups, server: &Server, day: i64) -> Result<String, String> {
        let Server { node, lineage, parent, knows, version, lsn } = server;
        let stores = ["disk".to_owned(), "bucket".to_owned()];
        let (lineage, parent, version, lsn) = (*lineage, *parent, *version, *lsn);
        let now = Now { node, lineage, parent, knows, version, lsn, stores: &stores };
        base(backups, &now, day * DAY).map(|(id, to_lsn)| format!("{id} at {to_lsn}"))
    }

    fn refused(backups: &Backups, server: &Server) -> String {
        found(backups, server, 5).unwrap_err()
    }

    #[test]
    fn the_newest_of_this_very_data_directory() {
        assert_eq!(found(&backups(), &db2(), 5), Ok("4-db2 at 104".into()));
        let none = refused(&Backups::default(), &db2());
        assert_eq!(none, "there is none yet that it could add to");
        let db1 = Server { node: "db1".into(), lineage: "of-db1", ..db2() };
        assert_eq!(refused(&backups(), &db1), "4-db2, the newest, is of db2 and not of db1");
        let restored = Server { parent: Some("2-db2"), ..db1 };
        assert_eq!(found(&backups(), &restored, 5), Ok("2-db2 at 102".into()), "from that very backup");
        let copied = Server { node: "db3".into(), ..db2() };
        assert_eq!(refused(&backups(), &copied), "1-db3 is of another data directory than db3's", "by hand");
        let rebuilt = Server { lineage: "another", ..db2() };
        assert_eq!(refused(&backups(), &rebuilt), "4-db2 is of another data directory than db2's");
    }

    #[test]
    fn what_numbers_alone_would_not_tell() {
        let back = Server { knows: vec!["2-db2".into(), "3-db2".into()], ..db2() };
        assert_eq!(found(&backups(), &back, 5), Ok("3-db2 at 103".into()), "put back to the third day");
        let older = Server { knows: Vec::new(), ..db2() };
        assert_eq!(
            refused(&backups(), &older),
            "db2's data directory does not know of 4-db2: it was put back"
        );
        let upgraded = Server { version: "10.11.15-MariaDB", ..db2() };
        assert!(
            refused(&backups(), &upgraded).contains("is of version 10.11.14-MariaDB-log and the server of")
        );
        let behind = Server { lsn: 50, ..db2() };
        assert_eq!(refused(&backups(), &behind), "the server's log is at 50 and 4-db2 ends at 104");
        let mut clones = backups();
        clones.catalogue.values_mut().for_each(|one| one.to_lsn = 0);
        assert_eq!(refused(&clones, &db2()), "there is none yet that it could add to");
    }

    #[test]
    fn nothing_is_added_to_what_is_damaged_or_leaves() {
        let fault = |id: &str| {
            let mut backups = backups();
            let verified = Some(Verified { at_ms: 1, fault: Some("object 1".into()) });
            backups.catalogue.get_mut(id).unwrap().verified = verified;
            backups
        };
        assert_eq!(found(&fault("4-db2"), &db2(), 5), Ok("3-db2 at 103".into()), "the one before is whole");
        assert_eq!(refused(&fault("2-db2"), &db2()), "2-db2 was found damaged");
        let mut leaves = backups();
        leaves.catalogue.get_mut("2-db2").unwrap().leaving.insert("bucket".into(), Leaving::default());
        assert_eq!(refused(&leaves, &db2()), "4-db2, or what it adds to, does not stay in store bucket");
        let mut gone = backups();
        gone.catalogue.remove("3-db2");
        assert_eq!(found(&gone, &db2(), 5), Ok("2-db2 at 102".into()));
        assert_eq!(found(&backups(), &db2(), 37), Ok("4-db2 at 104".into()));
        assert_eq!(found(&backups(), &db2(), 38).unwrap_err(), "the last full one is 36 days old");
    }

    #[test]
    fn a_chain_ends() {
        let mut long = backups();
        for number in 0..200 {
            let base = if number == 0 { "4-db2".to_owned() } else { format!("5-{:03}", number - 1) };
            long.catalogue.insert(format!("5-{number:03}"), listed("db2", Some(&base), 5));
        }
        let knows: Vec<String> = long.catalogue.keys().cloned().collect();
        let server = Server { knows, ..db2() };
        assert_eq!(refused(&long, &server), "5-199 is the last of 202 increments in a row");
        long.catalogue.retain(|id, _| id.as_str() < "5-197");
        assert_eq!(
            found(&long, &server, 6),
            Ok("5-196 at 105".into()),
            "the two hundredth, with the two before"
        );
    }

    #[test]
    fn which_nodes_have_something_to_add_to() {
        let of = |backups: &Backups, day: i64| {
            nodes(backups, day * DAY).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&backups(), 5), ["db2", "db3"]);
        assert_eq!(of(&backups(), 37), ["db2"], "db3's is too old");
        let mut damaged = backups();
        let verified = Some(Verified { at_ms: 1, fault: Some("object 1".into()) });
        damaged.catalogue.get_mut("2-db2").unwrap().verified = verified;
        assert_eq!(of(&damaged, 5), ["db3"]);
    }
}
