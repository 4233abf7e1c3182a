//! Whether certificate, key and CA belong together, to this node, and to this day.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_proto::names::Holder;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::TlsConfig;

/// From how long before its end on a certificate is warned about.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

/// Why this node's certificates cannot work.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum IdentityError {
    #[error("{} cannot be read: {source}; make it with `batonctl certs`, or correct [tls]", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} holds no {what} in PEM form; make it anew with `batonctl certs`", path.display())]
    NotPem { path: PathBuf, what: &'static str },
    #[error("private key {shown} is open to every user of this host; run: chmod o= {shown}", shown = path.display())]
    KeyOpen { path: PathBuf },
    #[error(
        "certificate {} is not valid before {from}: correct this host's clock, or make the certificate anew with \
         `{renew}`",
        path.display()
    )]
    NotYetValid { path: PathBuf, from: String, renew: String },
    #[error("certificate {} expired on {at}; make a new one with `{renew}` and restart", path.display())]
    Expired { path: PathBuf, at: String, renew: String },
    #[error(
        "certificate {} is for {found}, but this is {wanted}; correct --node, [cluster] name or tls.cert, or make the \
         certificate with `{renew}`",
        path.display()
    )]
    WrongHolder { path: PathBuf, found: String, wanted: String, renew: String },
    #[error("private key {} does not belong to certificate {}; copy both from one `batonctl certs` run", key.display(), cert.display())]
    KeyMismatch { key: PathBuf, cert: PathBuf },
    #[error("certificate {} was not signed by {}; use the CA and certificate of one cluster", cert.display(), ca.display())]
    WrongCa { cert: PathBuf, ca: PathBuf },
    #[error("certificate {} cannot be used: {why}; make it anew with `{renew}`", path.display())]
    Unusable { path: PathBuf, why: String, renew: String },
}

/// What the files hold.
pub(super) struct Material {
    pub(super) ca: Vec<CertificateDer<'static>>,
    pub(super) cert: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// All certificates of a PEM text, at least one.
pub(super) fn certificates(path: &Path, text: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| IdentityError::NotPem { path: path.to_owned(), what: "certificate" })
}

/// The private key of a PEM text.
pub(super) fn private_key(path: &Path, text: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| IdentityError::NotPem { path: path.to_owned(), what: "private key" })
}

/// Checks it all; gives the first end of validity, and warnings when that is near.
pub(super) fn material(
    material: &Material,
    tls: &TlsConfig,
    cluster: &str,
    node: &str,
    now: Timestamp,
) -> Result<(Timestamp, Vec<String>), IdentityError> {
    let holder = &Holder::node(node, cluster);
    let renew_node = format!("batonctl certs node {node} --force");
    let renew_ca = format!("batonctl certs init --cluster {cluster} --force");
    let checked = |path: &Path, der: &[CertificateDer<'static>], renew: &str| {
        let leaf = der.first().map(AsRef::as_ref).unwrap_or_default();
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| IdentityError::Unusable {
            path: path.to_owned(),
            why: "it is damaged".to_owned(),
            renew: renew.to_owned(),
        })?;
        let end = valid(path, &parsed, renew, now)?;
        Ok((end, names(&parsed)))
    };
    let (ca_end, _) = checked(&tls.ca, &material.ca, &renew_ca)?;
    let (cert_end, names) = checked(&tls.cert, &material.cert, &renew_node)?;
    named(&tls.cert, &names, holder, &renew_node)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    CertifiedKey::from_der(material.cert.clone(), material.key.clone_key(), &provider)
        .map_err(|_| IdentityError::KeyMismatch { key: tls.key.clone(), cert: tls.cert.clone() })?;
    signed(material, tls, holder, &provider, now).map_err(|fault| match fault {
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        ) => IdentityError::WrongCa { cert: tls.cert.clone(), ca: tls.ca.clone() },
        other => IdentityError::Unusable {
            path: tls.cert.clone(),
            why: other.to_string(),
            renew: renew_node.clone(),
        },
    })?;

    let warnings = [(&tls.ca, ca_end, &renew_ca), (&tls.cert, cert_end, &renew_node)]
        .into_iter()
        .filter_map(|(path, end, renew)| expiry_warning(path, end, renew, now))
        .collect();
    Ok((ca_end.min(cert_end), warnings))
}

fn valid(
    path: &Path,
    certificate: &X509Certificate<'_>,
    renew: &str,
    now: Timestamp,
) -> Result<Timestamp, IdentityError> {
    let unusable = |_| IdentityError::Unusable {
        path: path.to_owned(),
        why: "its dates are out of range".to_owned(),
        renew: renew.to_owned(),
    };
    let validity = certificate.validity();
    let start = Timestamp::from_second(validity.not_before.timestamp()).map_err(unusable)?;
    let end = Timestamp::from_second(validity.not_after.timestamp()).map_err(unusable)?;
    let (path, renew) = (path.to_owned(), renew.to_owned());
    if now < start {
        Err(IdentityError::NotYetValid { path, from: day(start), renew })
    } else if now > end {
        Err(IdentityError::Expired { path, at: day(end), renew })
    } else {
        Ok(end)
    }
}

fn expiry_warning(path: &Path, end: Timestamp, renew: &str, now: Timestamp) -> Option<String> {
    let left = end.duration_since(now).unsigned_abs();
    (left < EXPIRY_WARNING).then(|| {
        let days = left.as_secs() / 86_400;
        format!(
            "certificate {} expires on {}, in {days} day{}; make a new one with `{renew}` and restart",
            path.display(),
            day(end),
            if days == 1 { "" } else { "s" }
        )
    })
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The DNS names of a certificate.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = alternative.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

fn named(path: &Path, names: &[String], wanted: &Holder, renew: &str) -> Result<(), IdentityError> {
    let holders: Vec<Holder> = names.iter().filter_map(|name| Holder::from_dns_name(name)).collect();
    if holders == [wanted.clone()] {
        return Ok(());
    }
    let found = match &holders[..] {
        [] => "nobody that Baton knows".to_owned(),
        some => some.iter().map(Holder::to_string).collect::<Vec<_>>().join(" and "),
    };
    Err(IdentityError::WrongHolder {
        path: path.to_owned(),
        found,
        wanted: wanted.to_string(),
        renew: renew.to_owned(),
    })
}

/// Whether peers that trust this CA will accept the certificate, as a server's and as a client's.
fn signed(
    material: &Material,
    tls: &TlsConfig,
    holder: &Holder,
    provider: &Arc<CryptoProvider>,
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let general = |fault: &dyn std::fmt::Display| rustls::Error::General(fault.to_string());
    let mut roots = RootCertStore::empty();
    for ca in &material.ca {
        roots.add(ca.clone()).map_err(|fault| general(&format!("{}: {fault}", tls.ca.display())))?;
    }
    let roots = Arc::new(roots);
    let Some((leaf, between)) = material.cert.split_first() else { return Ok(()) };
    let seconds = u64::try_from(now.as_second()).map_err(|fault| general(&fault))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let name = ServerName::try_from(holder.dns_name()).map_err(|fault| general(&fault))?;
    WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|fault| general(&fault))?
        .verify_server_cert(leaf, between, &name, &[], now)?;
    WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|fault| general(&fault))?
        .verify_client_cert(leaf, between, now)?;
    Ok(())
}
