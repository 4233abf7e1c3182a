//! A backup's stream on its way into a program or a file. Decrypting and unpacking are a thread's work, handing on another's;
//! between them there is room for a few pieces and no more.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::progress::Told;
use crate::backup::manifest::Manifest;
use crate::backup::open;
use crate::backup::pipeline::Identity;
use crate::backup::program::{command, said};
use crate::backup::store::Store;

/// As much as is handed on at a time, and how many of that wait.
const PIECE: usize = 1 << 20;
const PIECES_MAX: usize = 8;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// A stream that has not moved for so long ends the restore. A store is tried for some minutes over one break.
const STALLED: Duration = Duration::from_secs(3600);
/// After its last byte a program that unpacks has nothing left to do but to close files.
const ENDS_WITHIN: Duration = Duration::from_secs(3600);

/// Where streams come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) store: Store,
    /// The text of a key file that has been checked. A secret.
    pub(super) keys: Arc<secrecy::SecretString>,
}

impl Source {
    pub(super) fn identities(&self) -> Result<Vec<Identity>, String> {
        use secrecy::ExposeSecret;
        Identity::read_all(self.keys.expose_secret()).map_err(|e| e.to_string())
    }

    /// Whether one of the keys opens this backup, and its beginning is whole.
    pub(super) async fn opens(&self, manifest: &Manifest) -> Result<(), String> {
        let (store, manifest, runtime) = (self.store.clone(), manifest.clone(), Handle::current());
        let keys = self.identities()?;
        let read = spawn_blocking(move || open::stream(&store, &manifest, keys, runtime).read(&mut [0]));
        let read = read.await.map_err(|e| format!("the thread that reads ended: {e}"))?;
        read.map(drop).map_err(|e| e.to_string())
    }

    /// Writes a backup's stream into a file that is new.
    pub(super) async fn to_file(
        &self,
        manifest: &Manifest,
        file: File,
        told: Told<'_>,
    ) -> Result<(), String> {
        let moving = self.start(manifest, file)?;
        match moving.end(told).await? {
            Ok(file) => spawn_blocking(move || file.sync_all())
                .await
                .map_err(|e| e.to_string())?
                .map_err(|e| format!("the file is not on the disk: {e}")),
            Err(Broken::Source(why)) => Err(why),
            Err(Broken::Sink(error)) => Err(format!("the file cannot be written: {error}")),
        }
    }

    /// Gives a backup's stream to a program, and waits for both. What it says goes to `log`.
    pub(super) async fn to_program(
        &self,
        manifest: &Manifest,
        words: &[OsString],
        log: &Path,
        told: Told<'_>,
    ) -> Result<(), String> {
        let mut child = started(words, log, Stdio::piped())?;
        let name = name_of(words);
        let input = child.stdin.take().ok_or_else(|| format!("{name} has no input"))?;
        let input = input.into_owned_fd().map_err(|e| format!("{name}: its input cannot be written: {e}"))?;
        let moved = self.start(manifest, File::from(input))?.end(told).await?;
        match moved {
            Ok(input) => {
                drop(input);
                ended(child, &name, log, ENDS_WITHIN).await
            }
            Err(Broken::Source(why)) => Err(why),
            // Whatever it says when it ends is why.
            Err(Broken::Sink(error)) => match ended(child, &name, log, LOOK * 25).await {
                Err(why) => Err(why),
                Ok(()) => Err(format!("{name} takes no more: {error}")),
            },
        }
    }

    fn start(&self, manifest: &Manifest, sink: File) -> Result<Moving, String> {
        let (store, runtime, keys) = (self.store.clone(), Handle::current(), self.identities()?);
        let (about, bytes) = (manifest.clone(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&bytes);
        let task = spawn_blocking(move || pump(open::stream(&store, &about, keys, runtime), sink, &counter));
        Ok(Moving { task, bytes, total: manifest.stream.bytes })
    }
}

/// A stream under way.
struct Moving {
    task: JoinHandle<Result<File, Broken>>,
    bytes: Arc<AtomicU64>,
    total: u64,
}

impl Moving {
    /// Waits for its end, and tells how far it is.
    async fn end(mut self, told: Told<'_>) -> Result<Result<File, Broken>, String> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            tokio::select! {
                ended = &mut self.task => {
                    told(self.bytes.load(Ordering::Relaxed), self.total);
                    return ended.map_err(|e| format!("the thread that moves the data ended: {e}"));
                }
                () = sleep(LOOK) => {
                    let now = self.bytes.load(Ordering::Relaxed);
                    told(now, self.total);
                    if now > last {
                        (last, moved) = (now, Instant::now());
                    } else if moved.elapsed() >= STALLED {
                        return Err(format!("nothing has moved for {} s; it stands at byte {now}", STALLED.as_secs()));
                    }
                }
            }
        }
    }
}

