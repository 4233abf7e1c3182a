#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::decide::seen::About;
use crate::observe::fake;
use crate::sql::Switch;
use crate::sql::privileges::needed;
use crate::state::NodeName;

/// A server without a finding, to be spoiled by a case.
struct Subject {
    inventory: Inventory,
    accounts: Vec<Account>,
    privileges: Privileges,
    pulse: Pulse,
}

fn subject(dialect: Dialect, version: &str) -> Subject {
    Subject {
        inventory: fake::inventory(dialect, version),
        accounts: Vec::new(),
        privileges: Privileges { account: "baton@%".into(), missing: Vec::new() },
        pulse: fake::replica_of("db1", 3306),
    }
}

impl Subject {
    fn lint(&self) -> Vec<LintFinding> {
        lint(&self.inventory, &self.accounts, &self.privileges, &self.pulse)
    }

    fn spoiled(dialect: Dialect, version: &str, spoil: impl FnOnce(&mut Self)) -> Vec<LintFinding> {
        let mut subject = subject(dialect, version);
        spoil(&mut subject);
        subject.lint()
    }
}

/// Level, what is spoiled, a part of what is said, a part of the mend.
type Case = (bool, fn(&mut Subject), &'static str, &'static str);

fn check(dialect: Dialect, version: &str, cases: &[Case]) {
    assert_eq!(subject(dialect, version).lint(), Vec::new(), "a safe server has no finding");
    for (error, spoil, what, mend) in cases {
        let found = Subject::spoiled(dialect, version, spoil);
        let [one] = found.as_slice() else { panic!("{what}: {found:#?}") };
        assert_eq!(one.error, *error, "{one:?}");
        assert!(one.what.contains(what), "`{}` does not say `{what}`", one.what);
        assert!(one.mend.contains(mend), "`{}` does not say `{mend}`", one.mend);
    }
}

fn channel(subject: &mut Subject) -> &mut crate::sql::Replication {
    subject.pulse.replication.as_mut().unwrap()
}

fn waits(subject: &mut Subject) -> &mut crate::sql::SemiSync {
    subject.pulse = fake::writer();
    let semi_sync = &mut subject.pulse.semi_sync;
    (semi_sync.source_enabled, semi_sync.source_active) = (true, true);
    semi_sync
}

#[test]
fn settings_of_both_dialects() {
    let cases: &[Case] = &[
        (true, |s| s.inventory.settings.log_bin = false, "binary log", "log_bin=binlog\nthen restart"),
        (true, |s| s.inventory.settings.sync_binlog = 0, "sync_binlog is 0", "SET GLOBAL sync_binlog=1;"),
        (
            true,
            |s| s.inventory.settings.flush_log_at_trx_commit = 2,
            "innodb_flush_log_at_trx_commit is 2",
            "SET GLOBAL innodb_flush_log_at_trx_commit=1;",
        ),
        (
            true,
            |s| {
                s.pulse.semi_sync.sync_relay_log = 10_000;
                s.pulse.semi_sync.replica_enabled = true;
            },
            "10000",
            "SET GLOBAL sync_relay_log=1;",
        ),
        (
            true,
            |s| s.inventory.settings.relay_log_recovery = true,
            "relay_log_recovery",
            "relay_log_recovery=OFF\n",
        ),
        (
            false,
            |s| s.inventory.settings.binlog_format = "MIXED".into(),
            "MIXED",
            "SET GLOBAL binlog_format=ROW;",
        ),
        (true, |s| s.inventory.settings.binlog_format = "STATEMENT".into(), "STATEMENT", "binlog_format=ROW"),
        (false, |s| s.inventory.settings.event_scheduler = true, "event_scheduler", "event_scheduler=OFF"),
        (true, |s| s.inventory.identity.server_id = 0, "server_id is 0", "server_id=<unique>"),
        (false, |s| channel(s).delay = Duration::from_secs(3600), "3600 s", "DELAY=0"),
    ];
    check(Dialect::Mysql, "9.7.4", cases);
    check(Dialect::Mariadb, "10.11.19-MariaDB", cases);
}

