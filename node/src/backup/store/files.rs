//! A folder as a store: a local disk, or one that is mounted. An object is a file, written beside its place under a name
//! that begins with a dot, on the disk before it is given its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::Rng;
use tokio::task::spawn_blocking;

use super::error::StoreError;
use super::key::check_key;
use super::{Item, PartTag, Upload};

/// The end of a file that is still being written.
const PARTIAL: &str = ".partial";
/// More files than anybody keeps below one prefix.
const ITEMS_MAX: usize = 1_000_000;
/// How deep keys go.
const DEPTH_MAX: usize = 16;

/// A folder.
#[derive(Debug, Clone)]
pub struct FileStore {
    name: String,
    root: PathBuf,
    /// The most that one look lists.
    items_max: usize,
}

impl FileStore {
    /// The folder `root`, called `name` in messages. It has to be there: a folder that is made anew where a disk should have
    /// been mounted would fill the wrong one.
    #[must_use]
    pub fn new(name: &str, root: &Path) -> Self {
        Self { name: name.to_owned(), root: root.to_owned(), items_max: ITEMS_MAX }
    }

    #[cfg(test)]
    pub(super) fn with_items_max(self, items_max: usize) -> Self {
        Self { items_max, ..self }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        let id = self.begin(key).await?;
        let bytes = data.len() as u64;
        let upload = Upload { key: key.to_owned(), id, part_bytes: 0 };
        let done = match self.part(&upload, 0, data).await {
            Ok(_) => self.complete(&upload, bytes).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            drop(self.abort(&upload).await);
        }
        done
    }

