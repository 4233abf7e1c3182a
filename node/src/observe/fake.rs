//! A server in memory that answers what a test tells it to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::gtid::{Dialect, GtidSet};
use crate::sql::{
    Account, CloseOptions, ClosedProof, Glance, Identity, Inventory, ManagedServer, Permit, Privileges,
    Pulse, Replication, SemiSync, Settings, Source, SqlError, SqlFuture, Switch, Version,
};

/// What the server does when it is asked for its pulse.
#[derive(Clone)]
pub(super) enum Answers {
    With(Result<Pulse, SqlError>),
    /// Answers after this long.
    After(Duration, Pulse),
    Never,
}

pub(super) struct FakeServer {
    state: Mutex<State>,
}

struct State {
    next: Answers,
    asked: u32,
    glances: u32,
    inventories: u32,
    settings: Option<Settings>,
    no_glance: Option<SqlError>,
}

impl FakeServer {
    pub(super) fn new(next: Answers) -> Arc<Self> {
        let state = State {
            next,
            asked: 0,
            glances: 0,
            inventories: 0,
            settings: Some(safe_settings()),
            no_glance: None,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(super) fn answer(&self, next: Answers) {
        self.with(|state| state.next = next);
    }

    /// What the inventory finds; it fails with none.
    pub(super) fn settings(&self, settings: Option<Settings>) {
        self.with(|state| state.settings = settings);
    }

    /// How many pulses and glances were asked for.
    pub(super) fn asked(&self) -> u32 {
        self.with(|state| state.asked)
    }

    /// How many glances were asked for.
    pub(super) fn glances(&self) -> u32 {
        self.with(|state| state.glances)
    }

    /// What glances are answered with, in place of what a pulse shows.
    pub(super) fn refuse_glances(&self, with: Option<SqlError>) {
        self.with(|state| state.no_glance = with);
    }

    /// How many inventories were taken.
    pub(super) fn inventories(&self) -> u32 {
        self.with(|state| state.inventories)
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn ok(pulse: Pulse) -> Answers {
    Answers::With(Ok(pulse))
}

pub(super) fn refused() -> Answers {
    Answers::With(Err(SqlError::Refused { address: "db1:3306".into() }))
}

/// An open writer with one acker.
pub(super) fn writer() -> Pulse {
    Pulse {
        switch: Switch::Open,
        offline_mode: false,
        executed: GtidSet::empty(Dialect::Mysql),
        received: GtidSet::empty(Dialect::Mysql),
        replication: None,
        semi_sync: SemiSync {
            source_available: true,
            replica_available: true,
            sync_relay_log: 1,
            timeout_ms: u64::from(u32::MAX),
            after_sync: true,
            wait_count: 1,
            wait_no_replica: true,
            ackers: 1,
            ..SemiSync::default()
        },
        uptime: Duration::from_secs(100),
        threads_connected: 1,
    }
}

/// A closed replica.
pub(crate) fn replica_of(host: &str, port: u16) -> Pulse {
    let channel = Replication {
        source_host: host.to_owned(),
        source_port: port,
        source_uuid: None,
        source_id: None,
        io_running: true,
        io_started: true,
        sql_running: true,
        last_io_error: None,
        last_sql_error: None,
        seconds_behind: Some(0),
        heartbeats: 0,
        events_marker: 0,
        retrieved: GtidSet::empty(Dialect::Mysql),
        delay: Duration::ZERO,
        auto_position: true,
        channels: 1,
    };
    Pulse { switch: Switch::ClosedToAll, replication: Some(channel), ..writer() }
}

pub(super) fn safe_settings() -> Settings {
    Settings {
        log_bin: true,
        gtid_mode: true,
        gtid_strict: true,
        log_replica_updates: true,
        binlog_format: "ROW".into(),
        sync_binlog: 1,
        flush_log_at_trx_commit: 1,
        sync_relay_log: 1,
        skip_replica_start: Some(true),
        ..Settings::default()
    }
}

pub(super) fn inventory(dialect: Dialect, version: &str) -> Inventory {
    Inventory {
        dialect,
        version: Version::parse(version),
        identity: Identity { server_uuid: None, server_id: 1 },
        settings: safe_settings(),
    }
}

fn changes_nothing<'a, T: Send + 'a>() -> SqlFuture<'a, T> {
    Box::pin(async { Err(SqlError::Unsafe("observing changes nothing".into())) })
}

impl ManagedServer for FakeServer {
    fn pulse(&self) -> SqlFuture<'_, Pulse> {
        let next = self.with(|state| {
            state.asked += 1;
            state.next.clone()
        });
        let answer: BoxFuture<'_, Result<Pulse, SqlError>> = match next {
            Answers::With(answer) => Box::pin(async { answer }),
            Answers::Never => Box::pin(std::future::pending()),
            Answers::After(delay, pulse) => Box::pin(async move {
                tokio::time::sleep(delay).await;
                Ok(pulse)
            }),
        };
        answer
    }

    fn glance(&self, channel: bool) -> SqlFuture<'_, Glance> {
        let refused = self.with(|state| {
            state.glances += 1;
            state.no_glance.clone()
        });
        let pulse = self.pulse();
        Box::pin(async move {
            if let Some(error) = refused {
                return Err(error);
            }
            let glance = Glance::of(&pulse.await?);
            Ok(Glance { replicates: channel && glance.replicates, ..glance })
        })
    }

    fn inventory(&self) -> SqlFuture<'_, Inventory> {
        let settings = self.with(|state| {
            state.inventories += 1;
            state.settings.clone()
        });
        Box::pin(async {
            let settings = settings.ok_or_else(|| SqlError::Unexpected("no settings".into()))?;
            Ok(Inventory { settings, ..inventory(Dialect::Mysql, "9.7.4") })
        })
    }

    fn accounts_that_write_while_closed(&self) -> SqlFuture<'_, Vec<Account>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn privileges(&self) -> SqlFuture<'_, Privileges> {
        Box::pin(async { Ok(Privileges { account: "baton@%".into(), missing: Vec::new() }) })
    }

    fn ping(&self) -> SqlFuture<'_, ()> {
        changes_nothing()
    }
    fn warm_up(&self) -> SqlFuture<'_, ()> {
        changes_nothing()
    }
    fn close<'a>(&'a self, _: &'a CloseOptions) -> SqlFuture<'a, ClosedProof> {
        changes_nothing()
    }
    fn stop_waiting<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn let_go<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn set_acker<'a>(&'a self, _: bool, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn sync_relay_log<'a>(&'a self, _: bool, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn stop_receiver<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn start_receiver<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn start_replication<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn forget_source<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn follow<'a>(&'a self, _: &'a Source, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn wait_applied<'a>(&'a self, _: &'a GtidSet, _: Duration) -> SqlFuture<'a, bool> {
        changes_nothing()
    }
    fn executed(&self) -> SqlFuture<'_, GtidSet> {
        changes_nothing()
    }
    fn prove_commit(&self, _: Duration) -> SqlFuture<'_, ()> {
        changes_nothing()
    }
    fn start_applier<'a>(&'a self, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn set_event_scheduler<'a>(&'a self, _: bool, _: &'a Permit) -> SqlFuture<'a, ()> {
        changes_nothing()
    }
    fn kill_own_leftovers(&self) -> SqlFuture<'_, u32> {
        changes_nothing()
    }
}
