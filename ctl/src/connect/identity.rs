//! Our own certificate, looked at before it is shown: a node that rejects it often just closes the connection.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error as Tls, RootCertStore};

use crate::error::Error;
use crate::settings::Settings;

/// Whether the certificate is one that a node with this CA takes at the time `now`.
///
/// # Errors
/// Names the file that is wrong, and the mend.
pub(super) fn check(settings: &Settings, ca: &[u8], cert: &[u8], now: UnixTime) -> Result<(), Error> {
    let wrong = |path: &std::path::Path, what: &str, mend: &'static str| Error::Certificate {
        path: path.to_owned(),
        what: what.to_owned(),
        mend,
    };
    let of_cert = |what: &str, mend| wrong(&settings.cert, what, mend);
    let not_pem = "pass the files that `batonctl certs` made";
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(ca));
    if added == 0 {
        return Err(wrong(&settings.ca, "holds no CA certificate in PEM form", not_pem));
    }
    let chain = certificates(cert);
    let Some((own, between)) = chain.split_first() else {
        return Err(of_cert("holds no certificate in PEM form", not_pem));
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| wrong(&settings.ca, &error.to_string(), not_pem))?;
    let renew = "make a new one where the CA's key is: `batonctl certs client NAME --force`";
    match verifier.verify_client_cert(own, between, now) {
        Ok(_) => Ok(()),
        Err(Tls::InvalidCertificate(why)) => Err(match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                of_cert("the certificate has expired", renew)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                of_cert("the certificate is not valid yet", "correct this host's clock")
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => of_cert(
                &format!("the certificate was not issued by {}", settings.ca.display()),
                "use the CA and the certificate of one cluster (--ca, --cert, --key)",
            ),
            other => of_cert(&other.to_string(), renew),
        }),
        Err(other) => Err(of_cert(&other.to_string(), renew)),
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}
