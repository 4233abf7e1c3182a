//! Both sides of semi-sync. Baton sets them before it opens a server; what is checked here is that it can, and that a
//! server that waits now waits as it should.

use super::{Findings, new_names};
use crate::gtid::Dialect;
use crate::sql::{Inventory, Pulse, SemiSync};

/// MySQL's longest timeout, in milliseconds; MariaDB takes longer ones. 49 days.
const LONGEST_MS: u64 = u32::MAX as u64;

pub(super) fn check(inventory: &Inventory, pulse: &Pulse, found: &mut Findings) {
    let semi_sync = &pulse.semi_sync;
    available(inventory, semi_sync, found);
    // A degraded writer's source side may stay switched on and inactive: nothing waits then, and rightly.
    if !semi_sync.source_enabled || !semi_sync.source_active {
        return;
    }
    let prefix = if inventory.dialect == Dialect::Mysql && new_names(inventory) {
        "rpl_semi_sync_source"
    } else {
        "rpl_semi_sync_master"
    };
    if pulse.switch.is_closed() && pulse.replication.is_some() {
        found.error(
            "the source side of semi-sync is on at a replica: its applier waits for ackers that it does not have",
            format!("SET GLOBAL {prefix}_enabled=OFF"),
        );
        return;
    }
    waiting(prefix, semi_sync, found);
}

fn available(inventory: &Inventory, semi_sync: &SemiSync, found: &mut Findings) {
    for (there, side, old) in
        [(semi_sync.source_available, "source", "master"), (semi_sync.replica_available, "replica", "slave")]
    {
        if there {
            continue;
        }
        let mend = match inventory.dialect {
            Dialect::Mariadb => {
                "upgrade MariaDB: since 10.3 semi-sync is part of the server and needs no plugin".to_owned()
            }
            Dialect::Mysql => install(if new_names(inventory) { side } else { old }),
        };
        found.error(format!("the {side} side of semi-sync is missing: no write can wait for an acker"), mend);
    }
}

fn install(side: &str) -> String {
    let library = format!("semisync_{side}.so");
    // The statement writes a system table, which a closed server refuses.
    format!(
        "INSTALL PLUGIN rpl_semi_sync_{side} SONAME '{library}'; on a closed server instead in the option file, \
         section [mysqld]: add {library} to plugin_load_add (names separated by `;`), then restart the server"
    )
}

fn waiting(prefix: &str, semi_sync: &SemiSync, found: &mut Findings) {
    let mut set = |name: &str, value: &str, what: String| {
        found.error(what, format!("SET GLOBAL {prefix}_{name}={value}"));
    };
    if !semi_sync.after_sync {
        let what = "commits are visible to others before they are acknowledged (wait point AFTER_COMMIT)";
        set("wait_point", "AFTER_SYNC", what.into());
    }
    if !semi_sync.wait_no_replica {
        let name = if prefix.ends_with("source") { "wait_no_replica" } else { "wait_no_slave" };
        set(name, "ON", "commits stop waiting when too few ackers are connected".into());
    }
    if semi_sync.timeout_ms < LONGEST_MS {
        let ms = semi_sync.timeout_ms;
        set(
            "timeout",
            &LONGEST_MS.to_string(),
            format!("the server stops waiting for ackers by itself after {ms} ms"),
        );
    }
}
