#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures::stream;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, Membership, RaftLogReader};

use rusqlite::OptionalExtension;

use super::{Binding, Log, Machine, Shared, Store, StoreError, since_boot};
use crate::consensus::tests::sample::sample;
use crate::consensus::tests::{Scratch, until};
use crate::consensus::types::{Entry, LogId, Logged, TypeConfig};

impl Store {
    /// From now on nothing can be written to `table`.
    pub(crate) async fn spoil(&self, table: &str) {
        let refuse =
            format!("CREATE TRIGGER spoilt BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'no'); END");
        let spoil = self.thread.start("spoil", move |t| t.execute_batch(&refuse)).await.unwrap();
        spoil.done().await.unwrap();
    }
}

fn open(scratch: &Scratch) -> Store {
    Store::open(&scratch.file(), "machine-a", "store-1").unwrap()
}

async fn load(store: &Store) -> (Arc<Shared>, Log, Machine) {
    let shared = Arc::new(Shared::new(Arc::new(since_boot)));
    let (log, machine) = store.load(shared.clone()).await.unwrap();
    (shared, log, machine)
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::impls::leader_id_adv::LeaderId::new(term, 1).to_committed(), index)
}

fn entry(index: u64) -> Entry {
    Entry::new(id(1, index), EntryPayload::Normal(Logged(sample(index))))
}

fn membership(index: u64, voters: impl IntoIterator<Item = u64>) -> Entry {
    let membership = Membership::new_with_defaults(vec![voters.into_iter().collect()], []);
    Entry::new(id(1, index), EntryPayload::Membership(membership))
}

async fn apply(machine: &mut Machine, entries: impl IntoIterator<Item = Entry>) -> std::io::Result<()> {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(stream::iter(items)).await
}

struct Builder;

impl StoreBuilder<TypeConfig, Log, Machine, Scratch> for Builder {
    async fn build(&self) -> Result<(Scratch, Log, Machine), openraft::StorageError<TypeConfig>> {
        let scratch = Scratch::new();
        let store = open(&scratch);
        let (_, log, machine) = load(&store).await;
        Ok((scratch, log, machine))
    }
}

#[tokio::test]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn a_restart_shows_the_state_that_was_shown_before_it() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let (shared, mut log, mut machine) = load(&store).await;
    log.append((1..=3).map(entry), IOFlushed::noop()).await.unwrap();
    apply(&mut machine, (1..=3).map(entry)).await.unwrap();
    let before = shared.applied();
    assert_eq!(before.index, 3);
    store.close().await;

    let store = open(&scratch);
    let (shared, mut log, _machine) = load(&store).await;
    assert_eq!(shared.applied(), before);
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 3);
    assert_eq!(store.store_id(), "store-1");
}

#[tokio::test]
async fn what_is_not_on_disk_is_never_shown() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let (shared, _log, mut machine) = load(&store).await;
    apply(&mut machine, [entry(1)]).await.unwrap();
    let before = shared.applied();
    store.spoil("machine").await;

    apply(&mut machine, [entry(2)]).await.unwrap_err();
    assert_eq!(shared.applied(), before);
    assert_eq!(shared.with_applied(|_, _| ()), None, "a store that failed grants nothing");
    let later = store.notes().put("any", "thing").await;
    assert!(
        matches!(later, Err(StoreError::Failed { .. })),
        "nothing is written after a lost write: {later:?}"
    );
}

