//! This node's certificate, key and CA, and the TLS settings made of them.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use baton_proto::names::Holder;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tonic::transport::{Certificate, ClientTlsConfig, ServerTlsConfig};

use super::check::{self, IdentityError, Material};
use crate::config::TlsConfig;

/// Bound on one TLS handshake: a few round trips between far sites.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// A node's checked identity. Loaded once: a renewed certificate counts after a restart of the daemon.
#[derive(Clone)]
pub struct Identity {
    cluster: String,
    node: String,
    ca: String,
    cert: String,
    key: SecretString,
    expires: Timestamp,
    warnings: Vec<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads and checks the files that `tls` names, for this node of this cluster at this time.
    ///
    /// # Errors
    /// The first thing that keeps them from working, with the file and the mend.
    pub fn load(tls: &TlsConfig, cluster: &str, node: &str, now: Timestamp) -> Result<Self, IdentityError> {
        let ca = read(&tls.ca)?;
        let cert = read(&tls.cert)?;
        let key = SecretString::from(read(&tls.key)?);
        private(&tls.key)?;
        let material = Material {
            ca: check::certificates(&tls.ca, &ca)?,
            cert: check::certificates(&tls.cert, &cert)?,
            key: check::private_key(&tls.key, key.expose_secret())?,
        };
        let (expires, warnings) = check::material(&material, tls, cluster, node, now)?;
        Ok(Self { cluster: cluster.to_owned(), node: node.to_owned(), ca, cert, key, expires, warnings })
    }

    /// This node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// When the first of certificate and CA ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What will soon keep it from working.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// For this node's listeners: every caller must show a certificate of the cluster's CA. Who it is, [`super::peer_of`]
    /// tells.
    #[must_use]
    pub fn server_tls(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.pair())
            .client_ca_root(Certificate::from_pem(&self.ca))
            .timeout(HANDSHAKE_TIMEOUT)
    }

    /// For connections to the node named `peer`: whatever answers must show that node's certificate, at any address.
    #[must_use]
    pub fn client_tls(&self, peer: &str) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .identity(self.pair())
            .ca_certificate(Certificate::from_pem(&self.ca))
            .domain_name(Holder::node(peer, &self.cluster).dns_name())
            .timeout(HANDSHAKE_TIMEOUT)
    }

    fn pair(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.cert, self.key.expose_secret())
    }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// Group may read: a group made for it lets the daemon run without root.
fn private(path: &Path) -> Result<(), IdentityError> {
    let meta =
        std::fs::metadata(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    if meta.permissions().mode() & 0o007 == 0 {
        Ok(())
    } else {
        Err(IdentityError::KeyOpen { path: path.to_owned() })
    }
}
