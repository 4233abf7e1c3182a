//! What Prometheus is shown, read at the moment it asks.

mod operations;
mod sample;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use super::http::Health;
use crate::decide::archive::Archiving;
use crate::decide::seen::ProxySeen;
use crate::route::Stats;
use crate::state::ClusterState;
use operations::Operations;

pub use sample::{Made, Probed, Sample};

type Read = Arc<dyn Fn() -> Sample + Send + Sync>;

/// This node's metrics.
pub struct Metrics {
    cluster: String,
    node: String,
    read: Read,
    registry: Registry,
    operations: Operations,
}

impl Metrics {
    /// Metrics with the labels `cluster` and `node`; `read` is called at every scrape and must not block.
    pub fn new(cluster: &str, node: &str, read: Read) -> Self {
        let label = |name: &'static str, value: &str| (Cow::from(name), Cow::from(value.to_owned()));
        let labels = [label("cluster", cluster), label("node", node)];
        let mut registry = Registry::with_prefix_and_labels("baton", labels.into_iter());
        registry.register_collector(Box::new(Reader(Arc::clone(&read))));
        let operations = Operations::register(&mut registry);
        Self { cluster: cluster.to_owned(), node: node.to_owned(), read, registry, operations }
    }

    /// Counts the operations that end from now on, until the states do.
    pub fn count(
        &self,
        states: watch::Receiver<Arc<ClusterState>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        operations::watch(self.operations.clone(), states)
    }

    /// In the OpenMetrics text format.
    ///
    /// # Errors
    /// When the values cannot be written down.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The same values as a verdict.
    pub fn health(&self) -> Health {
        Health::of(&self.cluster, &self.node, &(self.read)())
    }
}

