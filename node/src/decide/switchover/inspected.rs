//! What a closer look at the two servers shows: who holds up the close, what replication leaves out, and events. Pure.

use std::time::Duration;

use super::super::finding::{Finding, Level};
use super::{Measured, Wish};
use crate::state::NodeName;

/// One server, looked at closely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Transactions of clients, open for [`super::LONG`] or longer.
    pub long: Vec<Transaction>,
    /// Locks of clients that a close waits for, held as long.
    pub locks: Vec<Lock>,
    /// Tables under a lock whose holder the server does not tell.
    pub in_use: Vec<String>,
    /// What never reaches its binlog.
    pub binlog_filters: Vec<String>,
    /// What it leaves out as a replica.
    pub replica_filters: Vec<String>,
    /// Its events.
    pub events: EventScheduler,
}

/// A client's transaction that has been open for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The server's id of the session.
    pub id: u64,
    /// `user@host`.
    pub account: String,
    /// For how long it has been open.
    pub age: Duration,
    /// The beginning of its statement under way, if there is one.
    pub statement: String,
    /// Rows that it has locked.
    pub rows_locked: u64,
}

/// A client's lock that the close waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The server's id of the session.
    pub id: u64,
    /// `user@host`.
    pub account: String,
    /// For how long it has been held at least.
    pub age: Duration,
    /// On which tables, as far as the server says.
    pub tables: Vec<String>,
}

/// The event scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventScheduler {
    /// It is on.
    pub on: bool,
    /// Events that run where it is on.
    pub enabled: u64,
    /// Baton's account sees them.
    pub visible: bool,
}

pub(super) fn findings(
    (from, to): (&NodeName, Option<&NodeName>),
    wish: &Wish,
    measured: &Measured,
    events_follow: bool,
    found: &mut Vec<Finding>,
) {
    match &measured.writer {
        Some(writer) => {
            blockers(from, writer, wish.kill_blockers, found);
            of_writer(from, writer, events_follow, found);
        }
        None => found.push(Finding::of(
            Level::Warning,
            from,
            "has not said who holds locks, what it filters and which events it has",
            "batonctl check says whether Baton's account may see that",
        )),
    }
    if let Some((to, target)) = to.zip(measured.target.as_ref()) {
        of_target(to, target, found);
    }
}

fn blockers(from: &NodeName, writer: &Inspected, kill: bool, found: &mut Vec<Finding>) {
    let mut add = |what: String, mend: &str| found.push(Finding::of(Level::Warning, from, what, mend));
    let holds_up = match kill {
        true => "it is killed and rolled back where it holds up the close",
        false => {
            "it is rolled back by the close, or holds it up until --max-pause: then nothing is moved, unless \
             --kill-blockers"
        }
    };
    for lock in &writer.locks {
        let tables = match lock.tables.as_slice() {
            [] => "a lock".to_owned(),
            tables => format!("a lock on {}", tables.join(", ")),
        };
        let Lock { id, account, age, .. } = lock;
        add(format!("session {id}, {account}, has held {tables} for {} s", age.as_secs()), holds_up);
    }
    for one in writer.long.iter().filter(|one| writer.locks.iter().all(|lock| lock.id != one.id)) {
        let Transaction { id, account, age, rows_locked, .. } = one;
        let statement = if one.statement.is_empty() { "idle" } else { &one.statement };
        let rows = if *rows_locked == 0 { String::new() } else { format!(", {rows_locked} rows locked") };
        let age = age.as_secs();
        add(format!("transaction of session {id}, {account}, open for {age} s{rows}: {statement}"), holds_up);
    }
    if !writer.in_use.is_empty() {
        // Whoever writes for a moment is among them: this is no sign of a lock that lasts.
        let tells = "who locks them, MariaDB tells with the plugin metadata_lock_info, MySQL with the instrument \
                     wait/lock/metadata/sql/mdl";
        let what = format!("tables in use: {}; {tells}", writer.in_use.join(", "));
        found.push(Finding::of(Level::Ok, from, what, ""));
    }
}

fn of_writer(from: &NodeName, writer: &Inspected, events_follow: bool, found: &mut Vec<Finding>) {
    if !writer.binlog_filters.is_empty() {
        let what = format!("does not pass on everything: {}", writer.binlog_filters.join(", "));
        let mend = "the others lack what is left out: take the filter out of its option file, restart it, and rebuild \
                    the replicas";
        found.push(Finding::of(Level::Error, from, what, mend));
    }
    if !writer.replica_filters.is_empty() {
        let what = format!("would leave things out as a replica: {}", writer.replica_filters.join(", "));
        found.push(Finding::of(Level::Warning, from, what, "take the filter out of its option file first"));
    }
    let EventScheduler { on, enabled, visible } = writer.events;
    if on && !visible {
        let what = "runs events, and Baton's account may not see which";
        let mend = "run what `batonctl grants` prints on the writer: EVENT is among it";
        found.push(Finding::of(Level::Warning, from, what, mend));
    } else if on && enabled > 0 && events_follow {
        found.push(Finding::of(Level::Ok, from, format!("runs {enabled} events"), ""));
    } else if on && enabled > 0 {
        let what = format!("runs {enabled} events, which end when the writer moves");
        let mend = "server.events = true in every node's file lets them follow it";
        found.push(Finding::of(Level::Warning, from, what, mend));
    }
}

fn of_target(to: &NodeName, target: &Inspected, found: &mut Vec<Finding>) {
    let filters: Vec<&str> =
        target.replica_filters.iter().chain(&target.binlog_filters).map(String::as_str).collect();
    if !filters.is_empty() {
        let what = format!("leaves out what it should have: {}", filters.join(", "));
        let mend = "take the filter out of its option file, restart it, and batonctl rebuild it";
        found.push(Finding::of(Level::Error, to, what, mend));
    }
    if target.events.on {
        found.push(Finding::of(
            Level::Warning,
            to,
            "its event scheduler is on while it is closed",
            "SET GLOBAL event_scheduler=OFF",
        ));
    }
}
