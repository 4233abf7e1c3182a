//! From what an instance has to what is wanted: the differences, and the statements that end them. Pure.
//!
//! Only rows of the cluster's servers in the two hostgroups are Baton's, and rows that it made itself for a server that has
//! left the cluster. There are no transactions, and whoever else loads the table in between publishes half of it: no
//! statement leaves two writers behind.

use std::borrow::Cow;

use super::desired::{Desired, Want};
use super::rows::{Actual, COLUMNS, Difference, Groups, Row, Table, Tuning, place, quoted};
use crate::config::HostPort;

/// What an instance needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One packet each, in this order.
    pub statements: Vec<String>,
    /// What the table has after them.
    pub memory: Vec<Row>,
    /// Whether the table must be loaded: it is changed by the statements, or runtime has something else.
    pub load: bool,
    /// What clients are led by and should not be, or should and are not.
    pub differences: Vec<Difference>,
    /// Servers in the writer hostgroup, in use, that are not of this cluster. They are left alone.
    pub foreign: Vec<HostPort>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && !self.load
    }
}

/// What brings an instance from `actual` to `desired`. `mark` is the comment of rows that Baton makes.
pub fn plan(desired: &Desired, groups: Groups, actual: &Actual, mark: &str) -> Plan {
    let desired = if actual.monitored { desired.beside_a_monitor() } else { Cow::Borrowed(desired) };
    let wanted = Wanted { desired: &desired, groups, monitored: actual.monitored, mark };
    let mut memory = actual.memory.clone();
    let mut statements = Vec::new();
    wanted.clear_writers(&mut memory, &mut statements);
    wanted.set_writer(&mut memory, &mut statements);
    wanted.set_readers(&mut memory, &mut statements);
    let differences = wanted.differences(&actual.runtime, Table::Runtime);
    let load = !statements.is_empty() || !differences.is_empty();
    let foreign = actual.runtime.iter().filter(|row| row.hostgroup == groups.writer && !wanted.owns(row));
    let foreign = foreign.filter(|row| is_used(&row.status)).map(|row| row.address.clone()).collect();
    Plan { statements, memory, load, differences, foreign }
}

/// Whether a restart of the instance would begin with something else than what is wanted.
pub(super) fn is_unsaved(desired: &Desired, groups: Groups, disk: &[Row], mark: &str) -> bool {
    let wanted = Wanted { desired, groups, monitored: false, mark };
    !wanted.differences(disk, Table::Disk).is_empty()
}

struct Wanted<'a> {
    desired: &'a Desired,
    groups: Groups,
    monitored: bool,
    mark: &'a str,
}

/// Whether clients are led to it, now or as soon as ProxySQL finds that it answers.
fn is_used(status: &str) -> bool {
    matches!(status.to_ascii_uppercase().as_str(), "ONLINE" | "SHUNNED")
}

