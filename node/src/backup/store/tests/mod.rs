//! Both kinds of stores, asked the same questions; and a bucket that fails now and then.

#![allow(clippy::unwrap_used)]

mod double;

use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::backup::pipeline::{Identity, Limits, Recipients, StreamReader, StreamWriter};
use double::{Double, Fault};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        Store::Files(FileStore::new("disk", &self.0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Reads all of it.
async fn content(store: &Store, key: &str) -> Result<Vec<u8>, StoreError> {
    store.read(key, 32 << 20).await
}

/// `part_bytes`: as small as it takes them.
async fn what_a_store_does(store: &Store, part_bytes: usize) {
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.size("a/none").await.unwrap(), None);
    assert!(content(store, "a/none").await.unwrap_err().is_missing());

    store.put("a/small", Bytes::from_static(b"one")).await.unwrap();
    store.put("a/small", Bytes::from_static(b"three")).await.unwrap();
    store.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(content(store, "a/small").await.unwrap(), b"three");
    assert_eq!(content(store, "a/empty").await.unwrap(), b"");
    assert!(store.read("a/small", 4).await.unwrap_err().to_string().contains("more than 4 bytes"));

    let upload = store.begin("a/large", part_bytes).await.unwrap();
    let parts = [vec![b'a'; part_bytes], vec![b'b'; part_bytes], b"c".to_vec()];
    let (whole, mut tags) = (parts.concat(), Vec::new());
    for (number, data) in (0..).zip(parts) {
        tags.push(store.part(&upload, number, data.into()).await.unwrap());
    }
    assert_eq!(store.size("a/large").await.unwrap(), None, "not before it is whole");
    assert_eq!(store.list("a/").await.unwrap().len(), 2);
    let bytes = whole.len() as u64;
    store.complete(&upload, &tags, bytes).await.unwrap();
    store.complete(&upload, &tags, bytes).await.unwrap();
    assert!(content(store, "a/large").await.unwrap() == whole);

    let given_up = store.begin("a/given-up", 3).await.unwrap();
    store.part(&given_up, 0, "abc".into()).await.unwrap();
    store.abort(&given_up).await.unwrap();
    store.abort(&given_up).await.unwrap();
    for key in ["a/left", "b/left"] {
        let left = store.begin(key, 3).await.unwrap();
        store.part(&left, 0, "abc".into()).await.unwrap();
    }
    assert_eq!(store.abort_all("a/").await.unwrap(), 1);
    assert_eq!(store.abort_all("").await.unwrap(), 1);
    assert_eq!(store.abort_all("").await.unwrap(), 0);

    store.put("b/x", "x".into()).await.unwrap();
    let names = |items: Vec<Item>| items.into_iter().map(|i| (i.key, i.bytes)).collect::<Vec<_>>();
    let all =
        [("a/empty", 0), ("a/large", bytes), ("a/small", 5), ("b/x", 1)].map(|(k, n)| (k.to_owned(), n));
    assert_eq!(names(store.list("").await.unwrap()), all);
    assert_eq!(names(store.list("b/").await.unwrap()), [("b/x".to_owned(), 1)]);
    assert_eq!(names(store.list("a/la").await.unwrap()), [("a/large".to_owned(), bytes)]);
    assert_eq!(names(store.list("none/").await.unwrap()), []);
    for key in ["c/1/x", "c/2/x", "c/2/y", "c/3/deeper/x"] {
        store.put(key, "x".into()).await.unwrap();
    }
    assert_eq!(store.folders("c/").await.unwrap(), ["1", "2", "3"]);
    assert_eq!(store.folders("").await.unwrap(), ["a", "b", "c"]);
    assert_eq!(store.folders("none/").await.unwrap(), [""; 0]);
    store.delete("b/x").await.unwrap();
    store.delete("b/x").await.unwrap();
    assert_eq!(store.list("b/").await.unwrap(), []);
    let error = store.put("../out", Bytes::new()).await.unwrap_err().to_string();
    assert!(error.ends_with("\"../out\" is no name for an object"), "{error}");
}

#[tokio::test]
async fn a_folder_is_a_store() {
    let folder = Folder::new("files");
    what_a_store_does(&folder.store(), 3).await;
    let gone = Store::Files(FileStore::new("disk", &folder.0.join("not-mounted")));
    let error = gone.put("a", Bytes::new()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("store disk: a: ") && error.ends_with("is no folder; make it, or mount it"),
        "{error}"
    );
}

/// A year of binlog beside them is in nobody's way.
#[tokio::test]
async fn a_look_reads_what_it_asks_for_and_nothing_beside() {
    let folder = Folder::new("beside");
    let store = Store::Files(FileStore::new("disk", &folder.0).with_items_max(3));
    for number in 0..4 {
        store.put(&format!("shop/binlog/{number}"), "x".into()).await.unwrap();
    }
    store.put("shop/backups/a/manifest.json", "x".into()).await.unwrap();
    assert_eq!(store.list("shop/backups/").await.unwrap().len(), 1);
    assert_eq!(store.abort_all("shop/backups/a/").await.unwrap(), 0);
    assert_eq!(store.folders("shop/").await.unwrap(), ["backups", "binlog"]);
    assert!(store.list("shop/binlog/").await.unwrap_err().to_string().contains("more files than anybody"));
}

#[tokio::test]
async fn a_bucket_is_a_store() {
    let double = Double::start().await;
    what_a_store_does(&double.store(""), 3).await;
    let double = Double::start().await;
    what_a_store_does(&double.store("below/this"), 3).await;
    assert!(double.keys().iter().all(|key| key.starts_with("below/this/")));
}

/// Also one that is not of our making, where `BATON_TEST_S3` names it: `endpoint region bucket id secret`, of a bucket that is
/// there for tests.
#[tokio::test]
async fn a_real_bucket_is_a_store() {
    let Ok(named) = std::env::var("BATON_TEST_S3") else { return };
    let mut words = named.split(' ').map(ToOwned::to_owned);
    let mut word = || words.next().unwrap();
    let options = S3Options {
        endpoint: word(),
        region: word(),
        bucket: word(),
        access_key: word(),
        secret_key: word().into(),
        prefix: format!("baton-{}", std::process::id()),
        ca: None,
    };
    let store = Store::S3(S3Store::new("real", options.clone()).unwrap());
    what_a_store_does(&store, 5 << 20).await;
    for item in store.list("").await.unwrap() {
        store.delete(&item.key).await.unwrap();
    }
    let options = S3Options { secret_key: "wrong".to_owned().into(), ..options };
    let wrong = Store::S3(S3Store::new("real", options).unwrap());
    let error = wrong.put("a", Bytes::new()).await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_moment_is_tried_again() {
    let double = Double::start().await;
    let store = double.store("");
    for _ in 0..3 {
        double.next(Fault::Busy);
    }
    store.put("a", "data".into()).await.unwrap();
    double.next(Fault::Hangup);
    assert_eq!(content(&store, "a").await.unwrap(), b"data");
    double.next(Fault::CutBody);
    assert_eq!(content(&store, "a").await.unwrap(), b"data", "the rest was asked for");
    double.next(Fault::Denied);
    let error = store.put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "store bucket: a: 403 AccessDenied not you");
    for _ in 0..8 {
        double.next(Fault::Busy);
    }
    let error = store.put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "store bucket: a: 503 SlowDown later");
    store.put("a", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_success_that_hides_an_error_is_none() {
    let double = Double::start().await;
    let store = double.store("");
    let upload = store.begin("a", 3).await.unwrap();
    let tag = store.part(&upload, 0, "abc".into()).await.unwrap();
    // One part was forgotten: the store takes the object, but it is not what was sent.
    let error = store.complete(&upload, &[tag], 6).await.unwrap_err().to_string();
    assert_eq!(error, "store bucket: a: it has 3 bytes there and should have 6 bytes");
}

const PART: usize = 20_000;

/// What goes in, packed and encrypted, through an uploader, comes out again.
async fn there_and_back(store: Store, cut_short: bool) -> Result<Vec<u8>, String> {
    let key = Identity::generate().unwrap();
    let recipients = Recipients::new([key.recipient()], []).unwrap();
    let mut noise = vec![0; 400_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let (queue, parts) = channel();
    let writing = tokio::task::spawn_blocking(move || {
        let limits = Limits { object_bytes: 100_000, part_bytes: PART };
        let mut writer = StreamWriter::zstd(queue, "b", recipients, limits, 1, 0)?;
        writer.write_all(&noise)?;
        for piece in noise.chunks(10_000) {
            writer.write_all(piece)?;
        }
        if cut_short {
            Err(std::io::Error::other("the engine has died"))
        } else {
            writer.end().map(|(_, s)| s)
        }
    });
    let uploaded = Uploader::new(store.clone(), "b/data.", PART, 3).run(parts).await;
    let summary = writing.await.unwrap().map_err(|e| e.to_string())?;
    let objects = uploaded.map_err(|e| e.to_string())?.unwrap();
    assert_eq!(objects as usize, summary.objects.len());
    assert!(objects > 2);
    let runtime = tokio::runtime::Handle::current();
    let read = tokio::task::spawn_blocking(move || {
        let keys = (0..objects).map(|n| Uploader::key("b/data.", n)).collect();
        let objects = StoredObjects::new(store, keys, runtime);
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut StreamReader::new(objects, "b", summary, vec![key], ""), &mut data)
            .map(|_| data)
            .map_err(|e| e.to_string())
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_stream_goes_there_and_back() {
    let folder = Folder::new("stream");
    assert_eq!(there_and_back(folder.store(), false).await.unwrap().len(), 800_000);
    let double = Double::start().await;
    double.next_of_parts(Fault::Busy);
    assert_eq!(there_and_back(double.store("p"), false).await.unwrap().len(), 800_000);
    assert_eq!(double.uploads(), 0);
}

#[tokio::test]
async fn what_was_not_ended_leaves_no_upload() {
    let double = Double::start().await;
    let error = there_and_back(double.store(""), true).await.unwrap_err();
    assert_eq!(error, "the engine has died");
    assert_eq!(double.uploads(), 0, "taken back");
    let double = Double::start().await;
    double.next_of_parts(Fault::Denied);
    let error = there_and_back(double.store(""), false).await.unwrap_err();
    assert_eq!(error, "the upload has ended");
    assert_eq!(double.uploads(), 0, "taken back");
}
