//! MariaDB 10.6 and later.

use super::Right;

pub(super) const ABOUT: &str = "\
-- Baton's accounts on MariaDB 10.6 and later. Run this on the writer: it replicates to the others.";

pub(super) const RIGHTS: &[Right] = &[
    Right {
        why: "open and close (read_only), and end every session of a server that closes",
        privileges: "READ ONLY ADMIN, CONNECTION ADMIN",
        on: "*.*",
    },
    Right {
        why: "point, start and stop replication; semi-sync on both sides; RELOAD for RESET SLAVE ALL",
        privileges: "REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, RELOAD",
        on: "*.*",
    },
    Right {
        why: "see positions and replicas, set the GTID variables",
        privileges: "BINLOG MONITOR, SLAVE MONITOR, BINLOG ADMIN",
        on: "*.*",
    },
    Right {
        why: "read the binlog when transactions that only one server has are archived",
        privileges: "REPLICATION SLAVE",
        on: "*.*",
    },
    Right {
        why: "copy a server's data for another one (mariadb-backup)",
        privileges: "LOCK TABLES",
        on: "*.*",
    },
    Right { why: "see every session", privileges: "PROCESS", on: "*.*" },
    Right {
        // On the schema: with single tables information_schema.USER_PRIVILEGES shows one's own rows only.
        why: "find accounts that could write to a closed server",
        privileges: "SELECT",
        on: "mysql.*",
    },
    Right {
        why: "switch the event scheduler, for which nothing less is enough",
        privileges: "SUPER",
        on: "*.*",
    },
    Right {
        why: "have the events run at a new writer that ran at the last (server.events), each under its own definer",
        privileges: "EVENT, SET USER",
        on: "*.*",
    },
    Right {
        why: "Baton's own schema: the write probe, and the rows of a rehearsal",
        privileges: "ALL",
        on: "baton.*",
    },
];