impl Wanted<'_> {
    fn owns(&self, row: &Row) -> bool {
        [self.groups.writer, self.groups.reader].contains(&row.hostgroup)
            && (self.desired.servers.contains_key(&row.address) || row.tuning.comment == self.mark)
    }

    fn want(&self, hostgroup: u32, address: &HostPort) -> Want {
        let placement = self.desired.of(address);
        if hostgroup == self.groups.writer { placement.writer } else { placement.reader }
    }

    /// Rows that are not as they should be. Runtime has its own reasons to shun a server, and its monitor puts the writer
    /// among the readers by default.
    fn differences(&self, rows: &[Row], table: Table) -> Vec<Difference> {
        let there = rows.iter().filter(|row| self.owns(row)).map(|row| (row.hostgroup, &row.address));
        let known = [self.groups.writer, self.groups.reader]
            .into_iter()
            .flat_map(|group| self.desired.servers.keys().map(move |address| (group, address)));
        let mut places: Vec<(u32, &HostPort)> = there.chain(known).collect();
        places.sort_unstable();
        places.dedup();
        let mut found = Vec::new();
        for (hostgroup, address) in places {
            let have =
                rows.iter().find(|row| row.is(hostgroup, address)).map(|row| row.status.to_ascii_uppercase());
            let want = self.want(hostgroup, address);
            if !self.fits(want, have.as_deref(), (hostgroup, address), table) {
                found.push(Difference { address: address.clone(), hostgroup, want, have });
            }
        }
        found
    }

    fn fits(&self, want: Want, have: Option<&str>, place: (u32, &HostPort), table: Table) -> bool {
        let runtime = table == Table::Runtime;
        match (want, have) {
            (Want::Any, _) | (Want::Soft | Want::Absent, None | Some("OFFLINE_HARD")) => true,
            (Want::Online, Some("ONLINE")) | (Want::Soft, Some("OFFLINE_SOFT")) => true,
            (Want::Online, Some("SHUNNED")) => runtime,
            (Want::Absent, Some(_)) => {
                let writes = self.desired.of(place.1).writer == Want::Online;
                runtime && self.monitored && writes && place.0 == self.groups.reader
            }
            _ => false,
        }
    }

    /// First of all, nobody is in the writer group who should not be.
    fn clear_writers(&self, memory: &mut Vec<Row>, statements: &mut Vec<String>) {
        let group = self.groups.writer;
        let owned = memory.iter().filter(|row| row.hostgroup == group && self.owns(row));
        let addresses: Vec<HostPort> = owned.map(|row| row.address.clone()).collect();
        for address in addresses {
            match self.want(group, &address) {
                Want::Absent => self.leave_writers(&address, memory, statements),
                Want::Soft => set_status_unless_hard(memory, statements, group, &address),
                Want::Online | Want::Any => {}
            }
        }
    }

    /// A row that goes takes what its owner has tuned along: into the reader group, where it waits as OFFLINE_HARD if it may
    /// not be read from. ProxySQL knows no such row at run time.
    fn leave_writers(&self, address: &HostPort, memory: &mut Vec<Row>, statements: &mut Vec<String>) {
        let Groups { writer, reader } = self.groups;
        let there = memory.iter().any(|row| row.is(reader, address));
        if there || !self.desired.servers.contains_key(address) {
            statements.push(format!("DELETE FROM mysql_servers WHERE {}", place(writer, address)));
            memory.retain(|row| !row.is(writer, address));
            return;
        }
        let status = if self.want(reader, address) == Want::Online { "ONLINE" } else { "OFFLINE_HARD" };
        statements.push(format!(
            "UPDATE mysql_servers SET hostgroup_id={reader}, status='{status}' WHERE {}",
            place(writer, address)
        ));
        for row in memory.iter_mut().filter(|row| row.is(writer, address)) {
            row.hostgroup = reader;
            status.clone_into(&mut row.status);
        }
    }

    fn set_writer(&self, memory: &mut Vec<Row>, statements: &mut Vec<String>) {
        let Groups { writer, reader } = self.groups;
        let wanted = self.desired.servers.iter().filter(|(_, (_, place))| place.writer == Want::Online);
        for (address, (_, placement)) in wanted {
            if memory.iter().any(|row| row.is(writer, address)) {
                set_status(memory, statements, writer, address, "ONLINE");
                continue;
            }
            let reads = placement.reader == Want::Online;
            if !reads && memory.iter().any(|row| row.is(reader, address)) {
                statements.push(format!(
                    "UPDATE mysql_servers SET hostgroup_id={writer}, status='ONLINE' WHERE {}",
                    place(reader, address)
                ));
                for row in memory.iter_mut().filter(|row| row.is(reader, address)) {
                    row.hostgroup = writer;
                    "ONLINE".clone_into(&mut row.status);
                }
                continue;
            }
            self.insert(writer, address, memory, statements);
        }
    }

    fn set_readers(&self, memory: &mut Vec<Row>, statements: &mut Vec<String>) {
        let group = self.groups.reader;
        for (address, (_, placement)) in &self.desired.servers {
            match (placement.reader, memory.iter().any(|row| row.is(group, address))) {
                (Want::Online, true) => set_status(memory, statements, group, address, "ONLINE"),
                (Want::Online, false) => self.insert(group, address, memory, statements),
                (Want::Soft, true) => set_status_unless_hard(memory, statements, group, address),
                (Want::Absent, true) if placement.writer == Want::Online => {
                    statements.push(format!("DELETE FROM mysql_servers WHERE {}", place(group, address)));
                    memory.retain(|row| !row.is(group, address));
                }
                (Want::Absent, true) => set_status(memory, statements, group, address, "OFFLINE_HARD"),
                (Want::Any | Want::Soft | Want::Absent, _) => {}
            }
        }
        // Baton's own, of servers that have left the cluster.
        let left = memory.iter().filter(|row| row.hostgroup == group && self.owns(row));
        let left = left.filter(|row| !self.desired.servers.contains_key(&row.address));
        let gone: Vec<HostPort> = left.map(|row| row.address.clone()).collect();
        for address in gone {
            statements.push(format!("DELETE FROM mysql_servers WHERE {}", place(group, &address)));
            memory.retain(|row| !row.is(group, &address));
        }
    }

    /// A row as the server's other one is tuned, or with ProxySQL's own defaults. A leftover of the same key is no error.
    fn insert(&self, group: u32, address: &HostPort, memory: &mut Vec<Row>, statements: &mut Vec<String>) {
        let other = memory.iter().find(|row| row.address == *address && self.owns(row));
        let tuning = other.map_or_else(|| Tuning::new(self.mark), |row| row.tuning.clone());
        let [gtid_port, weight, compression, connections, lag, ssl, latency] = tuning.numbers;
        statements.push(format!(
            "REPLACE INTO mysql_servers ({COLUMNS}) VALUES ({group}, {}, {}, {gtid_port}, 'ONLINE', {weight}, \
             {compression}, {connections}, {lag}, {ssl}, {latency}, {})",
            quoted(&address.host),
            address.port,
            quoted(&tuning.comment)
        ));
        memory.push(Row { hostgroup: group, address: address.clone(), status: "ONLINE".into(), tuning });
    }
}

fn set_status(rows: &mut [Row], statements: &mut Vec<String>, group: u32, address: &HostPort, status: &str) {
    let row = rows.iter_mut().find(|row| row.is(group, address) && !row.status.eq_ignore_ascii_case(status));
    let Some(row) = row else { return };
    statements.push(format!("UPDATE mysql_servers SET status='{status}' WHERE {}", place(group, address)));
    status.clone_into(&mut row.status);
}

/// What waits as OFFLINE_HARD is out already.
fn set_status_unless_hard(rows: &mut [Row], statements: &mut Vec<String>, group: u32, address: &HostPort) {
    if !rows.iter().any(|row| row.is(group, address) && row.status.eq_ignore_ascii_case("OFFLINE_HARD")) {
        set_status(rows, statements, group, address, "OFFLINE_SOFT");
    }
}
