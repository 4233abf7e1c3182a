//! One HTTP request on a connection of its own. Parts are large: a connection each costs nothing that is seen, and none is
//! found dead when it is needed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// Until the answer begins, the sending of a part included: 16 MiB at 1 Mbit/s take 130 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(300);
/// Between two pieces of an answer.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);
/// An answer that is read as a whole: a page of a list has a few hundred KiB.
const TEXT_MAX: usize = 8 << 20;

/// Where requests go.
#[derive(Clone)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
}

/// The beginning of an answer.
pub(in crate::backup::store) struct Answer {
    response: Response<Incoming>,
}

impl Endpoint {
    /// Of `http://host[:port]` or `https://host[:port]`. `ca` is a file with the authorities that count in place of those
    /// that the world trusts.
    pub(super) fn new(url: &str, ca: Option<&Path>) -> Result<Self, String> {
        let wrong = || format!("\"{url}\" is no address of a store; write https://host or https://host:port");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let rest = rest.trim_end_matches('/');
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let standard = if is_tls { 443 } else { 80 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (rest, standard),
        };
        if host.is_empty() || host.contains(['/', '@', '?', ' ']) {
            return Err(wrong());
        }
        let tls = is_tls.then(|| connector(ca)).transpose()?;
        Ok(Self { host: host.to_owned(), port, tls })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// As the `Host` header has it.
    pub(super) fn authority(&self) -> String {
        let standard = if self.is_tls() { 443 } else { 80 };
        if self.port == standard { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Sends a request; why not, in words.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let connected = timeout(CONNECTS_WITHIN, TcpStream::connect((host, self.port))).await;
        let stream = connected
            .map_err(|_| format!("{} does not answer", self.authority()))?
            .map_err(|e| format!("{}: {e}", self.authority()))?;
        let Some(tls) = &self.tls else { return exchange(stream, request).await };
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{host}: {e}"))?;
        let shaken = timeout(CONNECTS_WITHIN, tls.connect(name, stream)).await;
        let stream = shaken
            .map_err(|_| format!("{} does not answer", self.authority()))?
            .map_err(|e| format!("{}: {e}", self.authority()))?;
        exchange(stream, request).await
    }
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let pem = fs::read(path).map_err(|e| failed(&e))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        }
        if roots.is_empty() {
            return Err(format!("{}: there is no certificate in it", path.display()));
        }
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| reason(&e))?;
    // It ends with the answer, or when nobody reads that any more.
    tokio::spawn(async move { drop(connection.await) });
    let answered = timeout(ANSWERS_WITHIN, sender.send_request(request)).await;
    let response = answered
        .map_err(|_| format!("no answer within {} s", ANSWERS_WITHIN.as_secs()))?
        .map_err(|e| reason(&e))?;
    Ok(Answer { response })
}

/// hyper's own words hide what happened one level deeper.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end, which is where its length said.
    pub(in crate::backup::store) async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = timeout(GOES_ON_WITHIN, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| format!("nothing came for {} s", GOES_ON_WITHIN.as_secs()))?;
            match frame.transpose().map_err(|e| reason(&e))?.map(|f| f.into_data()) {
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers.
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The whole body as text.
    pub(super) async fn text(&mut self) -> Result<String, String> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
            if all.len() > TEXT_MAX {
                return Err("the answer is longer than any".into());
            }
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}
