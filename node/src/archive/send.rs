//! Brings one segment into a store: compressed and encrypted as backups are, its object first, its entry last. Nothing that is
//! there is written again.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use rand::Rng;
use tokio::task::spawn_blocking;

use super::entry::{Entry, FORMAT, entry_key, object_prefix, segment_id};
use super::shelf::Shelf;
use super::spool::Waiting;
use crate::backup::pipeline::{Limits, Recipients, StreamSummary, StreamWriter};
use crate::backup::store::{Queue, Store, Uploader, channel};

/// Bytes of a part. Few segments have more than one.
const PART: usize = 8 << 20;
/// Hard enough for text, and quick.
const LEVEL: i32 = 3;

/// Brings the segment at `content` to a shelf, unless it is there already: the answer to the last try may have been lost.
pub(super) async fn send(
    store: &Store,
    recipients: &Recipients,
    shelf: &Shelf,
    waiting: &Waiting,
    content: PathBuf,
) -> Result<(), String> {
    let Waiting { cluster, timeline, span, server } = waiting.clone();
    let key = entry_key(&cluster, shelf, &span.added);
    if store.size(&key).await.map_err(|e| e.to_string())?.is_some() {
        return Ok(());
    }
    let attempt = format!("{:016x}", rand::rng().random::<u64>());
    let object = object_prefix(&cluster, shelf, &span.added, &attempt);
    let (queue, parts) = channel();
    let uploading = Uploader::new(store.clone(), &object, PART, 1).run(parts);
    let (id, whom) = (segment_id(timeline, &span.added), recipients.clone());
    let sealing = spawn_blocking(move || seal(queue, &id, whom, content));
    let (uploaded, sealed) = tokio::join!(uploading, sealing);
    let uploaded = uploaded.map_err(|e| e.to_string())?;
    let stream =
        sealed.map_err(|e| format!("the thread that seals ended: {e}"))?.map_err(|e| e.to_string())?;
    let wanted = u32::try_from(stream.objects.len()).ok();
    if uploaded.is_none() || uploaded != wanted {
        return Err(format!("store {}: {object} is not there as a whole", store.name()));
    }
    let entry = Entry {
        format: FORMAT,
        written_by: format!("baton-node {}", env!("CARGO_PKG_VERSION")),
        cluster,
        timeline,
        span,
        server,
        object,
        stream,
        recipients: recipients.clone(),
    };
    let json = entry.to_json().map_err(|e| e.to_string())?;
    store.put(&key, Bytes::from(json)).await.map_err(|e| e.to_string())
}

fn seal(queue: Queue, id: &str, recipients: Recipients, content: PathBuf) -> io::Result<StreamSummary> {
    let limits = Limits { part_bytes: PART, ..Limits::default() };
    let mut writer = StreamWriter::zstd(queue, id, recipients, limits, LEVEL, 0)?;
    io::copy(&mut File::open(content)?, &mut writer)?;
    Ok(writer.end()?.1)
}
