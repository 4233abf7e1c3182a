use std::path::PathBuf;

use super::cover::{at, maria, my, piece};
use crate::archive::coverage::{Piece, coverage};
use crate::archive::entry::{Entry, FORMAT, Origin, entry_key};
use crate::archive::index::{Index, entries};
use crate::archive::rollup::{LEVEL_MAX, joined, level_prefix};
use crate::archive::shelf::ENTRIES_MAX;
use crate::archive::shelving::Shelving;
use crate::backup::pipeline::{Checksum, Identity, ObjectSummary, Recipients, StreamSummary};
use crate::backup::store::{FileStore, Store};

#[test]
fn pieces_that_follow_one_another_become_one_and_say_the_same() {
    let pieces = [
        piece(1, "a1-8", "a9", 300),
        piece(1, "a1-3", "a4-6", 100),
        piece(1, "a1-6", "a7-8", 200),
        piece(2, "a1-9", "b1", 400),
        piece(2, "a1-12b1", "b2", 500),
    ];
    let found = joined(pieces.to_vec()).unwrap();
    let said: Vec<_> = found.iter().map(|p| (p.span.after.clone(), p.span.added.clone())).collect();
    let (first, hole) = ((my("a1-3"), my("a4-9")), (my("a1-12b1"), my("b2")));
    assert_eq!(said, [first, (my("a1-9"), my("b1")), hole], "another epoch, and a hole, are told apart");
    let Piece { span, .. } = &found[0];
    assert_eq!((span.transactions, span.first_ms, span.last_ms), (6, 100, 309));
    assert_eq!(coverage(&found), coverage(&pieces));
    let as_writer = Piece { writer: Some("db1".into()), ..piece(1, "a1-3", "a4", 1) };
    assert_eq!(joined(vec![as_writer, piece(1, "a1-4", "a5", 2)]).unwrap().len(), 2, "who was read matters");
    let one_server = [at(1, 0, maria("0-1-100"), maria("0-1-101..110"), 1)];
    assert_eq!(joined(one_server.to_vec()).unwrap(), one_server);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-rolled-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        Store::Files(FileStore::new("disk", &self.0))
    }

    fn files(&self, below: &str) -> Vec<PathBuf> {
        let Ok(read) = std::fs::read_dir(self.0.join(below)) else { return Vec::new() };
        let mut found: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn checksum() -> Checksum {
    serde_json::from_value("0".repeat(64).into()).unwrap()
}

/// What one node archives, a transaction a segment, each a few bytes that nobody opens.
struct Writes {
    shelving: Shelving,
    next: u64,
    drawn: u32,
}

impl Writes {
    async fn on(&mut self, store: &Store, node: &str, count: u64) {
        for number in self.next..self.next + count {
            let piece = piece(1, &format!("a1-{}", number - 1), &format!("a{number}"), number * 1000);
            self.drawn += 1;
            let shelf = self.shelving.shelf(piece.timeline, number, self.drawn);
            let object = ObjectSummary { blake3: checksum(), bytes: 1 };
            let entry = Entry {
                format: FORMAT,
                written_by: "a test".into(),
                cluster: "shop".into(),
                timeline: piece.timeline,
                span: piece.span.clone(),
                server: Origin { node: node.into(), version: "8.4".into(), is_writer: false },
                object: "unused".into(),
                stream: StreamSummary { bytes: 1, blake3: checksum(), objects: vec![object] },
                recipients: Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap(),
            };
            let key = entry_key("shop", &shelf, &piece.span.added);
            store.put(&key, entry.to_json().unwrap().into()).await.unwrap();
            self.shelving.stands(store, piece).await;
        }
        self.next += count;
    }
}

async fn look(store: &Store) -> Index {
    Index::look(store, "shop").await.unwrap()
}

async fn archived(store: &Store) -> Vec<Piece> {
    look(store).await.pieces().unwrap()
}

#[tokio::test]
async fn a_full_shelf_is_read_as_one_object_and_without_it_as_its_entries() {
    let folder = Folder::new("full");
    let store = folder.store();
    let mut writes = Writes { shelving: Shelving::new("shop", "db2"), next: 1, drawn: 0 };
    writes.on(&store, "db2", ENTRIES_MAX + 3).await;
    let index = look(&store).await;
    assert_eq!(
        index.open.values().map(|stood| stood.entries).collect::<Vec<_>>(),
        [3],
        "the newest part alone"
    );
    let whole = [piece(1, "", &format!("a1-{}", ENTRIES_MAX + 3), 1000)];
    let last_ms = (ENTRIES_MAX + 3) * 1000 + 9;
    let mut whole = whole.to_vec();
    whole[0].span.last_ms = last_ms;
    assert_eq!(index.pieces().unwrap(), whole);
    assert_eq!(entries(&store, "shop").await.unwrap().0.len() as u64, ENTRIES_MAX + 3);

    let [rollup] = folder.files("shop/binlog/rollups/1").try_into().unwrap();
    std::fs::write(&rollup, "damaged").unwrap();
    assert_eq!(archived(&store).await, whole);
    std::fs::remove_file(&rollup).unwrap();
    assert_eq!(archived(&store).await, whole);

    // Whoever begins on that node writes it again, and that of what was left; another node does not.
    let mut other = Shelving::new("shop", "db1");
    assert_eq!(other.tidy(&store, &look(&store).await).await, 0);
    let mut next = Shelving::new("shop", "db2");
    assert_eq!(next.tidy(&store, &look(&store).await).await, 2);
    let index = look(&store).await;
    assert!(index.open.is_empty() && index.pieces().unwrap() == whole, "{index:?}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_told_each_time() {
    let folder = Folder::new("unreadable");
    let store = folder.store();
    let mut writes = Writes { shelving: Shelving::new("shop", "db2"), next: 1, drawn: 0 };
    writes.on(&store, "db2", 3).await;
    let [shelf] = folder.files("shop/binlog").try_into().unwrap();
    let entry = std::fs::read_dir(shelf).unwrap().next().unwrap().unwrap().path();
    std::fs::write(entry, "damaged").unwrap();
    let mut next = Shelving::new("shop", "db2");
    for _ in 0..2 {
        let index = look(&store).await;
        assert_eq!(index.unreadable(), 1);
        assert_eq!(next.tidy(&store, &index).await, 0, "it would be forgotten");
    }
}

/// Shelves without a segment, each left by a process that ended: what is tried here is how they are joined.
#[tokio::test]
async fn many_are_joined_into_one_and_what_is_removed_is_forgotten() {
    let folder = Folder::new("many");
    let store = folder.store();
    let (count, mut next) = (70, 1);
    for drawn in 0..count {
        let mut writes = Writes { shelving: Shelving::new("shop", "db2"), next, drawn };
        writes.on(&store, "db2", 1).await;
        next = writes.next;
    }
    assert_eq!(look(&store).await.open.len(), 70);
    let whole = archived(&store).await;
    assert_eq!(whole.len(), 1);
    let mut shelving = Shelving::new("shop", "db2");
    assert_eq!(shelving.tidy(&store, &look(&store).await).await, 70);
    let index = look(&store).await;
    let levels: Vec<_> = index.rolled.iter().map(|(level, all)| (*level, all.len())).collect();
    assert_eq!(levels, [(1, 6), (2, 1)], "64 in one, and it alone is read of these");
    assert_eq!(index.pieces().unwrap(), whole);
    // Roll-ups are not written twice.
    let before: Vec<_> =
        (1..=LEVEL_MAX).flat_map(|level| folder.files(&level_prefix("shop", level))).collect();
    Shelving::new("shop", "db2").tidy(&store, &look(&store).await).await;
    let after: Vec<_> =
        (1..=LEVEL_MAX).flat_map(|level| folder.files(&level_prefix("shop", level))).collect();
    assert_eq!(before, after);
    // A rule of the bucket removes the oldest: those that are left speak for themselves.
    let oldest = folder.files("shop/binlog").into_iter().find(|path| path.to_string_lossy().contains(".db2"));
    std::fs::remove_dir_all(oldest.unwrap()).unwrap();
    let [left] = archived(&store).await.try_into().unwrap();
    assert_eq!((left.span.after, left.span.added), (my("a1"), my("a2-70")));
}
