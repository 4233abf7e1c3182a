//! Making certificates: ECDSA P-256, a new key for each, one DNS name that says whose it is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::names::{Holder, any_node, name_fault};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::Serialize;

use super::error::CertsError;
use super::files::{self, Pair};
use super::show;

/// How long a CA lasts: ten years. Replacing it touches every node, so it is not to be a yearly task.
pub const CA_DAYS: u32 = 3652;

/// How long a certificate lasts: 27 months. Replacing one touches one node.
pub const LEAF_DAYS: u32 = 825;

/// Clocks of other hosts may be behind ours by this much.
const BACKDATED: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

const NEW_CA: &str = ", and then every certificate has to be made anew";

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Whose it is, in words.
    pub holder: String,
    /// The node's name, when it is a node's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The certificate's file.
    pub cert: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
    /// When it expires.
    pub until: Timestamp,
}

/// Who signs.
struct Ca {
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
    until: Timestamp,
}

/// A certificate that is not written yet.
struct Ready {
    made: Made,
    pair: Pair,
    cert_pem: String,
    key_pem: String,
}

impl Ready {
    fn write(self) -> Result<Made, CertsError> {
        self.pair.write(&self.cert_pem, &self.key_pem)?;
        Ok(self.made)
    }
}

/// A CA, every node's certificate and a client's, in one go. Nothing is written unless all of it can be.
///
/// # Errors
/// A name is wrong, or a file exists and `force` is not set.
pub fn make_all(
    cluster: &str,
    nodes: &[String],
    client: &str,
    dir: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Vec<Made>, CertsError> {
    let (ca, ready) = new_ca(cluster, dir, force, now)?;
    let mut all = vec![ready];
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert(node) {
            return Err(CertsError::Twice(node.clone()));
        }
        all.push(node_leaf(&ca, node, &[], dir, force, now)?);
    }
    all.push(client_leaf(&ca, client, dir, force, now)?);
    files::folder(dir)?;
    all.into_iter().map(Ready::write).collect()
}

/// A cluster's CA: `ca.pem` and `ca.key`.
///
/// # Errors
/// The name is wrong, or a CA exists and `force` is not set.
pub fn make_ca(cluster: &str, dir: &Path, force: bool, now: Timestamp) -> Result<Made, CertsError> {
    let (_, ready) = new_ca(cluster, dir, force, now)?;
    files::folder(dir)?;
    ready.write()
}

