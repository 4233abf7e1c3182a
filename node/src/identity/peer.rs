//! Who is calling, by the certificate of the connection.

use baton_proto::names::Holder;
use rustls::pki_types::CertificateDer;
use tonic::{Request, Status};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::check::names;

/// A caller of this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A node, by name. Whether it is still a member, the replicated state says.
    Node(String),
    /// Somebody who operates the cluster, by name.
    Client(String),
}

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// TLS without a client certificate, or no TLS.
    #[error("no certificate was shown; connect with one that `batonctl certs` made for this cluster")]
    NoCertificate,
    /// A certificate that is damaged, or carries no name, or several names.
    #[error("the certificate names nobody, or more than one; make it anew with `batonctl certs`")]
    NoName,
    /// Of the same CA, but for another cluster.
    #[error("the certificate is for {found}, but this is cluster {cluster}; use one of cluster {cluster}")]
    OtherCluster {
        /// Who the certificate is for.
        found: Holder,
        /// This node's cluster.
        cluster: String,
    },
    /// A client called what only nodes may call.
    #[error(
        "client {0} may not call what nodes say to each other; use batonctl, which calls the control service"
    )]
    NotANode(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoCertificate | Refusal::NoName => Self::unauthenticated(refusal.to_string()),
            Refusal::OtherCluster { .. } | Refusal::NotANode(_) => {
                Self::permission_denied(refusal.to_string())
            }
        }
    }
}

impl Peer {
    /// The holder of a certificate that TLS has already found to be of our CA and in its time.
    ///
    /// # Errors
    /// It is for nobody, or for another cluster than `cluster`.
    pub fn of(certificates: &[CertificateDer<'_>], cluster: &str) -> Result<Self, Refusal> {
        let leaf = certificates.first().ok_or(Refusal::NoCertificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| Refusal::NoName)?;
        let mut holders = names(&parsed).into_iter().filter_map(|name| Holder::from_dns_name(&name));
        let (Some(holder), None) = (holders.next(), holders.next()) else { return Err(Refusal::NoName) };
        if holder.cluster() != cluster {
            return Err(Refusal::OtherCluster { found: holder, cluster: cluster.to_owned() });
        }
        Ok(match holder {
            Holder::Node { node, .. } => Self::Node(node),
            Holder::Client { client, .. } => Self::Client(client),
        })
    }
}

/// The caller of a request: what the control service accepts.
///
/// # Errors
/// The caller showed no certificate of this cluster.
pub fn peer_of<T>(request: &Request<T>, cluster: &str) -> Result<Peer, Refusal> {
    let certificates = request.peer_certs().ok_or(Refusal::NoCertificate)?;
    Peer::of(&certificates, cluster)
}

/// The calling node's name: what the peer service accepts.
///
/// # Errors
/// The caller is no node of this cluster.
pub fn node_of<T>(request: &Request<T>, cluster: &str) -> Result<String, Refusal> {
    match peer_of(request, cluster)? {
        Peer::Node(node) => Ok(node),
        Peer::Client(client) => Err(Refusal::NotANode(client)),
    }
}
