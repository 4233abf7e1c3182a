//! A source, a replica that is backed up under load, and a third host for what comes out of the backup.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sandbox::{
    Account, Dialect, Ledger, LedgerOptions, Sandbox, SandboxOptions, Server, replication, server_program,
    until,
};
use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::lineage::Lineage;
use baton_node::backup::manifest::{About, Manifest, Server as Copied};
use baton_node::backup::open;
use baton_node::backup::pipeline::{Identity, Recipients};
use baton_node::backup::run::{AccountSpec, RunSpec, StorePlace, StoreSpec};
use baton_node::backup::store::Store;
use baton_node::gtid::Dialect as Family;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// How often one row of the data is doubled.
const DOUBLED: usize = 12;
/// A replica on a busy machine, after all writes have stopped.
const CATCHES_UP: Duration = Duration::from_secs(60);

/// Servers, a store in a folder, and the keys of its backups.
pub struct Bench {
    /// Where everything is; the store is its folder `store`.
    pub sandbox: Sandbox,
    /// The source and its replica.
    pub servers: Vec<Server>,
    /// Who writes at the source.
    pub ledger: Ledger,
    /// Of all servers.
    pub dialect: Dialect,
    key: Identity,
    escrow: Identity,
}

impl Bench {
    /// Writes go on from here.
    ///
    /// # Errors
    /// A server does not start.
    pub async fn begin(dialect: Dialect) -> Result<Self> {
        let options = SandboxOptions { servers: 2, hosts: 3, ..SandboxOptions::new(dialect) };
        let sandbox = Sandbox::new(options).await?;
        let servers = sandbox.servers().await?;
        replication::attach(&servers[0], &[&servers[1]], false).await?;
        fill(&servers[0]).await?;
        is_filled(&servers[1]).await?;
        let ledger = Ledger::start(sandbox.client(), &[servers[0].address()], LedgerOptions::default());
        for folder in ["store", "run"] {
            fs::create_dir(sandbox.root().join(folder))?;
        }
        let (key, escrow) = (Identity::generate()?, Identity::generate()?);
        let bench = Self { sandbox, servers, ledger, dialect, key, escrow };
        bench.writes_on(100).await?;
        Ok(bench)
    }

    /// Waits for so many more writes.
    ///
    /// # Errors
    /// They do not come.
    pub async fn writes_on(&self, more: usize) -> Result<()> {
        let wanted = self.ledger.acknowledged() + more;
        let enough = async || Ok((self.ledger.acknowledged() >= wanted).then_some(()));
        until("writes", CATCHES_UP, enough).await
    }

    /// A program that came with the servers.
    ///
    /// # Errors
    /// The servers are not on this machine.
    pub async fn program(&self, name: &str) -> Result<PathBuf> {
        Ok(server_program(self.dialect).await?.0.with_file_name(name))
    }

    /// A backup of the replica.
    ///
    /// # Errors
    /// The password cannot be written down.
    pub fn spec(&self, backup: &str, engine: Engine, extent: Extent) -> Result<RunSpec> {
        let root = self.sandbox.root();
        let password_file = root.join("password");
        fs::write(&password_file, format!("{}\n", Account::BATON.password))?;
        let server = Copied {
            node: "db2".into(),
            dialect: match self.dialect {
                Dialect::MySql => Family::Mysql,
                Dialect::MariaDb => Family::Mariadb,
            },
            version: String::new(),
            uuid: None,
            lineage: Lineage { id: "of-db2".into(), parent: None },
            data_bytes: 12 << 20,
        };
        Ok(RunSpec {
            about: About {
                backup: backup.into(),
                cluster: "shop".into(),
                epoch: 1,
                job: None,
                server,
                began_ms: 1,
            },
            engine,
            extent,
            account: Some(AccountSpec {
                user: Account::BATON.user.into(),
                password_file,
                socket: self.servers[1].socket(),
            }),
            recipients: Recipients::new([self.escrow.recipient()], [self.key.recipient()])?,
            stores: vec![self.place()],
            run: root.join("run"),
            level: 1,
            threads: 1,
            parts_at_once: 2,
            bytes_per_s: None,
            share_min_percent: 50,
            cleans: Vec::new(),
            // Even a small server makes some.
            object_bytes: Some(300_000),
        })
    }

    /// The private key of a host that reads backups, as `age-keygen` writes it.
    #[must_use]
    pub fn key_text(&self) -> String {
        self.key.to_secret_text()
    }

    fn place(&self) -> StoreSpec {
        let path = self.sandbox.root().join("store");
        StoreSpec { name: "disk".into(), required: true, place: StorePlace::Files { path } }
    }

