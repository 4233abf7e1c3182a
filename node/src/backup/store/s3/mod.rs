//! A bucket, as every store that speaks S3 understands it: path-style addresses, requests signed in their headers, no
//! conditional writes and no checksum headers, which some refuse (Backblaze B2), and parts of one size (Cloudflare R2).
//!
//! Written for this, and not taken from opendal: what a backup needs are nine requests, and opendal would bring some 40 crates,
//! a second HTTP client among them.

mod http;
mod sign;
mod xml;

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::error::StoreError;
use super::key::check_key;
use super::{Item, PartTag, Upload};
pub(super) use http::Answer;
use http::Endpoint;
use sign::{Signed, Signer, UNSIGNED};

/// More objects than anybody keeps below one prefix; they are read a thousand at a time.
const ITEMS_MAX: usize = 1_000_000;

/// Where a bucket is, and who may use it.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// `https://s3.eu-central-003.backblazeb2.com`: without the bucket.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// As the store names it; most that are not AWS take any.
    pub region: String,
    /// Before every key, without a slash at its end; empty for none.
    pub prefix: String,
    /// The key's id.
    pub access_key: String,
    /// The key.
    pub secret_key: SecretString,
    /// Authorities in place of those that the world trusts.
    pub ca: Option<PathBuf>,
}

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    name: String,
    options: S3Options,
    endpoint: Endpoint,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({}, {}/{})", self.name, self.options.endpoint, self.options.bucket)
    }
}

/// A request, but for what every one has.
struct Ask<'a> {
    method: &'static str,
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Bytes,
    range: Option<String>,
}

impl<'a> Ask<'a> {
    fn of(method: &'static str, key: &'a str, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method, key, query, body: Bytes::new(), range: None }
    }

    fn with(self, body: Bytes) -> Self {
        Self { body, ..self }
    }
}

impl S3Store {
    /// The bucket, called `name` in messages. Nothing is asked of it yet.
    ///
    /// # Errors
    /// An option that cannot be, in words.
    pub fn new(name: &str, options: S3Options) -> Result<Self, String> {
        let endpoint = Endpoint::new(&options.endpoint, options.ca.as_deref())?;
        check_key(&options.bucket).map_err(|_| format!("\"{}\" is no name of a bucket", options.bucket))?;
        if !options.prefix.is_empty() {
            check_key(&options.prefix)?;
        }
        Ok(Self { name: name.to_owned(), options, endpoint })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        self.done(Ask::of("PUT", key, &[]).with(data)).await.map(drop)
    }

    pub(super) async fn begin(&self, key: &str) -> Result<String, StoreError> {
        let answer = self.done(Ask::of("POST", key, &[("uploads", "")])).await?;
        xml::text(&answer, "UploadId").ok_or_else(|| self.odd(key, "it gave no upload id"))
    }

