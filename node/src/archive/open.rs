//! A segment in a store, for those who read it.

use tokio::runtime::Handle;

use super::entry::Entry;
use crate::backup::pipeline::{Identity, StreamReader};
use crate::backup::store::{Store, StoredObjects, Uploader};

/// The content of a segment, decrypted and unpacked: a binlog file. To be read on a thread that may block.
#[must_use]
pub fn content(
    store: &Store,
    entry: &Entry,
    keys: Vec<Identity>,
    runtime: Handle,
) -> StreamReader<StoredObjects> {
    let names = (0..).zip(&entry.stream.objects).map(|(number, _)| Uploader::key(&entry.object, number));
    let objects = StoredObjects::new(store.clone(), names.collect(), runtime);
    StreamReader::new(objects, &entry.segment_id(), entry.stream.clone(), keys, &entry.made_for())
}
