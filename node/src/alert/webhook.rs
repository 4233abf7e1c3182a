//! A webhook: each change of a notice as JSON, signed where there is a secret.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::due::{Due, lasting};
use super::http::{Ask, ask};
use super::sink::Outcome;
use super::words::{Words, words};

/// Bound on one call.
const WITHIN: Duration = Duration::from_secs(10);
/// `sha256=` and the HMAC of the body, as GitHub and many others do it.
const SIGNATURE: &str = "x-baton-signature-256";

/// One webhook. The URL is kept as a secret: with many services it is one.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) url: SecretString,
    pub(super) secret: Option<SecretString>,
}

impl Webhook {
    pub(super) async fn tell(&self, cluster: &str, due: &Due) -> Outcome {
        let body = payload(cluster, due).to_string().into_bytes();
        let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(signature) = self.secret.as_ref().and_then(|secret| sign(secret, &body)) {
            headers.push((HeaderName::from_static(SIGNATURE), signature));
        }
        let request =
            Ask { method: Method::POST, url: self.url.expose_secret(), headers, body, within: WITHIN };
        match ask(request).await {
            Ok(answer) if answer.status.is_success() => Outcome::Told(None),
            Ok(answer) if answer.status.is_server_error() || [408, 429].contains(&answer.status.as_u16()) => {
                let after = answer.retry_after.map(Duration::from_secs);
                Outcome::Later { why: format!("HTTP {}", answer.status.as_u16()), after, unsure: false }
            }
            Ok(answer) => Outcome::Refused(format!("HTTP {}", answer.status.as_u16())),
            Err(error) => {
                Outcome::Later { why: error.to_string(), after: None, unsure: error.may_have_arrived() }
            }
        }
    }
}

fn sign(secret: &SecretString, body: &[u8]) -> Option<HeaderValue> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("sha256={hex}")).ok()
}

/// What programs are told, as docs/alerts.md describes it.
pub(super) fn payload(cluster: &str, due: &Due) -> Value {
    let Words { title, facts, .. } = words(cluster, &due.notice);
    json!({
        "cluster": cluster,
        "id": due.notice.id,
        "revision": due.notice.revision,
        "severity": due.notice.severity.as_str(),
        "about": due.notice.about(),
        "state": if lasting(&due.notice) > 0 { "firing" } else { "over" },
        "title": title,
        "facts": facts,
        "since_ms": due.notice.since_ms,
        "changed_ms": due.notice.changed_ms,
        "repeat": due.repeat,
        "dropped": due.dropped,
    })
}
