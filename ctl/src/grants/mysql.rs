//! MySQL 8.0.23 and later.

use super::Right;

pub(super) const ABOUT: &str = "\
-- Baton's accounts on MySQL 8.0.23 and later. Run this on the writer: it replicates to the others.";

pub(super) const RIGHTS: &[Right] = &[
    Right {
        why: "open and close (super_read_only, read_only, offline_mode), semi-sync and replication variables",
        privileges: "SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN",
        on: "*.*",
    },
    Right {
        why: "end every session of a server that closes, administrators' too",
        privileges: "SYSTEM_USER",
        on: "*.*",
    },
    Right {
        why: "connect to the administrative port when all connections are taken",
        privileges: "SERVICE_CONNECTION_ADMIN",
        on: "*.*",
    },
    Right {
        why: "point, start and stop replication; RELOAD for RESET REPLICA ALL",
        privileges: "REPLICATION_SLAVE_ADMIN, RELOAD",
        on: "*.*",
    },
    Right {
        why: "see positions, and read the binlog when transactions that only one server has are archived",
        privileges: "REPLICATION CLIENT, REPLICATION SLAVE",
        on: "*.*",
    },
    Right {
        why: "see every session, and prepared XA transactions, which a closed server still commits",
        privileges: "PROCESS, XA_RECOVER_ADMIN",
        on: "*.*",
    },
    Right {
        why: "replace a server's data by another one's (CLONE): the first where it goes, the second where it comes from",
        privileges: "CLONE_ADMIN, BACKUP_ADMIN",
        on: "*.*",
    },
    Right { why: "see what replication does", privileges: "SELECT", on: "performance_schema.*" },
    Right {
        // On the schema: with single tables information_schema.USER_PRIVILEGES shows one's own rows only.
        why: "find accounts that could write to a closed server",
        privileges: "SELECT",
        on: "mysql.*",
    },
    Right {
        // SET_USER_ID does the second before 8.2; no one statement takes both names on all versions.
        why: "have the events run at a new writer that ran at the last (server.events), each under its own definer",
        privileges: "EVENT/*!80200 , SET_ANY_DEFINER */",
        on: "*.*",
    },
    Right {
        why: "Baton's own schema: the write probe, and the rows of a rehearsal",
        privileges: "ALL",
        on: "baton.*",
    },
];
