//! What the scenarios share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::cluster::Cluster;
use baton_tests::proxysql::{Double, ProxySql, ProxySqlOptions, READER_GROUP, WRITER_GROUP};
use baton_tests::sandbox::{Ledger, Sandbox, until};

/// How long anything may take that should be quick, on a machine that does other things beside it.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A double on the client's host, and a real one where it can be had.
pub(crate) async fn both(sandbox: &Sandbox, options: ProxySqlOptions) -> Result<Vec<ProxySql>> {
    let mut proxies = vec![ProxySql::from(Double::start(sandbox.client(), options).await?)];
    let other = ProxySqlOptions { port: options.port + 2, ..options };
    let other = ProxySql::start(sandbox.client(), other).await?;
    if matches!(other, ProxySql::Real(_)) {
        proxies.push(other);
    }
    Ok(proxies)
}

/// Where clients of all instances connect.
pub(crate) fn data_ports(doubles: &[ProxySql]) -> Vec<SocketAddr> {
    doubles.iter().map(ProxySql::data).collect()
}

/// Who is in use in the two groups: node names, the writer group's first.
pub(crate) async fn placed(cluster: &Cluster, double: &ProxySql) -> Result<[Vec<&'static str>; 2]> {
    let name = |address: &Ipv4Addr| {
        let mut names = cluster.data_nodes();
        names
            .find(|name| cluster.host(name).is_ok_and(|host| host.address() == *address))
            .unwrap_or("another")
    };
    let group = async |group| Ok::<_, anyhow::Error>(double.online(group).await?.iter().map(name).collect());
    Ok([group(WRITER_GROUP).await?, group(READER_GROUP).await?])
}

/// Waits until clients that write are led to this node's server and nowhere else, by each instance.
pub(crate) async fn leads_to(cluster: &Cluster, doubles: &[ProxySql], writer: &str) -> Result<()> {
    let look = async || {
        for double in doubles {
            let [writers, readers] = placed(cluster, double).await?;
            ensure!(writers == [writer], "{} has {writers:?} {readers:?}", double.admin());
        }
        Ok(Some(()))
    };
    until("every ProxySQL to lead to the writer", SOON, look).await.map_err(|error| cluster.explained(error))
}

/// Waits until the leader has read so many instances and found each of them right. Before that, what is damaged is put right
/// by the leader's very first write to it, which is no repair.
pub(crate) async fn found_right(cluster: &Cluster, instances: usize) -> Result<()> {
    let look = async || {
        let proxies = cluster.ctl().routing().await?.proxies;
        let right = proxies.iter().filter(|proxy| proxy.state == "right" && proxy.read_ms > 0).count();
        ensure!(right == instances && proxies.len() == instances, "{proxies:#?}");
        Ok(Some(()))
    };
    until("every ProxySQL to be found right", SOON, look).await.map_err(|error| cluster.explained(error))
}

/// Waits for more acknowledged writes.
pub(crate) async fn writes_go_on(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    cluster.writes_go_on(ledger, SOON).await
}

/// Waits until each instance leads clients that read to these nodes' servers. The writer, which a monitor puts there as
/// well, does not count.
pub(crate) async fn reads_from(
    cluster: &Cluster,
    doubles: &[ProxySql],
    names: &[&str],
    within: Duration,
) -> Result<()> {
    let look = async || {
        for double in doubles {
            let [writers, mut readers] = placed(cluster, double).await?;
            readers.retain(|name| !writers.contains(name));
            ensure!(readers == names, "{} has {readers:?}, not {names:?}", double.admin());
        }
        Ok(Some(()))
    };
    until("reads from the right servers", within, look).await.map_err(|error| cluster.explained(error))
}

/// Never two writers, and nothing that a real one would not survive.
pub(crate) fn was_right_throughout(doubles: &[ProxySql]) -> Result<()> {
    for double in doubles {
        ensure!(double.most_writers() <= 1, "{}: {} writers at once", double.admin(), double.most_writers());
        ensure!(!double.has_crashed(), "{}: a real one would have crashed", double.admin());
    }
    Ok(())
}
