//! The folder of all archives of a node, and one archive's folder in it: written beside its name, and renamed once it is
//! complete and on disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::ArchiveError;
use super::manifest::{Kept, Manifest, hex};

/// The manifest's name.
const MANIFEST: &str = "manifest.json";
/// The readable transactions.
pub(super) const SQL: &str = "extra.sql";
/// What a folder is called until it is complete.
const PART: &str = ".part";
/// What a folder is called whose files are not as its manifest says.
const DAMAGED: &str = ".damaged";
/// The most archives on one node. None is ever removed by Baton.
const COUNT_MAX: usize = 200;
/// The most bytes of all archives of a node.
const BYTES_MAX: u64 = 64 << 30;
/// What has to stay free on the disk, which is the Raft log's too.
const KEEP_FREE: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

/// All archives of a node.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// The free space where archives are written.
#[derive(Clone, Debug)]
pub(super) struct Room(PathBuf);

impl Room {
    /// # Errors
    /// [`ArchiveError::NoRoom`] when writing `bytes` more would leave too little.
    pub(super) fn check(&self, bytes: u64) -> Result<(), ArchiveError> {
        let stat =
            rustix::fs::statvfs(&self.0).map_err(io::Error::from).map_err(ArchiveError::at(&self.0))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = KEEP_FREE.saturating_add(bytes);
        if free >= needed {
            return Ok(());
        }
        let path = self.0.display().to_string();
        Err(ArchiveError::NoRoom { path, free_mib: free / MIB, needed_mib: needed.div_ceil(MIB) })
    }
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    pub(super) fn room(&self) -> Room {
        Room(self.0.clone())
    }

    /// The manifest of an archive; `None` where there is none of this name.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub(super) fn manifest(&self, id: &str) -> Result<Option<Manifest>, ArchiveError> {
        // The name comes from a caller: it names something in this folder or nothing.
        if id.is_empty() || id.contains(['/', '\0']) || id.starts_with('.') || id.ends_with(PART) {
            return Ok(None);
        }
        let path = self.path(id);
        let text = match fs::read(path.join(MANIFEST)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArchiveError::at(&path)(error)),
        };
        let damaged = |e: serde_json::Error| ArchiveError::Damaged {
            path: path.display().to_string(),
            why: e.to_string(),
        };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Reads every file of an archive and compares it with the manifest.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub(super) fn verify(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let path = self.path(&manifest.id);
        for file in &manifest.files {
            let found = kept(&path.join(&file.name), None)?;
            if (found.bytes, &found.sha256) != (file.bytes, &file.sha256) {
                let why = format!("{} is not as it was written", file.name);
                return Err(ArchiveError::Damaged { path: path.display().to_string(), why });
            }
        }
        Ok(())
    }

    /// A fresh folder to write the archive `id` to. What an earlier attempt left is thrown away.
    ///
    /// # Errors
    /// [`ArchiveError::Full`] and those of the disk.
    pub(super) fn begin(&self, id: &str) -> Result<PathBuf, ArchiveError> {
        make(&self.0)?;
        let part = self.0.join(format!("{id}{PART}"));
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ArchiveError::at(&part)(error));
            }
            _ => {}
        }
        self.check_full()?;
        make(&part)?;
        Ok(part)
    }

    fn check_full(&self) -> Result<(), ArchiveError> {
        let path = self.0.display().to_string();
        let (count, bytes) = size_of(&self.0).map_err(ArchiveError::at(&self.0))?;
        if count >= COUNT_MAX {
            return Err(ArchiveError::Full { path, what: format!("{count} archives") });
        }
        if bytes >= BYTES_MAX {
            return Err(ArchiveError::Full { path, what: format!("{} MiB", bytes / MIB) });
        }
        Ok(())
    }

    /// Writes the manifest and gives the folder its name. Everything is on disk when this returns. A damaged archive of
    /// the same name is moved aside, never removed.
    pub(super) fn finish(&self, part: &Path, manifest: &Manifest) -> Result<PathBuf, ArchiveError> {
        let path = part.join(MANIFEST);
        let text =
            serde_json::to_vec_pretty(manifest).map_err(io::Error::other).map_err(ArchiveError::at(&path))?;
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(part)?.sync_all()
        };
        write().map_err(ArchiveError::at(&path))?;
        let named = self.path(&manifest.id);
        if named.exists() {
            let aside = (1..).map(|n| self.0.join(format!("{}{DAMAGED}-{n}", manifest.id)));
            let aside = aside.take(COUNT_MAX).find(|p| !p.exists()).unwrap_or_else(|| self.0.join(DAMAGED));
            fs::rename(&named, &aside).map_err(ArchiveError::at(&aside))?;
        }
        let rename = || {
            fs::rename(part, &named)?;
            File::open(&self.0)?.sync_all()
        };
        rename().map_err(ArchiveError::at(&named))?;
        Ok(named)
    }

    /// The first bytes of an archive's SQL, at most `max` and whole lines, and how many follow.
    pub(super) fn sql(&self, id: &str, max: u64) -> Result<(String, u64), ArchiveError> {
        let path = self.path(id).join(SQL);
        let read = || {
            let mut file = File::open(&path)?;
            let all = file.metadata()?.len();
            let mut bytes = Vec::new();
            Read::take(&mut file, max).read_to_end(&mut bytes)?;
            if all > max {
                let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                bytes.truncate(end);
            }
            let left = all.saturating_sub(bytes.len() as u64);
            Ok((String::from_utf8_lossy(&bytes).into_owned(), left))
        };
        read().map_err(ArchiveError::at(&path))
    }
}

/// Size and hash of a file as it is on disk.
pub(super) fn kept(path: &Path, from: Option<String>) -> Result<Kept, ArchiveError> {
    let read = || {
        let (mut file, mut hash) = (File::open(path)?, Sha256::new());
        let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
        loop {
            let some = file.read(&mut buffer)?;
            if some == 0 {
                return Ok((bytes, hex(&hash.finalize())));
            }
            hash.update(&buffer[..some]);
            bytes += some as u64;
        }
    };
    let (bytes, sha256) = read().map_err(ArchiveError::at(path))?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Kept { name, bytes, sha256, from })
}

/// What is in it may be anybody's personal data.
fn make(path: &Path) -> Result<(), ArchiveError> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(ArchiveError::at(path))
}

/// How many archives there are, and the bytes of their files.
fn size_of(folder: &Path) -> io::Result<(usize, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for archive in fs::read_dir(folder)? {
        let archive = archive?;
        if !archive.file_type()?.is_dir() {
            continue;
        }
        count += 1;
        for file in fs::read_dir(archive.path())? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok((count, bytes))
}
