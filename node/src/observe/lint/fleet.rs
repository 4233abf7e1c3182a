//! What is wrong between the servers of one cluster.

use std::collections::BTreeMap;

use super::{Findings, set_global};
use crate::decide::seen::{About, LintFinding};
use crate::gtid::Dialect;
use crate::state::NodeName;

/// Findings about the servers together: ids that occur twice, dialects and versions that do not fit.
pub fn lint_fleet(servers: &[(&NodeName, &About)]) -> Vec<LintFinding> {
    let mut found = Findings::default();
    for (id, nodes) in twice(servers, |about| Some(about.server_id)) {
        found.error(
            format!("{nodes} have the same server_id, {id}: each ignores what comes from the other"),
            set_global("server_id", "<unique>") + ", on all but one of them",
        );
    }
    for (uuid, nodes) in twice(servers, |about| about.server_uuid.clone()) {
        found.error(
            format!("{nodes} have the same server_uuid, {uuid}: their transactions cannot be told apart"),
            "on all but one of them: stop the server, delete auto.cnf in its data directory, start it",
        );
    }
    let of = |dialect| names(servers.iter().filter(|(_, a)| a.dialect == dialect).map(|(n, _)| *n));
    let (mysql, mariadb) = (of(Dialect::Mysql), of(Dialect::Mariadb));
    if mysql.is_empty() || mariadb.is_empty() {
        versions(servers, &mut found);
    } else {
        found.error(
            format!("{mysql} are MySQL and {mariadb} MariaDB: neither reads the other's GTIDs"),
            "one kind of server in a cluster; correct the addresses in the configuration",
        );
    }
    found.0
}

/// A replica reads what an older source of the next series down writes, and not the reverse.
fn versions(servers: &[(&NodeName, &About)], found: &mut Findings) {
    let series = |about: &About| (about.number.0, about.number.1);
    let Some(newest) = servers.iter().map(|(_, a)| series(a)).max() else { return };
    let older: Vec<_> = servers.iter().filter(|(_, a)| series(a) < newest).collect();
    if older.is_empty() {
        return;
    }
    let listed: Vec<_> = older.iter().map(|(node, about)| format!("{node} ({})", about.version)).collect();
    let newer = names(servers.iter().filter(|(_, a)| series(a) == newest).map(|(n, _)| *n));
    found.warning(
        format!(
            "{} are older than {newer} ({}.{}): once one of those is the writer they may not understand it",
            listed.join(", "),
            newest.0,
            newest.1
        ),
        format!("upgrade {}, the writer last", names(older.iter().map(|(n, _)| *n))),
    );
}

fn twice<T: Ord>(
    servers: &[(&NodeName, &About)],
    key: impl Fn(&About) -> Option<T>,
) -> impl Iterator<Item = (T, String)> {
    let mut by_key: BTreeMap<T, Vec<&NodeName>> = BTreeMap::new();
    for (node, about) in servers {
        if let Some(key) = key(about) {
            by_key.entry(key).or_default().push(node);
        }
    }
    let repeated: Vec<_> = by_key.into_iter().filter(|(_, nodes)| nodes.len() > 1).collect();
    repeated.into_iter().map(|(key, nodes)| (key, names(nodes.into_iter())))
}

fn names<'a>(nodes: impl Iterator<Item = &'a NodeName>) -> String {
    nodes.map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