#[test]
fn settings_of_mysql() {
    check(
        Dialect::Mysql,
        "9.7.4",
        &[
            (
                true,
                |s| s.inventory.settings.gtid_mode = false,
                "gtid_mode",
                "SET GLOBAL gtid_mode=ON_PERMISSIVE;",
            ),
            (
                true,
                |s| s.inventory.settings.gtid_strict = false,
                "enforce_gtid",
                "SET GLOBAL enforce_gtid_consistency=ON",
            ),
            (
                true,
                |s| s.inventory.settings.log_replica_updates = false,
                "log_replica_updates",
                "log_replica_updates=ON",
            ),
            (
                false,
                |s| s.inventory.settings.skip_replica_start = false.into(),
                "skip_replica_start",
                "skip_replica_start=ON",
            ),
            (true, |s| channel(s).auto_position = false, "not by GTID", "SOURCE_AUTO_POSITION=1"),
            (true, |s| channel(s).channels = 2, "2 sources", "RESET REPLICA ALL FOR CHANNEL"),
            (
                true,
                |s| s.pulse.semi_sync.source_available = false,
                "source side",
                "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
            ),
            (
                true,
                |s| s.pulse.semi_sync.replica_available = false,
                "replica side",
                "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'",
            ),
        ],
    );
}

#[test]
fn settings_of_an_older_mysql_have_their_older_names() {
    check(
        Dialect::Mysql,
        "8.0.25",
        &[
            (
                true,
                |s| s.inventory.settings.log_replica_updates = false,
                "log_slave_updates",
                "log_slave_updates=ON",
            ),
            (
                false,
                |s| s.inventory.settings.skip_replica_start = false.into(),
                "skip_slave_start",
                "skip_slave_start=ON",
            ),
            (
                true,
                |s| s.pulse.semi_sync.replica_available = false,
                "replica side",
                "INSTALL PLUGIN rpl_semi_sync_slave SONAME 'semisync_slave.so'",
            ),
            (
                true,
                |s| waits(s).wait_no_replica = false,
                "stop waiting",
                "rpl_semi_sync_master_wait_no_slave=ON",
            ),
        ],
    );
}

#[test]
fn settings_of_mariadb() {
    check(
        Dialect::Mariadb,
        "10.11.19-MariaDB",
        &[
            (
                true,
                |s| s.inventory.settings.gtid_strict = false,
                "gtid_strict_mode",
                "SET GLOBAL gtid_strict_mode=ON",
            ),
            (
                true,
                |s| s.inventory.settings.log_replica_updates = false,
                "log_slave_updates",
                "log_slave_updates=ON",
            ),
            (
                false,
                |s| s.inventory.settings.skip_replica_start = false.into(),
                "skip_slave_start",
                "skip_slave_start=ON",
            ),
            (true, |s| channel(s).auto_position = false, "not by GTID", "MASTER_USE_GTID=slave_pos"),
            (true, |s| s.pulse.semi_sync.source_available = false, "source side", "upgrade MariaDB"),
            (
                true,
                |s| waits(s).after_sync = false,
                "AFTER_COMMIT",
                "rpl_semi_sync_master_wait_point=AFTER_SYNC",
            ),
        ],
    );
}

#[test]
fn a_server_that_waits_must_wait_as_it_should() {
    check(
        Dialect::Mysql,
        "9.7.4",
        &[
            (
                true,
                |s| waits(s).after_sync = false,
                "AFTER_COMMIT",
                "rpl_semi_sync_source_wait_point=AFTER_SYNC",
            ),
            (
                true,
                |s| waits(s).wait_no_replica = false,
                "stop waiting",
                "rpl_semi_sync_source_wait_no_replica=ON",
            ),
            (true, |s| waits(s).timeout_ms = 10_000, "10000 ms", "rpl_semi_sync_source_timeout=4294967295"),
            (
                true,
                |s| {
                    let semi_sync = &mut s.pulse.semi_sync;
                    (semi_sync.source_enabled, semi_sync.source_active) = (true, true);
                },
                "at a replica",
                "SET GLOBAL rpl_semi_sync_source_enabled=OFF",
            ),
        ],
    );
    // What Baton sets anyway before it opens a server is no finding while nothing waits.
    let found =
        Subject::spoiled(Dialect::Mariadb, "11.8.2-MariaDB", |s| s.pulse.semi_sync.after_sync = false);
    assert_eq!(found, Vec::new());
    // Nor is what Baton set so that a degraded writer need not wait.
    let found = Subject::spoiled(Dialect::Mysql, "9.7.4", |s| {
        *waits(s) =
            crate::sql::SemiSync { wait_no_replica: false, timeout_ms: 1, source_active: false, ..*waits(s) };
    });
    assert_eq!(found, Vec::new());
    // An open server may run events.
    let found = Subject::spoiled(Dialect::Mysql, "9.7.4", |s| {
        s.inventory.settings.event_scheduler = true;
        s.pulse.switch = Switch::Open;
    });
    assert_eq!(found, Vec::new());
}

