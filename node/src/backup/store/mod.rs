//! Where backups lie: a folder, or a bucket that is spoken to in the manner of S3. What is written there appears whole or not
//! at all: an object is uploaded in parts and shows when the last step says so.
//!
//! Every request has a bound and is tried again when that may help ([`StoreError::is_transient`]); whoever asks sees the last
//! error only.

mod download;
mod error;
mod files;
mod key;
mod retry;
mod s3;
#[cfg(test)]
mod tests;
mod upload;

use bytes::Bytes;

pub use download::{Download, StoredObjects};
pub use error::StoreError;
pub use files::FileStore;
pub use key::check_key;
pub use s3::{S3Options, S3Store};
pub use upload::{Queue, Uploader, channel};

/// One place for backups. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder.
    Files(FileStore),
    /// A bucket.
    S3(S3Store),
}

/// Something that lies in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// An object on its way. Nobody sees it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub key: String,
    /// What the store calls this upload.
    pub(super) id: String,
    /// Bytes of each part but the last.
    pub(super) part_bytes: usize,
}

/// What a store said of a part: it is named again when the object is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTag(pub(super) String);

impl Store {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Files(store) => store.name(),
            Self::S3(store) => store.name(),
        }
    }

    /// Writes a small object in one piece, in the place of one of the same name.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        retry::tried(|| {
            let data = data.clone();
            async move {
                match self {
                    Self::Files(store) => store.put(key, data).await,
                    Self::S3(store) => store.put(key, data).await,
                }
            }
        })
        .await
    }

    /// Begins an object that comes in parts of `part_bytes`.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn begin(&self, key: &str, part_bytes: usize) -> Result<Upload, StoreError> {
        let id = retry::tried(|| async move {
            match self {
                Self::Files(store) => store.begin(key).await,
                Self::S3(store) => store.begin(key).await,
            }
        })
        .await?;
        Ok(Upload { key: key.to_owned(), id, part_bytes })
    }

    /// Sends one part, from number 0 on. Parts may come in any order, and again.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn part(&self, upload: &Upload, number: u32, data: Bytes) -> Result<PartTag, StoreError> {
        retry::tried(|| {
            let data = data.clone();
            async move {
                match self {
                    Self::Files(store) => store.part(upload, number, data).await,
                    Self::S3(store) => store.part(upload, number, data).await,
                }
            }
        })
        .await
    }

    /// Has the object appear, whole, with all its parts in their order; `bytes` is what it has to have.
    ///
    /// # Errors
    /// After some tries: the store's last word, or that the object has another size than it should.
    pub async fn complete(&self, upload: &Upload, tags: &[PartTag], bytes: u64) -> Result<(), StoreError> {
        retry::tried(|| async move {
            match self {
                Self::Files(store) => store.complete(upload, bytes).await,
                Self::S3(store) => store.complete(upload, tags, bytes).await,
            }
        })
        .await?;
        let found = self.size(&upload.key).await?;
        if found == Some(bytes) {
            return Ok(());
        }
        let found = found.map_or("nothing".to_owned(), |n| format!("{n} bytes"));
        Err(StoreError::wrong(
            self.name(),
            &upload.key,
            format!("it has {found} there and should have {bytes} bytes"),
        ))
    }

    /// Takes an upload back. One that is unknown counts as taken back.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        retry::tried(|| async move {
            match self {
                Self::Files(store) => store.abort(upload).await,
                Self::S3(store) => store.abort(upload).await,
            }
        })
        .await
    }

    /// Takes every upload below `prefix` back that was begun and never completed. How many there were. Only for whoever knows
    /// that nobody uploads there.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn abort_all(&self, prefix: &str) -> Result<usize, StoreError> {
        let uploads = retry::tried(|| async move {
            match self {
                Self::Files(store) => store.unfinished(prefix).await,
                Self::S3(store) => store.unfinished(prefix).await,
            }
        })
        .await?;
        for upload in &uploads {
            self.abort(upload).await?;
        }
        Ok(uploads.len())
    }

    /// The size of an object; `None` where there is none.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let found = retry::tried(|| async move {
            match self {
                Self::Files(store) => store.size(key).await,
                Self::S3(store) => store.size(key).await,
            }
        });
        match found.await {
            Err(error) if error.is_missing() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Everything below `prefix`, by name.
    ///
    /// # Errors
    /// After some tries: the store's last word, or that there is more than anybody keeps.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Item>, StoreError> {
        retry::tried(|| async move {
            match self {
                Self::Files(store) => store.list(prefix).await,
                Self::S3(store) => store.list(prefix).await,
            }
        })
        .await
    }

    /// The folders right below `prefix`, which is empty or ends with a slash: their own names, in order. What is in them is
    /// not looked through.
    ///
    /// # Errors
    /// After some tries: the store's last word, or that there are more than anybody keeps.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        retry::tried(|| async move {
            match self {
                Self::Files(store) => store.folders(prefix).await,
                Self::S3(store) => store.folders(prefix).await,
            }
        })
        .await
    }

    /// Reads an object from its beginning. A connection that breaks is made again where it was.
    #[must_use]
    pub fn get(&self, key: &str) -> Download {
        Download::new(self.clone(), key)
    }

    /// A small object as a whole.
    ///
    /// # Errors
    /// After some tries: the store's last word, or that it has more than `max` bytes.
    pub async fn read(&self, key: &str, max: usize) -> Result<Vec<u8>, StoreError> {
        let (mut download, mut data) = (self.get(key), Vec::new());
        while let Some(piece) = download.piece().await? {
            data.extend_from_slice(&piece);
            if data.len() > max {
                return Err(StoreError::wrong(self.name(), key, format!("it has more than {max} bytes")));
            }
        }
        Ok(data)
    }

    /// Removes an object. One that is not there counts as removed.
    ///
    /// # Errors
    /// After some tries: the store's last word.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        retry::tried(|| async move {
            match self {
                Self::Files(store) => store.delete(key).await,
                Self::S3(store) => store.delete(key).await,
            }
        })
        .await
    }
}