    pub(super) async fn begin(&self, key: &str) -> Result<String, StoreError> {
        let id = format!("{:016x}", rand::rng().random::<u64>());
        let partial = self.partial(key, &id)?;
        self.on_disk(key, move |root| {
            is_there(root)?;
            fs::create_dir_all(partial.parent().unwrap_or(root))?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).map(drop)
        })
        .await?;
        Ok(id)
    }

    pub(super) async fn part(
        &self,
        upload: &Upload,
        number: u32,
        data: Bytes,
    ) -> Result<PartTag, StoreError> {
        let partial = self.partial(&upload.key, &upload.id)?;
        let at = u64::from(number) * upload.part_bytes as u64;
        self.on_disk(&upload.key, move |_| {
            let file = OpenOptions::new().write(true).open(&partial)?;
            file.write_all_at(&data, at)?;
            // Little by little, so that the end does not wait for gigabytes.
            file.sync_data()
        })
        .await?;
        Ok(PartTag(String::new()))
    }

    pub(super) async fn complete(&self, upload: &Upload, bytes: u64) -> Result<(), StoreError> {
        let (partial, path) = (self.partial(&upload.key, &upload.id)?, self.path(&upload.key)?);
        self.on_disk(&upload.key, move |root| {
            if !partial.exists() && path.exists() {
                return Ok(());
            }
            let file = File::open(&partial)?;
            let found = file.metadata()?.len();
            if found != bytes {
                return Err(io::Error::other(format!("it has {found} bytes and should have {bytes}")));
            }
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            // The new folders, up to the store's own, have to be found again too.
            let mut folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
            folders.try_for_each(|folder| File::open(folder)?.sync_all())
        })
        .await
    }

    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let partial = self.partial(&upload.key, &upload.id)?;
        self.on_disk(&upload.key, move |_| removed(&partial)).await
    }

    pub(super) async fn unfinished(&self, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let found = self.files(prefix).await?;
        let uploads = found.into_iter().filter_map(|(name, _)| {
            let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
            let (file, id) = file.strip_prefix('.')?.strip_suffix(PARTIAL)?.rsplit_once('.')?;
            let key = if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
            Some(Upload { key, id: id.to_owned(), part_bytes: 0 })
        });
        Ok(uploads.collect())
    }

    pub(super) async fn size(&self, key: &str) -> Result<u64, StoreError> {
        let path = self.path(key)?;
        self.on_disk(key, move |_| fs::metadata(&path).map(|found| found.len())).await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Item>, StoreError> {
        let found = self.files(prefix).await?.into_iter();
        let mut items: Vec<_> =
            found.filter(|(key, _)| check_key(key).is_ok()).map(|(key, bytes)| Item { key, bytes }).collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(items)
    }

    /// Up to `max` bytes from `at` on, and the size of the whole.
    pub(super) async fn read(&self, key: &str, at: u64, max: usize) -> Result<(Bytes, u64), StoreError> {
        let path = self.path(key)?;
        self.on_disk(key, move |_| {
            let mut file = File::open(&path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(at))?;
            let mut data = Vec::with_capacity(max);
            file.take(max as u64).read_to_end(&mut data)?;
            Ok((data.into(), size))
        })
        .await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        self.on_disk(key, move |root| is_there(root).and_then(|()| removed(&path))).await
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        check_key(key).map_err(|why| StoreError::wrong(&self.name, key, why))?;
        Ok(self.root.join(key))
    }

    fn partial(&self, key: &str, id: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(key)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(path.with_file_name(format!(".{name}.{id}{PARTIAL}")))
    }

    /// The folders right below `prefix`, which is empty or ends with a slash, by name.
    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let (folder, items_max) = (self.folder(prefix)?, self.items_max);
        self.on_disk(prefix, move |root| {
            is_there(root)?;
            let mut found = Vec::new();
            for entry in there(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if check_key(&name).is_ok() && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    found.push(name);
                    is_bounded(found.len(), items_max)?;
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Names relative to the store, and sizes. Only the folder that `prefix` lies in is read: beside it there may be more than
    /// anybody can list.
    async fn files(&self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let (folder, items_max) = (self.folder(prefix)?, self.items_max);
        let prefix = prefix.to_owned();
        self.on_disk(&prefix.clone(), move |root| {
            is_there(root)?;
            let mut walk = Walk { root, prefix: &prefix, items_max, found: Vec::new() };
            walk.through(&folder, 0)?;
            Ok(walk.found)
        })
        .await
    }

    /// The folder that everything below `prefix` is in.
    fn folder(&self, prefix: &str) -> Result<PathBuf, StoreError> {
        match prefix.rsplit_once('/') {
            Some((folder, _)) => self.path(folder),
            None => Ok(self.root.clone()),
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = self.root.clone();
        let done = spawn_blocking(move || match work(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => is_there(&root).and(Err(error)),
            done => done,
        });
        let done = done.await;
        let done = done.unwrap_or_else(|e| Err(io::Error::other(format!("the work on the disk ended: {e}"))));
        done.map_err(|e| StoreError::of_file(&self.name, key, &e))
    }
}

/// A store that is away has not lost what it holds: this is no object that is missing.
fn is_there(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is no folder; make it, or mount it", root.display())))
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// What is in a folder; nothing is in one that is not there.
fn there(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    Ok(found.into_iter().flatten())
}

fn is_bounded(count: usize, items_max: usize) -> io::Result<()> {
    if count <= items_max {
        return Ok(());
    }
    Err(io::Error::other("there are more files than anybody keeps"))
}

/// Looks for the files of one prefix.
struct Walk<'p> {
    root: &'p Path,
    prefix: &'p str,
    items_max: usize,
    found: Vec<(String, u64)>,
}

impl Walk<'_> {
    fn through(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        for entry in there(folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(self.root).unwrap_or(&path).to_string_lossy().into_owned();
            if !name.starts_with(self.prefix) {
                continue;
            }
            let about = match entry.metadata() {
                Ok(about) => about,
                // It was given another name, or removed, meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if about.is_dir() && depth < DEPTH_MAX {
                self.through(&path, depth + 1)?;
            } else if about.is_file() {
                self.found.push((name, about.len()));
            }
            is_bounded(self.found.len(), self.items_max)?;
        }
        Ok(())
    }
}