/// Takes privileges away that Baton's account needs, by their names.
fn lacks(subject: &mut Subject, names: &[&str]) {
    let all = needed(subject.inventory.dialect, subject.inventory.version.number);
    subject.privileges.missing = all.filter(|needed| names.contains(&needed.name)).collect();
    assert!(subject.privileges.missing.len() >= names.len(), "{names:?}");
}

#[test]
fn missing_privileges_are_named_with_the_statement() {
    check(
        Dialect::Mysql,
        "9.7.4",
        &[(
            true,
            |s| lacks(s, &["PROCESS", "RELOAD"]),
            "baton@% lacks PROCESS, RELOAD",
            "on the writer: GRANT PROCESS, RELOAD ON *.* TO 'baton'@'%'",
        )],
    );
    check(
        Dialect::Mariadb,
        "10.11.19-MariaDB",
        &[(
            true,
            |s| lacks(s, &["READ ONLY ADMIN"]),
            "lacks READ ONLY ADMIN",
            "GRANT READ ONLY ADMIN ON *.*",
        )],
    );
}

#[test]
fn a_part_that_lacks_a_privilege_is_a_warning_with_what_follows() {
    check(
        Dialect::Mysql,
        "9.7.4",
        &[
            (
                false,
                |s| lacks(s, &["BACKUP_ADMIN"]),
                "lacks BACKUP_ADMIN: backups by clone are not made",
                "on the writer: GRANT BACKUP_ADMIN ON *.* TO 'baton'@'%'",
            ),
            (
                false,
                |s| lacks(s, &["SYSTEM_USER"]),
                "lacks SYSTEM_USER: sessions of administrators",
                "GRANT SYSTEM_USER",
            ),
            (
                false,
                |s| lacks(s, &["EVENT", "SET_ANY_DEFINER"]),
                "lacks EVENT, SET_ANY_DEFINER: events",
                "GRANT EVENT, SET_ANY_DEFINER ON *.*",
            ),
        ],
    );
    check(
        Dialect::Mariadb,
        "10.11.19-MariaDB",
        &[
            (
                false,
                |s| lacks(s, &["LOCK TABLES"]),
                "lacks LOCK TABLES: backups by mariadb-backup are not made",
                "GRANT LOCK TABLES ON *.*",
            ),
            (
                false,
                |s| lacks(s, &["CREATE", "INSERT"]),
                "lacks CREATE ON baton.*, INSERT ON baton.*: nothing is rehearsed",
                "on the writer: GRANT CREATE, INSERT ON baton.* TO 'baton'@'%'",
            ),
        ],
    );
}

#[test]
fn an_account_without_anything_has_one_error_and_a_statement_for_each_place() {
    let found = Subject::spoiled(Dialect::Mysql, "9.7.4", |s| {
        s.privileges.account = "o'neil@10.0.0.%".into();
        s.privileges.missing = needed(Dialect::Mysql, (9, 7, 4)).collect();
    });
    let (errors, warnings): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.error);
    let [error] = errors.as_slice() else { panic!("{found:#?}") };
    for part in [
        "on the writer: GRANT REPLICATION_SLAVE_ADMIN, ",
        " ON *.* TO 'o''neil'@'10.0.0.%'; GRANT SELECT ON performance_schema.* TO ",
        "; GRANT SELECT ON mysql.* TO ",
        "; GRANT DROP ON baton.* TO 'o''neil'@'10.0.0.%'",
    ] {
        assert!(error.mend.contains(part), "`{}` does not say `{part}`", error.mend);
    }
    let mut said: Vec<_> =
        warnings.iter().filter_map(|w| w.what.split_once(": ")).map(|(_, it)| it).collect();
    assert_eq!(said.len(), warnings.len(), "each says what follows: {warnings:#?}");
    said.dedup();
    assert_eq!(said.len(), warnings.len(), "each once: {warnings:#?}");
}

#[test]
fn a_privilege_is_taken_from_others_by_the_name_that_the_server_takes() {
    let found = Subject::spoiled(Dialect::Mariadb, "10.11.19-MariaDB", |s| {
        let (user, host) = ("app".into(), "%".into());
        s.accounts = vec![Account { user, host, privileges: vec!["READ_ONLY ADMIN".into()] }];
    });
    assert_eq!(found[0].mend, "on the writer: REVOKE READ ONLY ADMIN ON *.* FROM 'app'@'%'");
}

