//! A client that writes through HAProxy, as `docs/load-balancers.md` configures it, while the writer moves.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, DirectWriters, OpenWatch};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, SERVER_PORT, haproxy, log_tail, until};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Child;

use super::{SOON, reads_from, switchover, writes_go_on};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/load-balancers.md");

on_both!(writer_moves_behind_haproxy, mysql_writer_moves_behind_haproxy, mariadb_writer_moves_behind_haproxy);

/// A switchover, and a failover of the next writer.
async fn writer_moves_behind_haproxy(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::patient(dialect)).await?;
    cluster.pre_flight().await?;
    let proxy = Haproxy::start(&cluster).await?;
    let watch = OpenWatch::start(&cluster);
    let mut direct = DirectWriters::start(&cluster);
    let before = cluster.settled().await?;
    let mut ledger = Ledger::start(cluster.sandbox().client(), &[proxy.writer], LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await.map_err(|error| proxy.explained(error))?;

    let began = Instant::now();
    switchover(&cluster, "db2").await?;
    writes_go_on(&cluster, &ledger).await.map_err(|error| proxy.explained(error))?;
    println!("{dialect:?} switchover: clients of HAProxy paused for {:?}", ledger.gap_after(began));
    cluster.settled().await?;

    let began = Instant::now();
    cluster.server("db2")?.kill(Signal::KILL)?;
    cluster.moved_from("db2").await?;
    writes_go_on(&cluster, &ledger).await.map_err(|error| proxy.explained(error))?;
    println!("{dialect:?} failover: clients of HAProxy paused for {:?}", ledger.gap_after(began));
    cluster.power_on("db2").await?;

    let out = cluster.out_after_return("db2").await?;
    ledger.stop().await;
    direct.stop().await;
    let after = cluster.post_check(&ledger, &out).await?;
    let operations: Vec<_> = cluster.ctl().history(10).await?;
    direct.one_after_the_other(&before.writer, before.epoch, &operations)?;
    ensure!(after.epoch > before.epoch + 1, "{after:#?}");
    watch.never_two()
}

/// The replicas take turns at the reader's port; without one, the writer reads.
#[tokio::test]
async fn haproxy_reads_from_replicas_and_at_last_from_the_writer() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MariaDb)).await?;
    let proxy = Haproxy::start(&cluster).await?;
    reads_from(&cluster, proxy.reader, &["db2", "db3"]).await.map_err(|error| proxy.explained(error))?;
    let _holding = cluster.held_up(&["db2", "db3"]).await?;
    reads_from(&cluster, proxy.reader, &["db1"]).await.map_err(|error| proxy.explained(error))
}

/// HAProxy on the client's host. It ends with this.
struct Haproxy {
    _process: Child,
    log: std::path::PathBuf,
    writer: SocketAddr,
    reader: SocketAddr,
}

impl Haproxy {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let host = cluster.sandbox().client();
        let (writer, reader) = (33_060, 33_070);
        let text = documented()?;
        let text = text.replace("10.0.0.20:3306", &format!("{}:{writer}", host.address()));
        let mut text = text.replace("10.0.0.20:3307", &format!("{}:{reader}", host.address()));
        for (index, server) in cluster.servers().iter().enumerate() {
            let (of_document, here) = (format!("10.0.0.{}:3306", index + 1), server.host().address());
            text = text.replace(&of_document, &format!("{here}:{SERVER_PORT}"));
        }
        ensure!(!text.contains("10.0.0."), "an address of the document is left: {text}");
        let (config, log) = (host.folder().join("haproxy.cfg"), host.folder().join("haproxy.log"));
        fs::write(&config, text)?;
        let output = File::create(&log)?;
        let mut command = host.command(haproxy()?);
        command.arg("-db").arg("-f").arg(&config).stdout(output.try_clone()?).stderr(output);
        let process = command.spawn().context("cannot start HAProxy")?;
        let at = |port| SocketAddr::from((host.address(), port));
        let proxy = Self { _process: process, log, writer: at(writer), reader: at(reader) };
        let look = async || {
            let address = proxy.writer;
            host.run(async move { Ok(TcpStream::connect(address).await.map(drop)?) }).await?;
            Ok(Some(()))
        };
        until("HAProxy to listen", SOON, look).await.map_err(|error| proxy.explained(error))?;
        Ok(proxy)
    }

    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        error.context(log_tail(&self.log))
    }
}

/// The configuration that users are told to write.
fn documented() -> Result<String> {
    let document = fs::read_to_string(DOCUMENT)?;
    let (_, rest) = document.split_once("```haproxy\n").context("no configuration in the document")?;
    let (text, _) = rest.split_once("```").context("a configuration without an end")?;
    Ok(text.to_owned())
}
