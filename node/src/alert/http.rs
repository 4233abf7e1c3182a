//! One HTTP request to somebody outside: bounded in time and size, over TLS or not. Errors never hold the URL: it may be a
//! secret, as a bot's is.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Bound on the way to the first byte sent: name, connection, handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer; Telegram's longest of a poll are far below.
const ANSWER_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum HttpError {
    /// The address itself.
    #[error("its address is not one of http or https")]
    Address,
    /// Nothing was sent.
    #[error("it cannot be connected to")]
    NotConnected,
    /// Nothing was sent.
    #[error("its certificate is not accepted, or the TLS handshake failed")]
    Handshake,
    /// It may have arrived.
    #[error("the connection broke before an answer came")]
    Broken,
    /// It may have arrived.
    #[error("no answer came in time")]
    Late,
    /// It has arrived.
    #[error("the answer is too long")]
    TooLong,
}

impl HttpError {
    /// Whether the request may have arrived all the same.
    pub(super) fn may_have_arrived(self) -> bool {
        matches!(self, Self::Broken | Self::Late | Self::TooLong)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Seconds, where the answer says so.
    pub(super) retry_after: Option<u64>,
}

/// A request with a body, or without.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
    /// From the request's first byte to the answer's last.
    pub(super) within: Duration,
}

/// Sends it, once.
///
/// # Errors
/// [`HttpError`] when no whole answer came.
pub(super) async fn ask(ask: Ask<'_>) -> Result<Answer, HttpError> {
    let uri: Uri = ask.url.parse().map_err(|_| HttpError::Address)?;
    let place = Place::of(&uri)?;
    let request = request(&uri, &place, &ask)?;
    let stream = timeout(CONNECT, place.connect()).await.map_err(|_| HttpError::NotConnected)??;
    timeout(ask.within, exchange(stream, request)).await.map_err(|_| HttpError::Late)?
}

/// Where a request goes.
struct Place {
    host: String,
    port: u16,
    tls: bool,
}

impl Place {
    fn of(uri: &Uri) -> Result<Self, HttpError> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(HttpError::Address),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or(HttpError::Address)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, HttpError> {
        let address = (self.host.as_str(), self.port);
        let tcp = TcpStream::connect(address).await.map_err(|_| HttpError::NotConnected)?;
        if !self.tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|_| HttpError::Address)?;
        let tls = TlsConnector::from(Arc::clone(&TLS)).connect(name, tcp).await;
        Ok(Box::new(tls.map_err(|_| HttpError::Handshake)?))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The roots that browsers trust.
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
});

fn request(uri: &Uri, place: &Place, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, HttpError> {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let host = uri.authority().map_or(place.host.as_str(), |a| a.as_str());
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("baton/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(ask.body.clone()))).map_err(|_| HttpError::Address)
}

async fn exchange(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
    let broken = |_| HttpError::Broken;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => HttpError::TooLong,
            false => HttpError::Broken,
        })?;
        Ok(Answer { status, body: body.to_bytes(), retry_after })
    };
    // The connection moves only while it is polled; it ends with the answer, or breaks.
    let mut driven = std::pin::pin!(connection);
    let mut talk = std::pin::pin!(talk);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut talk => return answer,
            _ = &mut driven, if open => open = false,
        }
    }
}