    /// The store.
    ///
    /// # Errors
    /// Never, for a folder.
    pub fn store(&self) -> Result<Store> {
        self.place().open().map_err(anyhow::Error::msg)
    }

    /// What a store knows of a backup, and that its objects are as they were written.
    ///
    /// # Errors
    /// It is none, or an object is not as it was written.
    pub async fn verified(&self, backup: &str) -> Result<Manifest> {
        let store = self.store()?;
        let manifest = open::manifest(&store, "shop", backup).await.map_err(anyhow::Error::msg)?;
        let (about, runtime) = (manifest.clone(), Handle::current());
        let verified = spawn_blocking(move || open::verify(&store, &about, runtime, |_| ())).await?;
        verified.map_err(anyhow::Error::msg)?;
        Ok(manifest)
    }

    /// Pipes the stream of a backup into a program.
    ///
    /// # Errors
    /// Either end fails.
    pub async fn pipe(&self, manifest: &Manifest, program: &Path, arguments: &[String]) -> Result<()> {
        let (store, manifest, runtime) = (self.store()?, manifest.clone(), Handle::current());
        let keys = Identity::read_all(&self.key.to_secret_text())?;
        let (program, arguments) = (program.to_owned(), arguments.to_vec());
        spawn_blocking(move || {
            let mut child = Command::new(&program).args(&arguments).stdin(Stdio::piped()).spawn()?;
            let mut input = child.stdin.take().context("no input")?;
            let mut stream = open::stream(&store, &manifest, keys, runtime);
            std::io::copy(&mut stream, &mut input)?;
            drop(input);
            let status = child.wait()?;
            ensure!(status.success(), "{} ended with {status}", program.display());
            Ok(())
        })
        .await?
    }

    /// Somebody without a key, and somebody with another one.
    ///
    /// # Errors
    /// It is not.
    pub async fn is_secret(&self, manifest: &Manifest) -> Result<()> {
        let (store, manifest, runtime) = (self.store()?, manifest.clone(), Handle::current());
        let other = Identity::generate()?;
        let read = spawn_blocking(move || {
            let mut byte = [0];
            open::stream(&store, &manifest, vec![other], runtime).read(&mut byte)
        });
        let error = read.await?.err().context("another key reads it")?.to_string();
        ensure!(error.contains("none of the keys here opens it; it was made for age1"), "{error}");
        Ok(())
    }

    /// The third host's server, not started.
    ///
    /// # Errors
    /// Its data directory cannot be made.
    pub async fn third(&self) -> Result<Server> {
        let host = self.sandbox.hosts().last().context("no third host")?;
        self.sandbox.create_server(host, 3).await
    }

    /// The restored server follows the source from where the backup stands: every row that the source has is there once, and
    /// none that was acknowledged is missing. A position that is off by one transaction would show.
    ///
    /// # Errors
    /// It does not, or rows differ.
    pub async fn catches_up(&mut self, restored: &Server) -> Result<()> {
        self.ledger.stop().await;
        let source = &self.servers[0];
        replication::follow(restored, source, false).await?;
        replication::streaming(restored).await?;
        let rows =
            "SELECT COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS(':', id, client, seq))), 0) FROM app.writes";
        let wanted: Vec<(u64, u64)> = source.query(rows).await?;
        let same = async || Ok((restored.query::<(u64, u64)>(rows).await? == wanted).then_some(()));
        if let Err(error) = until("the restored server to have every row", CATCHES_UP, same).await {
            return Err(error.context(replication::explained(restored).await));
        }
        let found = self.ledger.found(restored).await?;
        ensure!(found.lost.is_empty() && found.doubled == 0, "{found:?}");
        Ok(())
    }
}

/// Backups are taken of the replica: one that has little makes a single object.
async fn is_filled(replica: &Server) -> Result<()> {
    let filled = async || {
        let rows: Vec<u64> = replica.query("SELECT COUNT(*) FROM app.noise").await?;
        ensure!(rows == [1 << DOUBLED], "{rows:?} rows");
        Ok(Some(()))
    };
    until("the replica to have the data", CATCHES_UP, filled).await
}

/// Four MiB that do not compress, so that even a small server makes several objects.
async fn fill(source: &Server) -> Result<()> {
    source.execute(["CREATE TABLE app.noise (id INT PRIMARY KEY AUTO_INCREMENT, data BLOB)"]).await?;
    source.execute(["INSERT INTO app.noise (data) VALUES (RANDOM_BYTES(1024))"]).await?;
    let double = "INSERT INTO app.noise (data) SELECT RANDOM_BYTES(1024) FROM app.noise";
    source.execute([double; DOUBLED]).await
}
