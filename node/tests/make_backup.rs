//! The process that makes a backup, or reads one again: `baton-node backup`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::lineage::Lineage;
use baton_node::backup::manifest::{About, Server};
use baton_node::backup::open;
use baton_node::backup::pipeline::{Identity, Recipients};
use baton_node::backup::process::{Done, Event, Job, Working};
use baton_node::backup::run::{RunSpec, StorePlace, StoreSpec};
use baton_node::backup::verify::VerifySpec;
use baton_node::gtid::Dialect;
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_baton-node");
/// The bound of whatever a test waits for.
const SOON: Duration = Duration::from_secs(60);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-making-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn spec(&self, script: &str) -> RunSpec {
        let server = Server {
            node: "db2".into(),
            dialect: Dialect::Mysql,
            version: "9.7.0".into(),
            uuid: None,
            lineage: Lineage { id: "lineage".into(), parent: None },
            data_bytes: 0,
        };
        let (backup, cluster) = ("20260101T000000Z-db2".to_owned(), "shop".to_owned());
        let arguments = vec!["-c".into(), script.into()];
        RunSpec {
            about: About { backup, cluster, epoch: 3, job: None, server, began_ms: 1 },
            engine: Engine::Command { program: "/bin/sh".into(), arguments, bytes_min: 1 },
            extent: Extent::Full,
            account: None,
            recipients: Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap(),
            stores: vec![StoreSpec {
                name: "disk".into(),
                required: true,
                place: StorePlace::Files { path: self.0.clone() },
            }],
            run: self.0.join("run"),
            level: 1,
            threads: 0,
            parts_at_once: 2,
            bytes_per_s: None,
            share_min_percent: 50,
            cleans: Vec::new(),
            object_bytes: None,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

async fn last(working: &mut Working) -> Event {
    let ended = async {
        loop {
            match working.next().await {
                Event::Progress(_) => {}
                last => break last,
            }
        }
    };
    timeout(SOON, ended).await.unwrap()
}

async fn start(spec: &RunSpec, is_polite: bool) -> Result<Working, String> {
    Working::start(Path::new(PROGRAM), &Job::Make(Box::new(spec.clone())), is_polite).await
}

#[tokio::test]
async fn it_says_what_it_made() {
    let folder = Folder::new("made");
    let spec = folder.spec("seq 100000");
    let mut making = start(&spec, true).await.unwrap();
    let Event::Done(Done::Made(made)) = last(&mut making).await else { panic!("it is not made") };
    let look = made.clone();
    assert_eq!((made.manifest.stream.bytes, made.stores.as_slice()), (588_895, &["disk".to_owned()][..]));
    let store = spec.stores.first().unwrap().open().unwrap();
    let scan = open::scan(&store, "shop").await.unwrap();
    assert_eq!(scan.backups, [made.manifest]);

    let checked = async || {
        let job = Job::Verify(Box::new(VerifySpec {
            cluster: "shop".into(),
            backup: look.manifest.backup.clone(),
            manifest_blake3: look.manifest_blake3.clone(),
            stores: spec.stores.clone(),
        }));
        let mut working = Working::start(Path::new(PROGRAM), &job, true).await.unwrap();
        let Event::Done(Done::Checked(checked)) = last(&mut working).await else { panic!("it is not read") };
        checked
    };
    let found = checked().await;
    assert!(found.faults.is_empty() && found.bytes > 0, "{found:?}");
    let object = folder.0.join(look.manifest.object_keys().first().unwrap());
    let mut data = fs::read(&object).unwrap();
    *data.last_mut().unwrap() ^= 1;
    fs::write(&object, data).unwrap();
    let found = checked().await.faults;
    assert!(found.len() == 1 && found.concat().contains("object 0 has the checksum"), "{found:?}");
    let manifest = folder.0.join("shop/backups/20260101T000000Z-db2/manifest.json");
    let forged = fs::read_to_string(&manifest).unwrap().replace("\"epoch\": 3", "\"epoch\": 4");
    fs::write(&manifest, forged).unwrap();
    let found = checked().await.faults;
    assert!(found.concat().contains("is not the manifest that was written"), "{found:?}");

    let mut again = start(&spec, false).await.unwrap();
    let Event::Failed(why) = last(&mut again).await else { panic!("made twice") };
    assert!(why.contains("there is something under 20260101T000000Z-db2 already"), "{why}");
}

#[tokio::test]
async fn it_gives_up_with_whoever_wanted_it() {
    let folder = Folder::new("given-up");
    let pid = folder.0.join("pid");
    let score = folder.0.join("score");
    let script = format!("cat /proc/$$/oom_score_adj > {}; echo $$ > {}", score.display(), pid.display());
    let spec = folder.spec(&format!("{script}; exec cat /dev/urandom"));
    let mut making = start(&spec, true).await.unwrap();
    let reads = async { while !matches!(making.next().await, Event::Progress(now) if now.read_bytes > 0) {} };
    timeout(SOON, reads).await.unwrap();
    assert_eq!(fs::read_to_string(score).unwrap().trim(), "500", "it ends first when memory runs out");
    making.give_up().await;
    let line = format!("/proc/{}/cmdline", fs::read_to_string(pid).unwrap().trim());
    let gone = async {
        while fs::read(&line).is_ok_and(|l| !l.is_empty()) {
            sleep(Duration::from_millis(50)).await
        }
    };
    timeout(SOON, gone).await.unwrap();
    let store = spec.stores.first().unwrap().open().unwrap();
    assert_eq!(store.abort_all("").await.unwrap(), 0, "an upload was left");
}
