//! What people must be told of each fault, and what they may be told. Anything else is a false alarm, and fails the test.

use anyhow::{Context, Result};
use baton_tests::cluster::{ClusterOptions, Scenario};

/// What may last for long enough to be told on a slow machine, in each fault that takes a host, a node or a server away for
/// some seconds, or moves the writer: it is true then.
const AWAY: &[&str] = &[
    "NodeDown",
    "NodeDownServerUp",
    "ReplicaDown",
    "ReplicaStopped",
    "ReplicaLagging",
    "NotLossless",
    "NoWriter",
    "GuardTrouble",
];

/// The fault, what must be told, and what may be told besides [`AWAY`]: names of `about` in `docs/alerts.md`.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: &[Row] = &[
    ("disk_full", &["failover", "WriterCannotWrite"], &["DiskNearlyFull"]),
    ("disk_stalled", &["failover", "WriterCannotWrite"], &[]),
    ("writer_is_deaf", &["failover"], &[]),
    ("writer_is_mute", &["failover"], &[]),
    ("data_hosts_apart", &["NotLossless"], &["SemiSyncBlocked"]),
    ("witness_apart", &[], &[]),
    ("restarted_at_once", &["failover"], &[]),
    ("orderly_stop_without_ackers", &["failover"], &["SemiSyncBlocked"]),
    ("closed_by_hand", &["failover"], &["WriterClosedByHand"]),
    // MariaDB lets a superuser write to a closed server: what only that has is told.
    ("superuser_on_the_old_primary", &["failover"], &["ServerOut", "ErrantTransactions", "ReplicaOpen"]),
    ("store_lost", &["failover"], &[]),
    ("daemon_killed", &["failover"], &["ServerOut"]),
    ("daemon_restarted", &[], &[]),
    ("daemon_stopped", &["failover"], &["ServerOut"]),
    ("keeper_killed", &["failover"], &["ServerOut"]),
    ("keeper_stopped", &["failover"], &["ServerOut"]),
    ("daemon_and_keeper_killed", &["failover"], &["ServerOut"]),
    ("daemon_and_keeper_stopped", &["failover"], &["ServerOut"]),
    ("daemon_killed_and_cut_off", &["failover"], &["ServerOut"]),
    ("daemon_stopped_and_cut_off", &["failover"], &["ServerOut"]),
    ("keeper_killed_and_cut_off", &["failover"], &["ServerOut"]),
    ("keeper_stopped_and_cut_off", &["failover"], &["ServerOut"]),
    ("both_killed_and_cut_off", &["failover"], &["ServerOut"]),
    ("both_stopped_and_cut_off", &["failover"], &["ServerOut"]),
    ("all_killed", &["failover"], &["ServerOut"]),
    ("server_hung", &["failover"], &["ServerOut", "WriterCannotWrite"]),
    ("host_frozen", &["failover"], &["ServerOut"]),
    ("witness_then_primary", &["failover"], &[]),
    ("witness_then_host", &["failover"], &["QuorumLost", "ServerOut"]),
    ("two_failovers", &["failover"], &["ServerOut"]),
    ("connections_exhausted", &[], &["WriterOutOfConnections"]),
    ("lock_and_long_transaction", &["failover"], &[]),
    ("replica_lags", &["failover"], &["ServerOut"]),
    ("only_replica_lags", &["failover"], &["ServerOut"]),
    (
        "replication_user_locked_out",
        &["NotLossless"],
        &["ReplicationUserRejected", "SemiSyncBlocked", "ErrantTransactions"],
    ),
];

/// A scenario of this fault, which is named after its test, and what people are told of it.
pub(crate) async fn begin(name: &'static str, options: ClusterOptions, avoid: &[&str]) -> Result<Scenario> {
    let fault = name.strip_prefix("mysql_").or_else(|| name.strip_prefix("mariadb_")).unwrap_or(name);
    let (_, must, may) = ROWS
        .iter()
        .find(|(row, ..)| *row == fault)
        .with_context(|| format!("what is told of {fault} has no row in tests/suites/faults/alerts.rs"))?;
    let mut scenario = Scenario::begin(name, options, avoid).await?;
    scenario.tells(must, &[AWAY, may]);
    Ok(scenario)
}
