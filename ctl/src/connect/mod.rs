//! Reaching the cluster: every node can answer, so the first that does is the one that is asked.

mod identity;
mod race;
mod trouble;
mod verdict;

use std::path::Path;
use std::time::Duration;

use baton_proto::control::StatusRequest;
use baton_proto::control::control_client::ControlClient;
use baton_proto::names::any_node;
use rustls::pki_types::UnixTime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

pub use trouble::Trouble;

use crate::error::Error;
use crate::settings::{CHANGE_TIMEOUT, QUESTION_TIMEOUT, Settings};
use race::Attempt;

/// The generated client over one connection.
pub type Client = ControlClient<Channel>;

/// The cluster as a client sees it: a list of doors and the identity to show at each.
#[derive(Debug, Clone)]
pub struct Group {
    doors: Vec<(String, Endpoint)>,
    timeout: Option<Duration>,
}

impl Group {
    /// Reads the certificates and prepares a connection to each node. Connects to none.
    ///
    /// # Errors
    /// A file that cannot be read or is not what it should be.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let ca = read("CA certificate", &settings.ca)?;
        let cert = read("client certificate", &settings.cert)?;
        let key = read("client key", &settings.key)?;
        identity::check(settings, &ca, &cert, UnixTime::now())?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(cert, key))
            // In the certificate of every node of the cluster, whatever its address.
            .domain_name(any_node(&settings.cluster));
        let bound = settings.timeout.unwrap_or(QUESTION_TIMEOUT);
        let door = |node: &String| {
            let endpoint = Endpoint::from_shared(format!("https://{node}"))
                .map_err(|_| Error::usage(format!("\"{node}\" is not a node's address"), "write HOST:PORT"))?
                .connect_timeout(bound)
                .tls_config(tls.clone())
                .map_err(|error| Error::Certificate {
                    path: settings.key.clone(),
                    what: format!("the key cannot be used: {}", innermost(&error)),
                    mend: "pass the key that `batonctl certs` made with the certificate (--cert, --key)",
                })?;
            Ok((node.clone(), endpoint))
        };
        Ok(Self {
            doors: settings.nodes.iter().map(door).collect::<Result<_, Error>>()?,
            timeout: settings.timeout,
        })
    }

    /// Asks a question. It changes nothing, so it may be put to several nodes; the first answer counts.
    ///
    /// # Errors
    /// No node answers within `--timeout` (5 s by default), or one refuses.
    pub async fn ask<T, F, Fut>(&self, question: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(Client) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<T>, Status>> + Send,
    {
        let bound = self.timeout.unwrap_or(QUESTION_TIMEOUT);
        let attempt = move |_: String, endpoint: Endpoint| {
            let question = question.clone();
            async move {
                let client = open(&endpoint).await?;
                question(client).await.map(Response::into_inner).map_err(verdict::judge)
            }
        };
        race::first(&self.doors, bound, attempt).await
    }

    /// Asks for a change: of the first node that answers and knows a leader, and once, because a repetition could
    /// be a second change.
    ///
    /// # Errors
    /// As [`Group::ask`]; [`Error::Unconfirmed`] when the answer did not come (60 s by default).
    pub async fn change<T, F, Fut>(&self, request: F) -> Result<T, Error>
    where
        F: FnOnce(Client) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let able = |node: String, endpoint: Endpoint| async move {
            let mut client = open(&endpoint).await?;
            let status = client.status(StatusRequest {}).await.map_err(verdict::judge)?;
            if status.get_ref().leader.is_empty() {
                return Err(Attempt::Next(Trouble::NotReady("it knows no leader".into())));
            }
            Ok((node, client))
        };
        let bound = self.timeout.unwrap_or(QUESTION_TIMEOUT);
        let (node, client) = race::first(&self.doors, bound, able).await?;
        let bound = self.timeout.unwrap_or(CHANGE_TIMEOUT);
        match tokio::time::timeout(bound, request(client)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(verdict::of_change(node, status)),
            Err(_) => {
                let what = format!("no answer within {}", humantime::format_duration(bound));
                Err(Error::Unconfirmed { node, what })
            }
        }
    }
}

async fn open(endpoint: &Endpoint) -> Result<Client, Attempt> {
    let channel = endpoint.connect().await.map_err(|error| Attempt::Next(Trouble::of(&error)))?;
    Ok(ControlClient::new(channel))
}

fn read(purpose: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let mend = "make it with `batonctl certs`, or name it with --ca, --cert and --key or in batonctl.toml";
    std::fs::read(path).map_err(|source| Error::File { purpose, path: path.to_owned(), source, mend })
}

/// The words of the innermost error, which name the cause; the outer ones only say "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}