    pub(super) async fn part(
        &self,
        upload: &Upload,
        number: u32,
        data: Bytes,
    ) -> Result<PartTag, StoreError> {
        let number = (number + 1).to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload.id.as_str())];
        let mut answer = self.ask(Ask::of("PUT", &upload.key, &query).with(data)).await?;
        self.check(&upload.key, &mut answer).await?;
        let tag = answer.header("etag").map(ToOwned::to_owned);
        tag.map(PartTag).ok_or_else(|| self.odd(&upload.key, "it gave a part no tag"))
    }

    pub(super) async fn complete(
        &self,
        upload: &Upload,
        tags: &[PartTag],
        bytes: u64,
    ) -> Result<(), StoreError> {
        let parts: String = (1..)
            .zip(tags)
            .map(|(number, tag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", xml::escape(&tag.0))
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let query = [("uploadId", upload.id.as_str())];
        match self.done(Ask::of("POST", &upload.key, &query).with(body.into())).await {
            // The first try may have been completed and its answer lost.
            Err(error) if error.is_missing() && self.size(&upload.key).await? == bytes => Ok(()),
            done => done.map(drop),
        }
    }

    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let query = [("uploadId", upload.id.as_str())];
        found(self.done(Ask::of("DELETE", &upload.key, &query)).await)
    }

    pub(super) async fn unfinished(&self, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        // One page: whoever takes a thousand back can ask again.
        let whole = self.full(prefix);
        let answer = self.done(Ask::of("GET", "", &[("uploads", ""), ("prefix", &whole)])).await?;
        let uploads = xml::elements(&answer, "Upload").into_iter().filter_map(|upload| {
            let key = self.own(&xml::text(upload, "Key")?)?;
            Some(Upload { key, id: xml::text(upload, "UploadId")?, part_bytes: 0 })
        });
        Ok(uploads.collect())
    }

    pub(super) async fn size(&self, key: &str) -> Result<u64, StoreError> {
        let mut answer = self.ask(Ask::of("HEAD", key, &[])).await?;
        self.check(key, &mut answer).await?;
        let length = answer.header("content-length").and_then(|l| l.parse().ok());
        length.ok_or_else(|| self.odd(key, "it did not say how long it is"))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Item>, StoreError> {
        let whole = self.full(prefix);
        let item = |item: &str| {
            let key = self.own(&xml::text(item, "Key")?)?;
            Some(Item { key, bytes: xml::text(item, "Size")?.parse().ok()? })
        };
        let mut items = self.pages(prefix, &[("prefix", &whole)], "Contents", item).await?;
        items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(items)
    }

    /// The folders right below `prefix`, which is empty or ends with a slash, by name.
    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let whole = self.full(prefix);
        let folder = |common: &str| {
            let path = self.own(&xml::text(common, "Prefix")?)?;
            let name = path.strip_prefix(prefix)?.strip_suffix('/')?;
            check_key(name).is_ok().then(|| name.to_owned())
        };
        let query = [("delimiter", "/"), ("prefix", whole.as_str())];
        let mut folders = self.pages(prefix, &query, "CommonPrefixes", folder).await?;
        folders.sort();
        Ok(folders)
    }

    /// All pages of a listing: what `read` makes of each `element`.
    async fn pages<T>(
        &self,
        prefix: &str,
        query: &[(&str, &str)],
        element: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let mut query = [&[("list-type", "2")], query].concat();
            if !after.is_empty() {
                query.push(("continuation-token", &after));
            }
            let answer = self.done(Ask::of("GET", "", &query)).await?;
            found.extend(xml::elements(&answer, element).into_iter().filter_map(&read));
            if found.len() > ITEMS_MAX {
                return Err(self.odd(prefix, "there are more objects than anybody keeps"));
            }
            let is_more = xml::text(&answer, "IsTruncated").as_deref() == Some("true");
            match xml::text(&answer, "NextContinuationToken").filter(|token| is_more && *token != after) {
                Some(token) => after = token,
                None if is_more => return Err(self.odd(prefix, "its list does not go on")),
                None => return Ok(found),
            }
        }
    }

    /// From `at` on, and the size of the whole.
    pub(super) async fn read(&self, key: &str, at: u64) -> Result<(Answer, u64), StoreError> {
        let range = (at > 0).then(|| format!("bytes={at}-"));
        let mut answer = self.ask(Ask { range, ..Ask::of("GET", key, &[]) }).await?;
        self.check(key, &mut answer).await?;
        if at > 0 && answer.status() != 206 {
            return Err(self.odd(key, "it does not read from the middle on"));
        }
        let length = answer.header("content-length").and_then(|l| l.parse::<u64>().ok());
        let length = length.ok_or_else(|| self.odd(key, "it did not say how long it is"))?;
        Ok((answer, at + length))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        found(self.done(Ask::of("DELETE", key, &[])).await)
    }

    /// Asks, and reads the answer as text. A success may hide an error in its text.
    async fn done(&self, ask: Ask<'_>) -> Result<String, StoreError> {
        let key = ask.key;
        let mut answer = self.ask(ask).await?;
        self.check(key, &mut answer).await?;
        let text = answer.text().await.map_err(|e| StoreError::transient(&self.name, key, e))?;
        match text.contains("<Error>") {
            true => Err(self.refused(key, 500, &text)),
            false => Ok(text),
        }
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<Answer, StoreError> {
        let path = self.path(ask.key)?;
        let query = sign::query(ask.query);
        let host = self.endpoint.authority();
        // Where TLS does not, the signature keeps the content as it is.
        let content = if self.endpoint.is_tls() { UNSIGNED.to_owned() } else { sign::sha256(&ask.body) };
        let now = Timestamp::now();
        let signed =
            Signed { method: ask.method, path: &path, query: &query, host: &host, content: &content, now };
        let signer = Signer {
            access_key: &self.options.access_key,
            secret_key: self.options.secret_key.expose_secret(),
            region: &self.options.region,
        };
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(target)
            .header("host", &host)
            .header("x-amz-date", sign::date(now))
            .header("x-amz-content-sha256", &content)
            .header("authorization", signer.authorization(&signed))
            .header("connection", "close");
        if let Some(range) = ask.range {
            request = request.header("range", range);
        }
        let request = request.body(Full::new(ask.body)).map_err(|e| self.odd(ask.key, &e.to_string()))?;
        self.endpoint.send(request).await.map_err(|e| StoreError::transient(&self.name, ask.key, e))
    }

    /// Encoded. An empty key is the bucket itself.
    fn path(&self, key: &str) -> Result<String, StoreError> {
        if key.is_empty() {
            return Ok(format!("/{}", self.options.bucket));
        }
        check_key(key).map_err(|why| StoreError::wrong(&self.name, key, why))?;
        Ok(sign::encode(&format!("/{}/{}", self.options.bucket, self.full(key)), true))
    }

    fn full(&self, key: &str) -> String {
        match self.options.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    fn own(&self, full: &str) -> Option<String> {
        match self.options.prefix.as_str() {
            "" => Some(full.to_owned()),
            prefix => full.strip_prefix(prefix)?.strip_prefix('/').map(ToOwned::to_owned),
        }
    }

    async fn check(&self, key: &str, answer: &mut Answer) -> Result<(), StoreError> {
        let status = answer.status();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        Err(self.refused(key, status, &text))
    }

    fn refused(&self, key: &str, status: u16, text: &str) -> StoreError {
        let code = xml::text(text, "Code").unwrap_or_default();
        let message = xml::text(text, "Message").unwrap_or_default();
        let said: String =
            format!("{status} {code} {message}").chars().filter(|c| !c.is_control()).take(300).collect();
        let is_busy = status >= 500 && status != 501;
        match status {
            404 if code == "NoSuchBucket" => {
                let bucket = &self.options.bucket;
                StoreError::wrong(
                    &self.name,
                    key,
                    format!("there is no bucket {bucket}; make it, or correct its name"),
                )
            }
            404 => StoreError::missing(&self.name, key),
            408 | 429 => StoreError::transient(&self.name, key, said.trim()),
            _ if is_busy || matches!(code.as_str(), "RequestTimeout" | "SlowDown") => {
                StoreError::transient(&self.name, key, said.trim())
            }
            _ => StoreError::wrong(&self.name, key, said.trim()),
        }
    }

    fn odd(&self, key: &str, why: &str) -> StoreError {
        StoreError::wrong(&self.name, key, why)
    }
}

/// What is not there is removed.
fn found(done: Result<String, StoreError>) -> Result<(), StoreError> {
    match done {
        Err(error) if !error.is_missing() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
