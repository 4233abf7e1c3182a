//! A bucket in memory that speaks as much of S3 as is used, a page of two objects at a time, and fails when told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::backup::store::{S3Options, S3Store, Store};

/// What becomes of the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Busy,
    Denied,
    /// No answer.
    Hangup,
    /// The answer breaks off in the middle.
    CutBody,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    next_id: u32,
    faults: VecDeque<Fault>,
    part_faults: VecDeque<Fault>,
}

pub(super) struct Double {
    address: String,
    bucket: Arc<Mutex<Bucket>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Double {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Arc::<Mutex<Bucket>>::default();
        let app = Router::new().fallback(answer).with_state(bucket.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, bucket, server }
    }

    pub(super) fn store(&self, prefix: &str) -> Store {
        let options = S3Options {
            endpoint: self.address.clone(),
            bucket: "bucket".into(),
            region: "here".into(),
            prefix: prefix.into(),
            access_key: "id".into(),
            secret_key: "secret".to_owned().into(),
            ca: None,
        };
        Store::S3(S3Store::new("bucket", options).unwrap())
    }

    fn locked(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap()
    }

    pub(super) fn next(&self, fault: Fault) {
        self.locked().faults.push_back(fault);
    }

    pub(super) fn next_of_parts(&self, fault: Fault) {
        self.locked().part_faults.push_back(fault);
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.locked().objects.keys().cloned().collect()
    }

    pub(super) fn uploads(&self) -> usize {
        self.locked().uploads.len()
    }
}

async fn answer(State(bucket): State<Arc<Mutex<Bucket>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 30).await.unwrap();
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.replace("%2F", "/")))
        .collect();
    let key = head.uri.path().trim_start_matches("/bucket").trim_start_matches('/').to_owned();
    let signed = head.headers.get("authorization").unwrap().to_str().unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=id/") && !signed.contains("secret"));
    let range = head.headers.get("range").map(|r| r.to_str().unwrap().to_owned());
    let mut bucket = bucket.lock().unwrap();
    let of_part = query.contains_key("partNumber").then(|| bucket.part_faults.pop_front()).flatten();
    let fault = of_part.or_else(|| bucket.faults.pop_front());
    match fault {
        Some(Fault::Busy) => return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "later"),
        Some(Fault::Denied) => return error(StatusCode::FORBIDDEN, "AccessDenied", "not you"),
        Some(Fault::Hangup) => return cut("", 4),
        Some(Fault::CutBody) | None => {}
    }
    let is_cut = fault == Some(Fault::CutBody);
    bucket.answer(&head.method, &key, &query, &body, range, is_cut)
}

impl Bucket {
    fn answer(
        &mut self,
        method: &Method,
        key: &str,
        query: &BTreeMap<String, String>,
        body: &[u8],
        range: Option<String>,
        is_cut: bool,
    ) -> Response {
        let id = query.get("uploadId").cloned().unwrap_or_default();
        match (method.as_str(), key) {
            ("GET", "") if query.contains_key("uploads") => self.list_uploads(query),
            ("GET", "") => self.list(query),
            ("POST", _) if query.contains_key("uploads") => {
                self.next_id += 1;
                let id = format!("upload/{}", self.next_id);
                self.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
                format!("<R><UploadId>{id}</UploadId></R>").into_response()
            }
            ("PUT", _) if !id.is_empty() => {
                let number: u32 = query.get("partNumber").unwrap().parse().unwrap();
                let Some((_, parts)) = self.uploads.get_mut(&id) else { return no_upload() };
                parts.insert(number, body.to_vec());
                ([("etag", format!("\"{number}\""))], "").into_response()
            }
            ("POST", _) => {
                let Some((key, parts)) = self.uploads.remove(&id) else { return no_upload() };
                let named = |number: &u32| {
                    String::from_utf8_lossy(body).contains(&format!("<PartNumber>{number}</PartNumber>"))
                };
                let whole =
                    parts.iter().filter(|(n, _)| named(n)).flat_map(|(_, data)| data.clone()).collect();
                self.objects.insert(key, whole);
                "<Done></Done>".into_response()
            }
            ("DELETE", _) if !id.is_empty() => match self.uploads.remove(&id) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => no_upload(),
            },
            ("DELETE", _) => {
                self.objects.remove(key);
                StatusCode::NO_CONTENT.into_response()
            }
            ("PUT", _) => {
                self.objects.insert(key.to_owned(), body.to_vec());
                "".into_response()
            }
            _ => self.get(key, range, is_cut),
        }
    }

    fn get(&self, key: &str, range: Option<String>, is_cut: bool) -> Response {
        let Some(data) = self.objects.get(key) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey", "no");
        };
        let Some(range) = range else {
            let half = String::from_utf8_lossy(data.get(..data.len() / 2).unwrap()).into_owned();
            return if is_cut { cut(&half, data.len()) } else { data.clone().into_response() };
        };
        let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        (StatusCode::PARTIAL_CONTENT, data.get(from..).unwrap().to_vec()).into_response()
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let (prefix, after) = (query.get("prefix").unwrap(), query.get("continuation-token"));
        let is_in_folders = query.get("delimiter").is_some_and(|delimiter| delimiter == "/");
        // A key, or the folder that stands for all keys in it.
        let shown = |key: &String| match key.strip_prefix(prefix.as_str())?.split_once('/') {
            Some((folder, _)) if is_in_folders => Some(format!("{prefix}{folder}/")),
            _ => Some(key.clone()),
        };
        let all: BTreeSet<String> = self.objects.keys().filter_map(shown).collect();
        let left: Vec<_> = all.iter().filter(|shown| after.is_none_or(|after| *shown > after)).collect();
        let page: Vec<_> = left.iter().take(2).collect();
        let items: String = page
            .iter()
            .map(|shown| match self.objects.get(**shown) {
                Some(data) => {
                    format!("<Contents><Key>{shown}</Key><Size>{}</Size></Contents>", data.len())
                }
                None => format!("<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"),
            })
            .collect();
        let more = match page.last() {
            Some(last) if left.len() > page.len() => {
                format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
                )
            }
            _ => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        format!("<ListBucketResult><Prefix>{prefix}</Prefix>{items}{more}</ListBucketResult>").into_response()
    }

    fn list_uploads(&self, query: &BTreeMap<String, String>) -> Response {
        let prefix = query.get("prefix").unwrap();
        let uploads: String = self
            .uploads
            .iter()
            .filter(|(_, (key, _))| key.starts_with(prefix))
            .map(|(id, (key, _))| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"))
            .collect();
        format!("<R>{uploads}</R>").into_response()
    }
}

fn no_upload() -> Response {
    error(StatusCode::NOT_FOUND, "NoSuchUpload", "no")
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")).into_response()
}

/// Says that `length` bytes come, sends `data`, and breaks off.
fn cut(data: &str, length: usize) -> Response {
    let pieces = [Ok(data.to_owned()), Err(std::io::Error::other("broken off"))];
    let response = Response::builder().header("content-length", length);
    response.body(Body::from_stream(stream::iter(pieces))).unwrap()
}