struct Reader(Read);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Collector for Reader {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sample = (self.0)();
        let mut out = Out(encoder);
        out.one("build_info", "The program's version", &[("version", env!("CARGO_PKG_VERSION"))])?;
        out.group(&sample)?;
        out.server(&sample)?;
        if let Some(archiving) = &sample.archiving {
            out.archive(archiving)?;
        }
        out.probes(&sample.probes)?;
        out.troubles(&sample.troubles)?;
        out.dropped(&sample.dropped)?;
        out.followers(&sample.followers)?;
        out.proxies(&sample.proxies)?;
        sample.router.map_or(Ok(()), |stats| out.router(&stats))
    }
}

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn flag(&mut self, name: &str, help: &str, on: bool) -> fmt::Result {
        self.gauge(name, help, u64::from(on))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let gauge = ConstGauge::new(value.as_secs_f64());
        gauge.encode(self.0.encode_descriptor(name, help, Some(&Unit::Seconds), gauge.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    /// What was agreed, and who leads.
    fn group(&mut self, sample: &Sample) -> fmt::Result {
        self.flag("managed", "Whether the cluster is under Baton's care", sample.managed)?;
        self.gauge("epoch", "The current epoch of the write role", sample.epoch)?;
        self.one("role", "What this node's server is", &[("role", sample.role)])?;
        self.flag("writer", "Whether this node holds the write role", sample.writer)?;
        self.flag("lossless", "Whether every acknowledged write is at an acker too", sample.lossless)?;
        self.one("durability", "What an acknowledged write can survive", &[("state", sample.durability)])?;
        self.flag("moving", "Whether an operation moves the writer now", sample.moving)?;
        self.flag("paused", "Whether automatic failovers are paused", sample.paused)?;
        self.flag("raft_leader", "Whether this node leads the group", sample.leads)?;
        self.flag("raft_has_leader", "Whether this node knows a leader", sample.leader.is_some())?;
        self.gauge("raft_term", "The term of the consensus protocol", sample.term)?;
        self.gauge("raft_applied_index", "Index of the last log entry applied", sample.applied_index)?;
        self.gauge("notices", "What people were told of and is not over", sample.notices)?;
        self.backups(sample)?;
        match sample.certificate_left {
            Some(left) => self.seconds("certificate_left", "For how long the certificate is valid yet", left),
            None => Ok(()),
        }
    }

    /// What is in the stores, of all that the group has listed.
    fn backups(&mut self, sample: &Sample) -> fmt::Result {
        let since = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        if let Some(made) = sample.newest_backup {
            let took = Duration::from_millis(made.took_ms);
            self.seconds(
                "backup_newest_timestamp",
                "When the newest backup was over, since 1970",
                since(made.ended_ms),
            )?;
            self.seconds("backup_newest_duration", "How long the newest backup took", took)?;
            self.bytes("backup_newest_size", "What was read for the newest backup", made.bytes)?;
            self.bytes(
                "backup_newest_stored",
                "What each store has of the newest backup",
                made.stored_bytes,
            )?;
        }
        if let Some(ms) = sample.read_again_ms {
            let help = "When a good backup's objects were last read again, since 1970";
            self.seconds("backup_read_again_timestamp", help, since(ms))?;
        }
        if let Some((from, to)) = sample.window_ms {
            let help = "The first moment of the newest stretch that can be restored, since 1970; on the leader alone";
            self.seconds("recoverable_from_timestamp", help, since(from))?;
            let help = "The last moment that can be restored, since 1970; on the leader alone";
            self.seconds("recoverable_to_timestamp", help, since(to))?;
        }
        Ok(())
    }

    /// The server beside this node.
    fn server(&mut self, sample: &Sample) -> fmt::Result {
        if let Some(up) = sample.server_answers {
            self.flag("server_up", "Whether the server beside this node answers", up)?;
        }
        if let Some(open) = sample.open {
            self.flag("server_open", "Whether that server accepts client writes", open)?;
        }
        let left = sample.lease_left.unwrap_or_default();
        self.seconds("lease_left", "How long this node's lease still lasts, 0 without one", left)?;
        if let Some(behind) = sample.behind {
            self.seconds("replication_lag", "How far the server is behind its source", behind)?;
        }
        if let Some(count) = sample.to_apply {
            self.gauge("replication_lag_transactions", "Transactions received and not applied", count)?;
        }
        if let Some((ackers, waiting)) = sample.acks {
            self.gauge("ackers", "Ackers connected to the writer", ackers.into())?;
            self.gauge("waiting_commits", "Commits that wait for an acker", waiting.into())?;
        }
        if let Some(disk) = sample.disk {
            self.bytes("server_disk_free", "What the server's user may still write", disk.free)?;
            self.bytes("server_disk_size", "The size of the file system with the server's data", disk.size)?;
        }
        Ok(())
    }

    /// The archive of the binlog, where this node makes it.
    fn archive(&mut self, archiving: &Archiving) -> fmt::Result {
        let lag = Duration::from_millis(archiving.lag_ms);
        self.flag("archive_works", "Whether this node archives the binlog of its server", archiving.works)?;
        self.seconds("archive_lag", "How old the newest state is of which the store has everything", lag)?;
        self.gauge("archive_lag_transactions", "Transactions that the store lacks", archiving.behind)?;
        self.gauge(
            "archive_failed_uploads",
            "Uploads that failed, one after the other",
            archiving.failed.into(),
        )?;
        self.flag(
            "archive_has_holes",
            "Whether transactions are missing in the middle",
            !archiving.holes.is_empty(),
        )
    }

    /// Every server as probed from here. One that is gone from the cluster has no series any more.
    fn probes(&mut self, probes: &[Probed]) -> fmt::Result {
        let kind = ConstGauge::new(0.0).metric_type();
        let help = "Since a server last answered this node's probe";
        let mut family = self.0.encode_descriptor("probe_silence", help, Some(&Unit::Seconds), kind)?;
        for probe in probes {
            encode_value(&mut family, "server", &probe.node, probe.silent_for.as_secs_f64())?;
        }
        let help = "How long a server's last answer to this node's probe took";
        let mut family = self.0.encode_descriptor("probe_latency", help, Some(&Unit::Seconds), kind)?;
        for (probe, took) in probes.iter().filter_map(|p| Some((p, p.took?))) {
            encode_value(&mut family, "server", &probe.node, took.as_secs_f64())?;
        }
        Ok(())
    }

    /// What is wrong, as the leader sees it: 1 while it is the case.
    fn troubles(&mut self, troubles: &[(String, String)]) -> fmt::Result {
        let kind = ConstGauge::new(0_i64).metric_type();
        let help = "What is wrong, by its name in batonctl status; on the leader alone";
        let mut family = self.0.encode_descriptor("trouble", help, None, kind)?;
        for (trouble, server) in troubles {
            let labels = [("trouble", trouble.as_str()), ("server", server.as_str())];
            family.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
        Ok(())
    }

    /// As the group counts: every node says the same, and a new leader begins no new count.
    fn dropped(&mut self, dropped: &[(String, u64)]) -> fmt::Result {
        if dropped.is_empty() {
            return Ok(());
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let help = "Messages that were never sent, because too many others waited for the same sink";
        let mut family = self.0.encode_descriptor("notices_dropped", help, None, kind)?;
        for (sink, total) in dropped {
            let labels = [("sink", sink.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(total, None)?;
        }
        Ok(())
    }

    /// 1, with what it says as labels.
    fn one(&mut self, name: &str, help: &str, labels: &[(&'static str, &'static str)]) -> fmt::Result {
        let kind = ConstGauge::new(1_i64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        family.encode_family(&labels)?.encode_gauge(&1_i64)
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?)
    }

    fn followers(&mut self, followers: &[(String, bool, Option<Duration>)]) -> fmt::Result {
        if followers.is_empty() {
            return Ok(());
        }
        let kind = ConstGauge::new(0_i64).metric_type();
        let help = "Whether a server without a node answers the leader";
        let mut family = self.0.encode_descriptor("replica_up", help, None, kind)?;
        for (name, up, _) in followers {
            encode_value(&mut family, "replica", name, i64::from(*up))?;
        }
        let help = "How far a server without a node is behind the writer";
        let mut family = self.0.encode_descriptor("replica_lag", help, Some(&Unit::Seconds), kind)?;
        for (name, _, behind) in followers {
            if let Some(behind) = behind {
                encode_value(&mut family, "replica", name, behind.as_secs_f64())?;
            }
        }
        Ok(())
    }

    fn proxies(&mut self, proxies: &[ProxySeen]) -> fmt::Result {
        if proxies.is_empty() {
            return Ok(());
        }
        let (gauge, counter) = (ConstGauge::new(0_i64), ConstCounter::new(0_u64));
        let help = "Whether a ProxySQL leads clients as the group agreed";
        let mut family = self.0.encode_descriptor("proxysql_right", help, None, gauge.metric_type())?;
        for proxy in proxies {
            let right = i64::from(proxy.trouble.is_none());
            family.encode_family(&[("proxysql", proxy.name.as_str())])?.encode_gauge(&right)?;
        }
        let help = "How often a ProxySQL was put right since this leader leads";
        let mut family = self.0.encode_descriptor("proxysql_repairs", help, None, counter.metric_type())?;
        for proxy in proxies {
            let labels = [("proxysql", proxy.name.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&proxy.repairs, None)?;
        }
        Ok(())
    }

    fn router(&mut self, stats: &Stats) -> fmt::Result {
        let help = "Sessions that the router holds now";
        let gauge = ConstGauge::new(0_i64);
        let mut family = self.0.encode_descriptor("router_open_sessions", help, None, gauge.metric_type())?;
        for (port, now) in [("writer", stats.writer_sessions_now), ("reader", stats.reader_sessions_now)] {
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            encode_value(&mut family, "port", port, now)?;
        }
        self.gauge("router_waiting_connections", "Connections that wait for a server now", stats.held_now)?;
        self.counter("router_sessions", "Sessions that were given a server", stats.sessions_total)?;
        self.counter("router_held", "Connections that had to wait for a server", stats.held_total)?;
        self.counter("router_cut", "Sessions cut because their server lost its role", stats.cut_total)?;
        self.counter("router_server_gone", "Sessions whose server went away", stats.server_gone_total)?;
        self.counter("router_refused", "Connections refused", stats.refused_total)
    }
}

fn encode_value(
    family: &mut prometheus_client::encoding::MetricEncoder<'_>,
    label: &'static str,
    of: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(&[(label, of)])?.encode_gauge(&value)
}
