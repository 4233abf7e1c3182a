//! What Prometheus is shown, read at the moment it asks.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::http::Health;
use crate::consensus::{Applied, FormationStatus, Leadership};
use crate::decide::seen::Report;
use crate::route::Stats;
use crate::state::{NodeName, Phase};

/// The values of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The node belongs to a group.
    pub formed: bool,
    /// Who leads.
    pub leader: Option<String>,
    /// Whether this node does.
    pub leads: bool,
    /// The term of the protocol.
    pub term: u64,
    /// Index in the log of the last entry applied here.
    pub applied_index: u64,
    /// The cluster is under Baton's care.
    pub managed: bool,
    /// The current epoch; 0 before adoption.
    pub epoch: u64,
    /// This node holds the write role.
    pub writer: bool,
    /// Every acknowledged write is at the ackers too.
    pub lossless: bool,
    /// Whether the server beside this node answers; `None` on a witness.
    pub server_answers: Option<bool>,
    /// What is left of this node's lease.
    pub lease_left: Option<Duration>,
    /// How far the server is behind its source.
    pub behind: Option<Duration>,
    /// The embedded router; `None` where it is off.
    pub router: Option<Stats>,
}

impl Sample {
    /// From what a daemon has at hand.
    pub fn of(
        me: &NodeName,
        applied: &Applied,
        leadership: &Leadership,
        formation: &FormationStatus,
        own: &Report,
        router: Option<Stats>,
    ) -> Self {
        let state = &applied.state;
        let server = own.own.as_ref();
        let channel = server.and_then(|s| s.pulse.as_ref()?.channel.as_ref());
        Self {
            formed: *formation == FormationStatus::Formed,
            leader: leadership.leader.as_ref().map(ToString::to_string),
            leads: leadership.mine,
            term: leadership.term >> 32,
            applied_index: applied.index,
            managed: state.phase == Phase::Managed,
            epoch: state.epoch().0,
            writer: state.is_writer(me),
            lossless: state.durability.is_lossless(),
            server_answers: server.map(|s| s.error.is_none() && s.pulse.is_some()),
            lease_left: server.and_then(|s| s.guard.lease).map(|(_, left)| left),
            behind: channel.and_then(|c| c.behind),
            router,
        }
    }
}

type Read = Arc<dyn Fn() -> Sample + Send + Sync>;

/// This node's metrics.
pub struct Metrics {
    cluster: String,
    node: String,
    read: Read,
    registry: Registry,
}

impl Metrics {
    /// Metrics with the labels `cluster` and `node`; `read` is called at every scrape and must not block.
    pub fn new(cluster: &str, node: &str, read: Read) -> Self {
        let label = |name: &'static str, value: &str| (Cow::from(name), Cow::from(value.to_owned()));
        let labels = [label("cluster", cluster), label("node", node)];
        let mut registry = Registry::with_prefix_and_labels("baton", labels.into_iter());
        registry.register_collector(Box::new(Reader(Arc::clone(&read))));
        Self { cluster: cluster.to_owned(), node: node.to_owned(), read, registry }
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
        out.flag("managed", "Whether the cluster is under Baton's care", sample.managed)?;
        out.gauge("epoch", "The current epoch of the write role", sample.epoch)?;
        out.flag("writer", "Whether this node holds the write role", sample.writer)?;
        out.flag("lossless", "Whether every acknowledged write is at an acker too", sample.lossless)?;
        out.flag("raft_leader", "Whether this node leads the group", sample.leads)?;
        out.flag("raft_has_leader", "Whether this node knows a leader", sample.leader.is_some())?;
        out.gauge("raft_term", "The term of the consensus protocol", sample.term)?;
        out.gauge("raft_applied_index", "Index of the last log entry applied", sample.applied_index)?;
        if let Some(up) = sample.server_answers {
            out.flag("server_up", "Whether the server beside this node answers", up)?;
        }
        let left = sample.lease_left.unwrap_or_default();
        out.seconds("lease_left", "How long this node's lease still lasts, 0 without one", left)?;
        if let Some(behind) = sample.behind {
            out.seconds("replication_lag", "How far the server is behind its source", behind)?;
        }
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

    fn router(&mut self, stats: &Stats) -> fmt::Result {
        let help = "Sessions that the router holds now";
        let gauge = ConstGauge::new(0_i64);
        let mut family = self.0.encode_descriptor("router_open_sessions", help, None, gauge.metric_type())?;
        for (port, now) in [("writer", stats.writer_sessions_now), ("reader", stats.reader_sessions_now)] {
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            encode_value(&mut family, port, now)?;
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
    port: &'static str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    family.encode_family(&[("port", port)])?.encode_gauge(&value)
}
