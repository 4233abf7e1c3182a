//! Whole backups of programs that do what programs do, into folders.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use tokio::runtime::Handle;

use super::*;
use crate::backup::engine::{Engine, Extent};
use crate::backup::lineage::Lineage;
use crate::backup::manifest::{About, Server};
use crate::backup::open;
use crate::backup::pipeline::{Identity, Recipients};
use crate::backup::store::Store;
use crate::gtid::Dialect;

const BACKUP: &str = "20260101T000000Z-db2";

struct Bench {
    folder: PathBuf,
    key: Identity,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("baton-run-{name}-{}", std::process::id()));
        for part in ["a", "b", "run"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        Self { folder, key: Identity::generate().unwrap() }
    }

    /// A backup of what a shell prints.
    fn spec(&self, script: &str) -> RunSpec {
        let server = Server {
            node: "db2".into(),
            dialect: Dialect::Mysql,
            version: "9.7.0".into(),
            uuid: None,
            lineage: Lineage { id: "lineage".into(), parent: None },
            data_bytes: 0,
        };
        let (backup, cluster) = (BACKUP.to_owned(), "shop".to_owned());
        RunSpec {
            about: About { backup, cluster, epoch: 3, job: Some("nightly".into()), server, began_ms: 1 },
            engine: Engine::Command {
                program: "/bin/sh".into(),
                arguments: vec!["-c".into(), script.into()],
                bytes_min: 100,
            },
            extent: Extent::Full,
            account: None,
            recipients: Recipients::new([self.key.recipient()], []).unwrap(),
            stores: vec![self.place("a", true), self.place("b", false)],
            run: self.folder.join("run"),
            level: 1,
            threads: 0,
            parts_at_once: 2,
            bytes_per_s: None,
            share_min_percent: 50,
            cleans: Vec::new(),
            object_bytes: Some(100_000),
        }
    }

    fn place(&self, name: &str, required: bool) -> StoreSpec {
        StoreSpec { name: name.into(), required, place: StorePlace::Files { path: self.folder.join(name) } }
    }

    fn store(&self, name: &str) -> Store {
        self.place(name, true).open().unwrap()
    }

    async fn has_nothing(&self) {
        for name in ["a", "b"] {
            let scan = open::scan(&self.store(name), "shop").await.unwrap();
            assert!(scan.backups.is_empty() && scan.unreadable.is_empty(), "{scan:?}");
            assert_eq!(self.store(name).abort_all("").await.unwrap(), 0, "an upload was left");
        }
        assert_eq!(fs::read_dir(self.folder.join("run")).unwrap().count(), 0, "a folder was left");
    }

    async fn fails(&self, script: &str) -> String {
        let error = run(&self.spec(script), |_| ()).await.unwrap_err();
        self.has_nothing().await;
        // Objects that were complete stay, and no id is used twice.
        for name in ["a", "b"] {
            drop(fs::remove_dir_all(self.folder.join(name).join("shop")));
        }
        error
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// 2 MB that hardly compress: an object takes at most its limit, one more piece and what the compressor holds.
const NOISE: &str = "head -c 2000000 /dev/urandom";

#[tokio::test]
async fn a_backup_is_in_every_store_and_comes_back() {
    let bench = Bench::new("whole");
    let kept = bench.folder.join("kept");
    let spec = bench.spec(&format!("{NOISE} | tee {}", kept.display()));
    let made = run(&spec, |_| ()).await.unwrap();
    assert_eq!(made.stores, ["a", "b"]);
    assert!(made.failed.is_empty());
    assert_eq!(made.manifest.stream.bytes, 2_000_000);
    assert!(made.manifest.stream.objects.len() > 2, "{:?}", made.manifest.stream.objects);
    for name in ["a", "b"] {
        let store = bench.store(name);
        let scan = open::scan(&store, "shop").await.unwrap();
        assert_eq!(scan.backups, std::slice::from_ref(&made.manifest));
        let key = bench.key.to_secret_text();
        let manifest = made.manifest.clone();
        let data = spawn_blocking(move || {
            open::verify(&store, &manifest, Handle::current(), |_| ()).map_err(|e| e.to_string())?;
            let keys = Identity::read_all(&key).map_err(|e| e.to_string())?;
            let mut data = Vec::new();
            let read = open::stream(&store, &manifest, keys, Handle::current()).read_to_end(&mut data);
            read.map(|_| data).map_err(|e| e.to_string())
        });
        assert!(data.await.unwrap().unwrap() == fs::read(&kept).unwrap());
    }
    let again = run(&spec, |_| ()).await.unwrap_err();
    assert_eq!(again, format!("store a: there is something under {BACKUP} already"));

    // One bit, and one object too few.
    let object = bench.folder.join("b").join(made.manifest.object_keys().get(1).unwrap());
    let mut data = fs::read(&object).unwrap();
    *data.get_mut(5000).unwrap() ^= 1;
    fs::write(&object, data).unwrap();
    let verified = |name: &str| {
        let (store, manifest) = (bench.store(name), made.manifest.clone());
        spawn_blocking(move || open::verify(&store, &manifest, Handle::current(), |_| ()))
    };
    assert!(verified("b").await.unwrap().unwrap_err().to_string().contains("object 1 has the checksum"));
    fs::remove_file(bench.folder.join("a").join(made.manifest.object_keys().last().unwrap())).unwrap();
    assert!(verified("a").await.unwrap().unwrap_err().to_string().contains("there is no such object"));
}

#[tokio::test]
async fn a_program_that_fails_makes_no_backup() {
    let bench = Bench::new("fails");
    let error = bench.fails(&format!("{NOISE}; echo 'ERROR: the disk is gone' >&2; exit 3")).await;
    assert_eq!(error, "command ended with exit status: 3: ERROR: the disk is gone");
    let error = bench.fails(&format!("{NOISE}; kill -9 $$")).await;
    assert!(error.starts_with("command ended with signal: 9"), "{error}");
    let error = bench.fails("head -c 99 /dev/zero").await;
    assert_eq!(error, "the program wrote 99 bytes, and fewer than 100 cannot be right");
    let missing = Engine::Command { program: "/nowhere/x".into(), arguments: vec![], bytes_min: 1 };
    let spec = RunSpec { engine: missing, ..bench.spec("") };
    let error = run(&spec, |_| ()).await.unwrap_err();
    assert!(error.starts_with("/nowhere/x cannot be started: "), "{error}");
    bench.has_nothing().await;
}

#[tokio::test]
async fn a_store_that_is_not_required_may_fail() {
    let bench = Bench::new("stores");
    fs::remove_dir(bench.folder.join("b")).unwrap();
    let made = run(&bench.spec(NOISE), |_| ()).await.unwrap();
    assert_eq!(made.stores, ["a"]);
    let [(store, why)] = made.failed.as_slice() else { panic!("{:?}", made.failed) };
    assert!(store == "b" && why.contains("make it, or mount it"), "{why}");
}

#[tokio::test]
async fn a_store_that_is_required_may_not() {
    let bench = Bench::new("required");
    fs::remove_dir(bench.folder.join("a")).unwrap();
    let error = run(&bench.spec(NOISE), |_| ()).await.unwrap_err();
    assert!(error.starts_with("store a: ") && error.contains("make it, or mount it"), "{error}");
    let scan = open::scan(&bench.store("b"), "shop").await.unwrap();
    assert!(scan.backups.is_empty(), "no manifest anywhere");
}

#[tokio::test]
async fn whoever_gives_up_ends_the_program_and_what_it_started() {
    let bench = Bench::new("dropped");
    let pids = ["parent", "child"].map(|name| bench.folder.join(name));
    let [parent, child] = pids.each_ref().map(|path| path.display());
    // The child holds the stream's end, too.
    let script = format!("echo $$ > {parent}; sh -c 'echo $$ > {child}; exec cat /dev/urandom'; true");
    let read = std::cell::Cell::new(0);
    let begun = async {
        while read.get() == 0 {
            sleep(LOOK).await
        }
    };
    let error = run_unless(&bench.spec(&script), |now| read.set(now.read_bytes), begun).await.unwrap_err();
    assert_eq!(error, "it was given up");
    for name in ["a", "b"] {
        assert!(open::scan(&bench.store(name), "shop").await.unwrap().backups.is_empty());
        assert_eq!(bench.store(name).abort_all("").await.unwrap(), 0, "an upload was left");
    }
    for path in pids {
        let pid: i32 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        let line = PathBuf::from(format!("/proc/{pid}/cmdline"));
        let gone = async {
            while fs::read(&line).is_ok_and(|line| !line.is_empty()) {
                sleep(LOOK).await
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    }
}

#[tokio::test]
async fn it_goes_no_faster_than_told() {
    let bench = Bench::new("throttled");
    let spec = RunSpec { bytes_per_s: Some(1_000_000), ..bench.spec(NOISE) };
    let begun = Instant::now();
    run(&spec, |_| ()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "2 MB, of which a second's worth was saved up");
}

/// Where Baton may remove, what came of a try goes with it, and elsewhere it stays.
#[tokio::test]
async fn what_a_failed_try_left_is_removed_where_that_is_allowed() {
    let bench = Bench::new("cleans");
    let fails = format!("{NOISE}; exit 3");
    let spec = RunSpec { cleans: vec!["a".into()], ..bench.spec(&fails) };
    run(&spec, |_| ()).await.unwrap_err();
    let left = async |name: &str| bench.store(name).list("shop/").await.unwrap().len();
    assert_eq!(left("a").await, 0);
    assert!(left("b").await > 0, "a part of the stream was stored before");
}
