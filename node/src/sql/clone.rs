//! MySQL's CLONE: this server's data replaced by another one's, over the wire, by the servers themselves.
//!
//! What was tried on 9.7.4: under `super_read_only` the statement first begins to remove the user data and then fails
//! with error 1290, because it runs DROP in the caller's name, so that flag has to be off while it runs. `read_only` may
//! stay on, and `offline_mode` keeps out all but administrators. Afterwards the server restarts itself; where nobody
//! supervises it, it says error 3707 and shuts down, and the next start puts the copy in place. That start comes up as
//! its option file says, with its own `server_uuid` and `mysqld-auto.cnf`, an empty binlog, and the source's GTID set.
//! The source's replication settings come along, to be forgotten. The plugin cannot be installed while the server is
//! closed (error 1290), so the option file has to load it.

use secrecy::ExposeSecret;

use super::change_source::without_secret;
use super::error::SqlError;
use super::fields::{Fields, quote};
use super::managed::{Permit, Source};
use super::wire::Wire;
use crate::gtid::Dialect;

/// "mysqld is not managed by supervisor process": the copy is there and the server is about to shut down.
const RESTART_FAILED: u16 = 3707;

/// What the server says of the last CLONE into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloneSeen {
    /// `Not Started`, `In Progress`, `Completed` or `Failed`; empty when there was none.
    pub state: String,
    /// The session that runs it.
    pub session: u64,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: i64,
    /// Its error, if it failed.
    pub error: String,
    /// The stage it is in, or reached.
    pub stage: String,
    /// Bytes copied so far.
    pub bytes: u64,
    /// Bytes there are, by the source's estimate.
    pub total: u64,
}

impl CloneSeen {
    /// Whether one is under way.
    pub fn in_progress(&self) -> bool {
        self.state == "In Progress"
    }

    /// Whether one that began at or after that time is complete, the restart included.
    pub fn completed_since(&self, since_ms: i64) -> bool {
        self.state == "Completed" && self.begun_ms >= since_ms
    }
}

const SEE: &str = "SELECT s.STATE AS state, s.PID AS session, CAST(UNIX_TIMESTAMP(s.BEGIN_TIME) * 1000 AS SIGNED) AS begun, \
     s.ERROR_MESSAGE AS error FROM performance_schema.clone_status s; \
     SELECT (SELECT STAGE FROM performance_schema.clone_progress WHERE STATE <> 'Not Started' \
     ORDER BY BEGIN_TIME DESC LIMIT 1) AS stage, SUM(DATA) AS bytes, SUM(ESTIMATE) AS total \
     FROM performance_schema.clone_progress";

/// How far the last CLONE is.
pub(super) async fn seen(wire: &mut Wire) -> Result<CloneSeen, SqlError> {
    let missing = |error| match error {
        SqlError::NoSuchThing { .. } => SqlError::NoSuchThing {
            message: "the clone plugin; plugin_load_add=mysql_clone.so in its option file, and a restart"
                .into(),
        },
        other => other,
    };
    let sets = wire.sets(SEE).await.map_err(missing)?;
    let first = |n: usize| sets.get(n).and_then(|rows| rows.first()).map(Fields::of_row).unwrap_or_default();
    let (status, progress) = (first(0), first(1));
    let text = |fields: &Fields, name| fields.text(&[name]).unwrap_or_default().to_owned();
    let number = |fields: &Fields, name| fields.number::<f64>(&[name]).unwrap_or(0.0).max(0.0) as u64;
    Ok(CloneSeen {
        state: text(&status, "state"),
        session: number(&status, "session"),
        begun_ms: i64::try_from(number(&status, "begun")).unwrap_or(i64::MAX),
        error: text(&status, "error"),
        stage: text(&progress, "stage"),
        bytes: number(&progress, "bytes"),
        total: number(&progress, "total"),
    })
}

/// Ends a CLONE that an earlier process of this node began, and forgets its source's replication.
pub(super) async fn end(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let seen = seen(wire).await?;
    if seen.in_progress() && seen.session > 0 {
        permit.check("KILL of the copy")?;
        match wire.run(&format!("KILL {}", seen.session)).await {
            Ok(()) | Err(SqlError::NoSuchThing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Replaces the server's data by the donor's. Returns when the copy is there and the server is about to restart or to
/// shut down. Nothing of what it had is left then, or after an error, unless the error came before the first byte.
pub(super) async fn clone(wire: &mut Wire, donor: &Source, permit: &Permit) -> Result<(), SqlError> {
    if wire.caps().dialect != Dialect::Mysql {
        return Err(SqlError::Unsupported("MariaDB has no CLONE".into()));
    }
    let donors =
        format!("SET GLOBAL clone_valid_donor_list={}", quote(&format!("{}:{}", donor.host, donor.port)));
    // Ordinary accounts are kept out for as long as only read_only is left.
    let prepare =
        ["SET GLOBAL offline_mode=ON", "STOP REPLICA", donors.as_str(), "SET GLOBAL super_read_only=OFF"];
    let ran = async {
        for statement in prepare {
            permit.check(statement)?;
            wire.run(statement).await?;
        }
        let sql = format!(
            "CLONE INSTANCE FROM {}@{}:{} IDENTIFIED BY {}",
            quote(&donor.user),
            quote(&donor.host),
            donor.port,
            quote(donor.password.expose_secret())
        );
        permit.check("CLONE INSTANCE")?;
        wire.run(&sql).await.map_err(|e| without_secret(e, donor))
    };
    match ran.await {
        Ok(()) | Err(SqlError::Gone { .. } | SqlError::Other { errno: RESTART_FAILED, .. }) => Ok(()),
        Err(error) => {
            // The caller closes it as well; this is sooner.
            let _reported_is_the_first = wire.run("SET GLOBAL super_read_only=ON").await;
            Err(error)
        }
    }
}

/// Forgets the replication that came with a copy: of it the server has neither relay log nor position.
pub(super) async fn forget_copied_source(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    for statement in ["STOP REPLICA", "RESET REPLICA ALL"] {
        permit.check(statement)?;
        wire.run(statement).await?;
    }
    Ok(())
}