#[test]
fn accounts_that_write_while_closed_are_named() {
    fn account(user: &str, host: &str) -> Vec<Account> {
        vec![Account { user: user.into(), host: host.into(), privileges: vec!["SUPER".into()] }]
    }
    check(
        Dialect::Mariadb,
        "10.11.19-MariaDB",
        &[
            (
                true,
                |s| s.accounts = account("app", "%"),
                "'app'@'%'",
                "on the writer: REVOKE SUPER ON *.* FROM 'app'@'%'",
            ),
            (false, |s| s.accounts = account("root", "localhost"), "'root'@'localhost'", "REVOKE SUPER"),
            (true, |s| s.accounts = account("o'neil", "10.%"), "'o''neil'@'10.%'", "'o''neil'@'10.%'"),
            (true, |s| s.accounts = account("dba", ""), "'dba' can", "FROM 'dba'"),
        ],
    );
}

#[test]
fn an_account_of_one_server_is_mended_past_the_binlog() {
    let here = |dialect, version| {
        let found = Subject::spoiled(dialect, version, |s| {
            let (user, host) = ("app".into(), "%".into());
            s.accounts = vec![Account { user, host, privileges: vec!["SUPER".into()] }];
        });
        found[0].mend_here.clone().unwrap()
    };
    let revoke =
        "here alone, other servers do not have it: SET sql_log_bin=0; REVOKE SUPER ON *.* FROM 'app'@'%';";
    assert_eq!(here(Dialect::Mariadb, "10.11.19-MariaDB"), revoke);
    let on_mysql = format!("{revoke}\nbetween SET GLOBAL super_read_only=OFF; and =ON; on a replica");
    assert_eq!(here(Dialect::Mysql, "9.7.4"), on_mysql);
}

#[test]
fn errors_come_first() {
    let found = Subject::spoiled(Dialect::Mysql, "9.7.4", |s| {
        s.inventory.settings.skip_replica_start = false.into();
        s.inventory.settings.binlog_format = "MIXED".into();
        lacks(s, &["PROCESS"]);
    });
    assert_eq!(found.iter().map(|f| f.error).collect::<Vec<_>>(), [true, false, false]);
}

fn about(dialect: Dialect, version: &str, server_id: u32, uuid: Option<&str>) -> About {
    About {
        dialect,
        version: version.into(),
        number: crate::sql::Version::parse(version).number,
        server_uuid: uuid.map(str::to_owned),
        server_id,
        findings: Vec::new(),
    }
}

fn fleet(servers: &[About]) -> Vec<(bool, String)> {
    let names: Vec<_> = (1..=servers.len()).map(|n| NodeName::from(format!("db{n}"))).collect();
    let named: Vec<_> = names.iter().zip(servers).collect();
    lint_fleet(&named).into_iter().map(|f| (f.error, f.what)).collect()
}

#[test]
fn servers_of_one_cluster_must_fit() {
    let mysql = |version: &str, id, uuid| about(Dialect::Mysql, version, id, Some(uuid));
    let mariadb = |id| about(Dialect::Mariadb, "11.8.2-MariaDB", id, None);
    assert_eq!(fleet(&[mysql("9.7.4", 1, "a"), mysql("9.7.3", 2, "b")]), []);
    assert_eq!(fleet(&[mariadb(1), mariadb(2)]), [], "MariaDB has no uuid to compare");
    assert_eq!(fleet(&[]), []);
    for (servers, error, what) in [
        (
            vec![mysql("9.7.4", 1, "a"), mysql("9.7.4", 2, "b"), mysql("9.7.4", 1, "c")],
            true,
            "db1, db3 have the same server_id, 1",
        ),
        (vec![mysql("9.7.4", 1, "a"), mysql("9.7.4", 2, "a")], true, "db1, db2 have the same server_uuid, a"),
        (vec![mysql("9.7.4", 1, "a"), mariadb(2)], true, "db1 are MySQL and db2 MariaDB"),
        (
            vec![mysql("8.4.1", 1, "a"), mysql("9.7.4", 2, "b"), mysql("8.0.36", 3, "c")],
            false,
            "db1 (8.4.1), db3 (8.0.36) are older than db2 (9.7)",
        ),
    ] {
        let found = fleet(&servers);
        let [(level, said)] = found.as_slice() else { panic!("{found:?}") };
        assert!(*level == error && said.contains(what), "{said}");
    }
}