/// Which end of a stream has failed.
#[derive(Debug)]
enum Broken {
    /// Its source: the store, a damaged object, a key.
    Source(String),
    /// What it goes into.
    Sink(io::Error),
}

/// Moves everything. That it returns well means that all of it was as it was written.
fn pump<W: Write>(source: impl Read + Send, mut sink: W, bytes: &AtomicU64) -> Result<W, Broken> {
    let (sender, pieces) = sync_channel(PIECES_MAX);
    thread::scope(|scope| {
        let reading = scope.spawn(move || read_all(source, &sender));
        let written = write_all(pieces, &mut sink, bytes);
        let read = reading.join().unwrap_or_else(|_| Err("the thread that reads ended".into()));
        // A sink that fails makes the reader end without a word.
        written.map_err(Broken::Sink)?;
        read.map_err(Broken::Source)
    })?;
    Ok(sink)
}

fn read_all(mut source: impl Read, pieces: &SyncSender<Vec<u8>>) -> Result<(), String> {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = Read::by_ref(&mut source).take(PIECE as u64).read_to_end(&mut piece);
        read.map_err(|e| e.to_string())?;
        if piece.is_empty() || pieces.send(piece).is_err() {
            return Ok(());
        }
    }
}

fn write_all(pieces: Receiver<Vec<u8>>, sink: &mut impl Write, bytes: &AtomicU64) -> io::Result<()> {
    for piece in pieces {
        sink.write_all(&piece)?;
        bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Runs a program to its end, within a bound.
pub(super) async fn run(words: &[OsString], log: &Path, within: Duration) -> Result<(), String> {
    let child = started(words, log, Stdio::null())?;
    ended(child, &name_of(words), log, within).await
}

pub(super) fn started(words: &[OsString], log: &Path, input: Stdio) -> Result<Child, String> {
    let file = File::create(log).map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
    let said = file.try_clone().map_err(|e| e.to_string())?;
    let started = command(words, file).stdout(said).stdin(input).spawn();
    started.map_err(|e| format!("{} cannot be started: {e}", name_of(words)))
}

/// Only status 0 is a success.
pub(super) async fn ended(mut child: Child, name: &str, log: &Path, within: Duration) -> Result<(), String> {
    match timeout(within, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{name} ended with {status}: {}", said(log))),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Err(_) => Err(format!("{name} was not done within {} s and was ended", within.as_secs())),
    }
}

fn name_of(words: &[OsString]) -> String {
    let program = Path::new(words.first().map_or("".as_ref(), |word| word.as_os_str()));
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Fails<R>(R);

    impl<R: Read> Read for Fails<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("damaged at the end")),
                read => Ok(read),
            }
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_moved_or_the_end_that_failed_is_named() {
        let (data, bytes) = (vec![7; 3 * PIECE + 5], AtomicU64::new(0));
        assert!(pump(data.as_slice(), Vec::new(), &bytes).unwrap() == data);
        assert_eq!(bytes.load(Ordering::Relaxed), data.len() as u64);
        let broken = pump(Fails(data.as_slice()), Vec::new(), &bytes);
        assert!(matches!(broken, Err(Broken::Source(why)) if why == "damaged at the end"));
        // More than waits between the two: the reader has to end, too.
        let much = io::repeat(7).take(64 * PIECE as u64);
        assert!(matches!(pump(much, Full, &bytes), Err(Broken::Sink(_))));
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why() {
        let log = std::env::temp_dir().join(format!("baton-flow-{}", std::process::id()));
        let words = |script: &str| ["/bin/sh", "-c", script].map(OsString::from);
        assert_eq!(run(&words("exit 0"), &log, LOOK * 50).await, Ok(()));
        let error = run(&words("echo one; echo an error >&2; exit 3"), &log, LOOK * 50).await.unwrap_err();
        assert_eq!(error, "sh ended with exit status: 3: an error");
        std::fs::remove_file(&log).unwrap();
    }
}