#[tokio::test]
async fn an_append_is_readable_before_it_is_on_disk_and_reported_after() {
    let scratch = Scratch::new();
    let (_, mut log, _machine) = load(&open(&scratch)).await;
    let (answer, flushed) = TypeConfig::oneshot();
    log.append([entry(1)], IOFlushed::signal(answer)).await.unwrap();
    assert_eq!(log.try_get_log_entries(1..2).await.unwrap().len(), 1);
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn membership_is_the_newest_in_the_log_applied_or_not() {
    let scratch = Scratch::new();
    let (shared, mut log, mut machine) = load(&open(&scratch)).await;
    log.append([membership(1, [1, 2, 3]), entry(2)], IOFlushed::noop()).await.unwrap();
    apply(&mut machine, [membership(1, [1, 2, 3])]).await.unwrap();
    let at_first = shared.membership();
    assert_eq!((at_first.index, at_first.applied_index), (1, 1));

    log.append([membership(3, [1, 2, 3, 4])], IOFlushed::noop()).await.unwrap();
    let appended = shared.membership();
    assert_eq!((appended.index, appended.applied_index), (3, 1));
    assert!(appended.is_voter(4));
    assert_eq!(appended.applied_at, at_first.applied_at);

    log.truncate_after(Some(id(1, 2))).await.unwrap();
    assert_eq!(shared.membership(), at_first);

    log.append([membership(3, [1, 2])], IOFlushed::noop()).await.unwrap();
    apply(&mut machine, [entry(2), membership(3, [1, 2])]).await.unwrap();
    log.purge(id(1, 3)).await.unwrap();
    let purged = shared.membership();
    assert_eq!((purged.index, purged.applied_index), (3, 3));
    assert!(purged.applied_at > at_first.applied_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn granting_and_applying_exclude_each_other() {
    let scratch = Scratch::new();
    let (shared, _log, mut machine) = load(&open(&scratch)).await;
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let granting = tokio::task::spawn_blocking({
        let shared = shared.clone();
        move || {
            let before = shared.with_applied(|state, _| {
                entered.send(()).unwrap();
                held.recv().unwrap();
                state.clone()
            });
            before.unwrap()
        }
    });
    inside.await.unwrap();
    let states = shared.states();
    let on_disk = machine.thread.clone();
    let applying = tokio::spawn(async move { apply(&mut machine, [entry(1)]).await });
    // The entry gets as far as the disk, and no further.
    let count = |t: &rusqlite::Transaction<'_>| {
        t.query_row("SELECT count(*) FROM machine", [], |row| row.get::<_, i64>(0))
    };
    let reaches_disk = async {
        while on_disk.start("look", count).await.unwrap().done().await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let bound = std::time::Duration::from_secs(10);
    assert!(tokio::time::timeout(bound, reaches_disk).await.is_ok(), "applying waits for granting to end");
    assert_eq!(states.borrow().index, 0);
    assert!(!applying.is_finished());
    release.send(()).unwrap();
    assert_eq!(granting.await.unwrap(), crate::state::ClusterState::default());
    applying.await.unwrap().unwrap();
    assert_eq!(states.borrow().index, 1);
}

#[tokio::test]
async fn nothing_is_granted_while_a_snapshot_is_installed() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let (shared, _log, mut machine) = load(&store).await;
    apply(&mut machine, [entry(1)]).await.unwrap();
    let snapshot = openraft::RaftSnapshotBuilder::build_snapshot(&mut machine).await.unwrap();
    // The store's thread is held up, so that the installation hangs half-way.
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = move |_: &rusqlite::Transaction<'_>| Ok(held.recv().is_ok());
    store.thread.start("wait", wait).await.unwrap();
    let installing = tokio::spawn({
        let mut machine = machine.clone();
        async move { machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await }
    });
    until("withheld", || shared.with_applied(|_, _| ()).is_none()).await;
    release.send(()).unwrap();
    installing.await.unwrap().unwrap();
    assert_eq!(shared.with_applied(|_, _| ()), Some(()));
}

#[tokio::test]
async fn a_store_is_bound_to_one_group_and_one_machine() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let binding = |raft_id| Binding { cluster: "c".into(), cluster_id: "x".into(), raft_id, generation: 1 };
    assert_eq!(store.binding().await.unwrap(), None);
    assert_eq!(store.bind(binding(2), None).await.unwrap(), binding(2));
    assert_eq!(store.bind(binding(3), None).await.unwrap(), binding(2), "the first one stands");
    store.notes().put("guard.opened", "7").await.unwrap();
    store.close().await;

    let elsewhere = Store::open(&scratch.file(), "machine-b", "store-2").err().unwrap();
    assert!(elsewhere.to_string().contains("made on another machine"), "{elsewhere}");
    let store = open(&scratch);
    assert_eq!(store.notes().get("guard.opened").await.unwrap().as_deref(), Some("7"));
    assert_eq!(store.notes().get("never").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_says_so() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let second = Store::open(&scratch.file(), "machine-a", "s").err().unwrap();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    store.close().await;

    std::fs::write(scratch.file(), vec![b'x'; 8192]).unwrap();
    let damaged = Store::open(&scratch.file(), "machine-a", "s").err().unwrap();
    assert!(matches!(damaged, StoreError::Corrupt { .. }), "{damaged}");

    let nowhere = Store::open(&scratch.file().join("missing/group.db"), "machine-a", "s").err().unwrap();
    assert!(matches!(nowhere, StoreError::CannotOpen { .. }), "{nowhere}");
}

#[tokio::test]
async fn a_disk_that_fills_up_or_turns_read_only_is_named() {
    for (pragma, value, expected) in [("max_page_count", 1, "is full"), ("query_only", 1, "is read-only")] {
        let scratch = Scratch::new();
        let store = open(&scratch);
        let set = move |t: &rusqlite::Transaction<'_>| {
            t.query_row(&format!("PRAGMA {pragma} = {value}"), [], |_| Ok(())).optional()
        };
        store.thread.start("spoil", set).await.unwrap().done().await.unwrap();
        let error = store.notes().put("a", &"x".repeat(100_000)).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("group.db"), "{error}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_damage() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let spoil = |t: &rusqlite::Transaction<'_>| t.execute("INSERT INTO log VALUES (1, '{')", []);
    store.thread.start("spoil", spoil).await.unwrap().done().await.unwrap();
    let error = store.load(Arc::new(Shared::new(Arc::new(since_boot)))).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
