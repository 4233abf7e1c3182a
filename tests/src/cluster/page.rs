//! What the nodes say over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Cluster, HTTP_PORT};
use crate::sandbox::{Host, within};

const ANSWER: Duration = Duration::from_secs(5);

impl Cluster {
    /// Status and body of a node's page, asked for on the client's host.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn page(&self, node: &str, path: &str) -> Result<(u16, String)> {
        self.page_seen_from(self.sandbox().client(), node, path).await
    }

    /// The same, asked for on another host.
    ///
    /// # Errors
    /// As [`Cluster::page`].
    pub async fn page_seen_from(&self, on: &Host, node: &str, path: &str) -> Result<(u16, String)> {
        let address = SocketAddr::from((self.host(node)?.address(), HTTP_PORT));
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let asking = on.run(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        });
        let answer = within("an answer over HTTP", ANSWER, asking).await?;
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((code, body))
    }
}
