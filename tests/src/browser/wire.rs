//! The W3C WebDriver protocol: JSON over HTTP, a connection for each command.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sandbox::{Host, within};

/// Longer than a browser takes for anything that it is asked here, on a machine that does other things too.
const ANSWER: Duration = Duration::from_secs(30);

/// Where a driver listens, on which host.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) host: Host,
    pub(super) address: SocketAddr,
}

impl Wire {
    /// Sends one command; its `value`.
    ///
    /// # Errors
    /// What the driver says went wrong, or that it does not answer.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (address, what) = (self.address, format!("{method} {path}"));
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asking = self.host.run(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            loop {
                if let Some(body) = arrived(&answer)? {
                    return Ok(body.to_vec());
                }
                ensure!(stream.read_buf(&mut answer).await? > 0, "the connection ended in the middle");
            }
        });
        let body = within(&what, ANSWER, asking).await?;
        let body = String::from_utf8_lossy(&body);
        let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("{what}: {body}"))?;
        let value = answer["value"].take();
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            bail!("{what}: {error}: {}", value["message"].as_str().unwrap_or_default());
        }
        Ok(value)
    }
}

/// The body of an answer, once it is there as a whole. The driver waits for the other end to close, whatever it says of that.
fn arrived(answer: &[u8]) -> Result<Option<&[u8]>> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let Some(end) = answer.windows(BLANK.len()).position(|bytes| bytes == BLANK) else { return Ok(None) };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + BLANK.len()..]);
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
    };
    let length: usize = head.lines().find_map(named).context("an answer without its length")?.parse()?;
    Ok(body.get(..length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_ends_with_its_length() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length:14\r\nConnection:close\r\n\r\n{\"value\":null}";
        assert_eq!(arrived(whole).unwrap().unwrap(), b"{\"value\":null}");
        for end in 0..whole.len() {
            assert_eq!(arrived(&whole[..end]).unwrap(), None, "{end}");
        }
        assert!(arrived(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
