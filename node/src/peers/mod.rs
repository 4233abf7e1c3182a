//! Connections to the other nodes.
//!
//! Two per peer, opened on first use and kept, and one more for as long as a server is copied: consensus and everything that can be long go over the first, and
//! what must not wait behind them over the second. Whoever asks a voter for lease time repeats an unanswered
//! request on the other one: a lost packet stalls all of one TCP stream.

#[cfg(feature = "simulation")]
mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_proto::control::control_client::ControlClient;
use baton_proto::peer::peer_client::PeerClient;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::state::NodeName;

#[cfg(feature = "simulation")]
pub use memory::{Dial, Lane, Wire};

/// What carries calls.
#[cfg(not(feature = "simulation"))]
pub type Wire = Channel;

/// A peer that does not even accept a connection within this is not there.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection whose other end vanished without a word is found out after both of these.
const PING_EVERY: Duration = Duration::from_millis(500);
const PING_ANSWER: Duration = Duration::from_millis(1000);
/// Behind what is sent in bulk a ping waits longer for its answer.
const BULK_PING_ANSWER: Duration = Duration::from_secs(20);
/// Bytes that may be on the way: enough for a gigabit between sites 30 ms apart, and all that a slow receiver holds up.
const BULK_WINDOW: u32 = 4 << 20;
/// The connection for what is long and not urgent; the two that are kept are 0 and 1.
const BULK: usize = 2;
/// Snapshots of the state are the longest messages.
pub const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// How connections to peers are secured.
#[derive(Clone)]
pub enum Dialer {
    /// Mutual TLS: gives the settings for the named peer, asked when its link is made.
    Tls(Arc<dyn Fn(&NodeName) -> ClientTlsConfig + Send + Sync>),
    /// Nothing at all.
    #[cfg(test)]
    Plaintext,
    /// Calls stay in the process.
    #[cfg(feature = "simulation")]
    Memory(Dial),
}

/// Why there is no connection to be had at all; an unreachable peer shows only when it is called.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the address of {name}, {address:?}, cannot be used: {detail}; correct it in the configuration")]
pub struct BadAddress {
    /// The peer.
    pub name: NodeName,
    /// Its address as configured.
    pub address: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What went wrong with a call, down to its cause: a refused certificate shows only there.
pub fn reason(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = if text.is_empty() { more } else { format!("{text}: {more}") };
        }
        cause = error.source();
    }
    let mend = if text.contains("received fatal alert") {
        " (it refuses this node's certificate: was that made by the same authority, and is it in date?)"
    } else if text.contains("invalid peer certificate") {
        " (was its certificate made by this cluster's authority, for that name, and is it in date?)"
    } else {
        ""
    };
    text + mend
}

/// The two connections to one peer. Clones share them; neither is dialled before it is used.
#[derive(Clone)]
pub struct Link {
    /// For consensus, reports and actions.
    pub first: PeerClient<Wire>,
    /// For heartbeats, and for lease requests repeated.
    pub second: PeerClient<Wire>,
    /// What operators ask, passed on to the leader: over the first connection.
    pub control: ControlClient<Wire>,
    address: String,
}

impl Link {
    /// The connection for what is asked of voters: lane 0 is the one with less to wait behind, any other the repeat's.
    pub fn lane(self, lane: usize) -> PeerClient<Wire> {
        if lane == 0 { self.second } else { self.first }
    }
}

/// All peers, by name.
pub struct Peers {
    dialer: Dialer,
    configured: BTreeMap<NodeName, String>,
    links: Mutex<BTreeMap<NodeName, Link>>,
}

impl Peers {
    /// No connections yet.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, configured: BTreeMap::new(), links: Mutex::default() }
    }

    /// With the addresses in the configuration: they win over those that the group remembers, so that a node can
    /// move to another address.
    #[must_use]
    pub fn with_configured(mut self, nodes: impl IntoIterator<Item = (NodeName, String)>) -> Self {
        self.configured = nodes.into_iter().collect();
        self
    }

    /// The connections to `name`, if it is known.
    pub fn get(&self, name: &NodeName) -> Option<Link> {
        self.lock().get(name).cloned()
    }

    /// The connections to `name` at its configured address, or else at `address` (`host:port`); made if they are
    /// not there or lead elsewhere.
    ///
    /// # Errors
    /// [`BadAddress`] when `address` is no address.
    pub fn link(&self, name: &NodeName, address: &str) -> Result<Link, BadAddress> {
        let address = self.configured.get(name).map_or(address, String::as_str);
        let mut links = self.lock();
        if let Some(link) = links.get(name).filter(|link| link.address == address) {
            return Ok(link.clone());
        }
        let (first, second) = (self.wire(name, address, 0)?, self.wire(name, address, 1)?);
        let link = Link {
            control: ControlClient::new(first.clone()),
            first: client(first),
            second: client(second),
            address: address.to_owned(),
        };
        links.insert(name.clone(), link.clone());
        Ok(link)
    }

    /// A connection to `name` of its own, as [`Self::link`] has them, for what takes long and can wait. It ends with whoever
    /// uses it.
    ///
    /// # Errors
    /// [`BadAddress`] when `address` is no address.
    pub fn bulk(&self, name: &NodeName, address: &str) -> Result<PeerClient<Wire>, BadAddress> {
        let address = self.configured.get(name).map_or(address, String::as_str);
        Ok(PeerClient::new(self.wire(name, address, BULK)?))
    }

    /// Drops the connections to everybody of whom `keep` says no.
    pub fn retain(&self, keep: impl Fn(&NodeName) -> bool) {
        self.lock().retain(|name, _| keep(name));
    }

    #[cfg(not(feature = "simulation"))]
    fn wire(&self, name: &NodeName, address: &str, lane: usize) -> Result<Wire, BadAddress> {
        self.channel(name, address, lane)
    }

    #[cfg(feature = "simulation")]
    fn wire(&self, name: &NodeName, address: &str, lane: Lane) -> Result<Wire, BadAddress> {
        match &self.dialer {
            Dialer::Memory(dial) => Ok(dial(name, lane)),
            _ => self.channel(name, address, lane).map(Wire::Tcp),
        }
    }

    fn channel(&self, name: &NodeName, address: &str, lane: usize) -> Result<Channel, BadAddress> {
        let endpoint = self.endpoint(name, address, lane).map_err(|e| BadAddress {
            name: name.clone(),
            address: address.to_owned(),
            detail: std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string),
        })?;
        Ok(endpoint.connect_lazy())
    }

    fn endpoint(
        &self,
        name: &NodeName,
        address: &str,
        lane: usize,
    ) -> Result<Endpoint, tonic::transport::Error> {
        let (scheme, tls) = match &self.dialer {
            Dialer::Tls(settings) => ("https", Some(settings(name))),
            #[cfg(test)]
            Dialer::Plaintext => ("http", None),
            #[cfg(feature = "simulation")]
            Dialer::Memory(_) => ("http", None),
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(if lane == BULK { BULK_PING_ANSWER } else { PING_ANSWER })
            .keep_alive_while_idle(true);
        let endpoint = match lane {
            BULK => {
                endpoint.initial_stream_window_size(BULK_WINDOW).initial_connection_window_size(BULK_WINDOW)
            }
            _ => endpoint,
        };
        match tls {
            Some(tls) => endpoint.tls_config(tls),
            None => Ok(endpoint),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Link>> {
        // The map is changed by whole links only.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(channel: Wire) -> PeerClient<Wire> {
    PeerClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT)
}
