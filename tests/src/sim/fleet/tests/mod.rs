//! What the servers in memory do, one file per subject; where a real server was asked the same, the file says so.

#![allow(clippy::unwrap_used)]

mod closing;
mod crashing;
mod networks;
mod replicating;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{ManagedServer, Permit, Pulse, Source};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Fleet, OpenLinks, Remote, Row, ServerSettings, User, Written};

pub(super) const BOUND: Duration = Duration::from_secs(3);
pub(super) const BOTH: [Dialect; 2] = [Dialect::Mysql, Dialect::Mariadb];
const PORT: u16 = 3306;

/// Three servers, up and closed; the fleet's task ends with it.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) links: Arc<OpenLinks>,
    task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    pub(super) async fn new(dialect: Dialect) -> Self {
        Self::with(dialect, |_| ()).await
    }

    pub(super) async fn with(dialect: Dialect, change: impl Fn(&mut ServerSettings)) -> Self {
        let links = Arc::new(OpenLinks::new(Duration::from_millis(1)));
        let servers = (1..=3).map(|id| {
            let mut settings = ServerSettings::safe(&format!("db{id}"), dialect, id);
            change(&mut settings);
            settings
        });
        let fleet = Fleet::new(servers.collect(), Arc::clone(&links) as _, 7);
        let task = tokio::spawn(fleet.clone().run());
        let world = Self { fleet, links, task };
        for id in 1..=3 {
            world.fleet.start(&format!("db{id}"));
        }
        sleep(Duration::from_secs(2)).await;
        world
    }

    /// The server as its own node sees it.
    pub(super) fn own(&self, host: &str) -> Remote {
        self.fleet.remote(host, &format!("{host}:{PORT}"))
    }

    pub(super) async fn pulse(&self, host: &str) -> Pulse {
        self.own(host).pulse().await.unwrap()
    }

    /// Opens `db1`, waiting for one of its ackers `db2` and `db3`.
    pub(super) async fn lossless(dialect: Dialect) -> Self {
        let world = Self::new(dialect).await;
        let permit = Permit::unconditional();
        for replica in ["db2", "db3"] {
            world.own(replica).set_acker(true, &permit).await.unwrap();
            world.own(replica).follow(&source("db1"), &permit).await.unwrap();
        }
        world.open("db1").await;
        world.until("two ackers", async || world.pulse("db1").await.semi_sync.ackers == 2).await;
        world
    }

    /// Opens a server that waits for one acker.
    pub(super) async fn open(&self, host: &str) {
        let permit = Permit::unconditional();
        let mut pin = self.fleet.socket(host).pin().await.unwrap();
        pin.wait_for(1, &permit).await.unwrap();
        baton_node::guard::Opener::open(&mut pin, &permit).await.unwrap();
    }

    /// Writes one row from `app` and says what became of it.
    pub(super) async fn write(&self, host: &str, row: u64) -> Written {
        let client = self.fleet.client("app", &host.to_owned(), User::Ordinary, BOUND).await.unwrap();
        client.write(Row(row), BOUND).await
    }

    /// The same, going on by itself.
    pub(super) fn writing(&self, host: &str, row: u64, bound: Duration) -> JoinHandle<Written> {
        let (fleet, host) = (self.fleet.clone(), host.to_owned());
        tokio::spawn(async move {
            let client = fleet.client("app", &host, User::Ordinary, BOUND).await.unwrap();
            client.write(Row(row), bound).await
        })
    }

    /// The same, later.
    pub(super) fn writing_after(&self, host: &str, row: u64, pause: Duration) -> JoinHandle<Written> {
        let (fleet, host) = (self.fleet.clone(), host.to_owned());
        tokio::spawn(async move {
            sleep(pause).await;
            let client = fleet.client("app", &host, User::Ordinary, BOUND).await.unwrap();
            client.write(Row(row), BOUND * 5).await
        })
    }

    /// Waits for a condition, bounded in virtual time.
    pub(super) async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done().await {
            assert!(Instant::now() < end, "waited for {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn until_waiting(&self, host: &str) {
        self.until("a commit to wait", async || self.fleet.seen(host).unwrap().waiting > 0).await;
    }

    pub(super) fn has(&self, host: &str, row: u64) -> bool {
        self.fleet.rows(host).contains(&Row(row))
    }
}

pub(super) fn source(host: &str) -> Source {
    Source {
        host: host.into(),
        port: PORT,
        user: "repl".into(),
        password: String::from("secret").into(),
        tls: None,
    }
}