/// A node's certificate, signed by the CA in the folder; the cluster is the CA's.
///
/// # Errors
/// The name is wrong, the CA cannot be used, or the certificate exists and `force` is not set.
pub fn make_node(
    node: &str,
    sans: &[String],
    dir: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Made, CertsError> {
    node_leaf(&Ca::load(dir, now)?, node, sans, dir, force, now)?.write()
}

/// An operator's certificate, signed by the CA in the folder; the cluster is the CA's.
///
/// # Errors
/// The name is wrong, the CA cannot be used, or the certificate exists and `force` is not set.
pub fn make_client(client: &str, dir: &Path, force: bool, now: Timestamp) -> Result<Made, CertsError> {
    client_leaf(&Ca::load(dir, now)?, client, dir, force, now)?.write()
}

fn new_ca(cluster: &str, dir: &Path, force: bool, now: Timestamp) -> Result<(Ca, Ready), CertsError> {
    proper("--cluster", cluster)?;
    let pair = Pair::new(dir, "ca");
    pair.free(force, NEW_CA)?;
    let until = end(now, CA_DAYS)?;
    let mut params = params(&format!("Baton CA of {cluster}"), now, until)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Where later runs read the cluster's name.
    params.subject_alt_names = vec![SanType::DnsName(show::ca_name(cluster).try_into()?)];
    let key = new_key()?;
    let key_pem = key.serialize_pem();
    let cert_pem = CertifiedIssuer::self_signed(params.clone(), &key)?.pem();
    let made = Made {
        holder: format!("CA of cluster {cluster}"),
        node: None,
        cert: pair.cert.clone(),
        key: pair.key.clone(),
        until,
    };
    let ca = Ca { cluster: cluster.to_owned(), issuer: Issuer::new(params, key), until };
    Ok((ca, Ready { made, pair, cert_pem, key_pem }))
}

impl Ca {
    fn load(dir: &Path, now: Timestamp) -> Result<Self, CertsError> {
        let pair = Pair::new(dir, "ca");
        let not_ours = |path: &Path, what| CertsError::NotOurs { path: path.to_owned(), what };
        let (cert, key) = (files::read(&pair.cert)?, files::read(&pair.key)?);
        let found = show::read_one(&pair.cert, &cert, now)
            .filter(|found| found.ca)
            .ok_or_else(|| not_ours(&pair.cert, "a CA that `batonctl certs` made"))?;
        let cluster = found.cluster.ok_or_else(|| not_ours(&pair.cert, "a CA that `batonctl certs` made"))?;
        if found.until <= now {
            return Err(CertsError::CaExpired {
                path: pair.cert,
                at: found.until.strftime("%Y-%m-%d").to_string(),
            });
        }
        let key = KeyPair::from_pem(&key).map_err(|_| not_ours(&pair.key, "a private key"))?;
        if key.public_key_raw() != found.public_key {
            return Err(not_ours(&pair.key, "the key of ca.pem"));
        }
        Ok(Self { cluster, issuer: Issuer::from_ca_cert_pem(&cert, key)?, until: found.until })
    }
}

fn node_leaf(
    ca: &Ca,
    node: &str,
    sans: &[String],
    dir: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Ready, CertsError> {
    proper("node", node)?;
    if node == "ca" {
        return Err(CertsError::NamedCa);
    }
    let holder = Holder::node(node, &ca.cluster);
    // A node is server to its callers and client of its peers.
    let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut ready = leaf(ca, &holder, sans, &usages, Pair::new(dir, node), force, now)?;
    ready.made.node = Some(node.to_owned());
    Ok(ready)
}

/// The name has a dot, which a node's name cannot have: the two never share a file.
fn client_leaf(ca: &Ca, client: &str, dir: &Path, force: bool, now: Timestamp) -> Result<Ready, CertsError> {
    proper("client", client)?;
    let holder = Holder::client(client, &ca.cluster);
    let pair = Pair::new(dir, &format!("{client}.client"));
    leaf(ca, &holder, &[], &[ExtendedKeyUsagePurpose::ClientAuth], pair, force, now)
}

fn leaf(
    ca: &Ca,
    holder: &Holder,
    sans: &[String],
    usages: &[ExtendedKeyUsagePurpose],
    pair: Pair,
    force: bool,
    now: Timestamp,
) -> Result<Ready, CertsError> {
    pair.free(force, "")?;
    let until = end(now, LEAF_DAYS)?.min(ca.until);
    let mut params = params(&holder.dns_name(), now, until)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages.to_vec();
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::DnsName(holder.dns_name().try_into()?)];
    if let Holder::Node { cluster, .. } = holder {
        params.subject_alt_names.push(SanType::DnsName(any_node(cluster).try_into()?));
    }
    for san in sans {
        params.subject_alt_names.push(further_name(san)?);
    }
    let key = new_key()?;
    let cert_pem = params.signed_by(&key, &ca.issuer)?.pem();
    let made = Made {
        holder: holder.to_string(),
        node: None,
        cert: pair.cert.clone(),
        key: pair.key.clone(),
        until,
    };
    Ok(Ready { made, pair, cert_pem, key_pem: key.serialize_pem() })
}

/// The serial number stays unset: rcgen makes it from the key's hash, and every certificate has a new key.
fn params(common_name: &str, now: Timestamp, until: Timestamp) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now)?.saturating_sub(BACKDATED);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(until)?;
    Ok(params)
}

/// Whole seconds: a certificate has no finer time.
fn since_epoch(time: Timestamp) -> Result<Duration, CertsError> {
    u64::try_from(time.as_second()).map(Duration::from_secs).map_err(|_| CertsError::Time(time))
}

fn end(now: Timestamp, days: u32) -> Result<Timestamp, CertsError> {
    let whole = Timestamp::from_second(now.as_second()).map_err(|_| CertsError::Time(now))?;
    whole.checked_add(DAY * days).map_err(|_| CertsError::Time(now))
}

fn new_key() -> Result<KeyPair, CertsError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn further_name(san: &str) -> Result<SanType, CertsError> {
    if let Ok(address) = san.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'*')
    };
    if !san.split('.').all(label) || san.to_ascii_lowercase().ends_with(".baton") {
        return Err(CertsError::San(san.to_owned()));
    }
    Ok(SanType::DnsName(san.try_into()?))
}

fn proper(what: &'static str, name: &str) -> Result<(), CertsError> {
    name_fault(name).map_or(Ok(()), |fault| Err(CertsError::Name { what, fault }))
}
