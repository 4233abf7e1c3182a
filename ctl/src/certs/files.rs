//! Reading and writing certificates and keys.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::CertsError;

/// A certificate's file and its key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    /// `STEM.pem` and `STEM.key` in a folder.
    pub(super) fn new(dir: &Path, stem: &str) -> Self {
        Self { cert: dir.join(format!("{stem}.pem")), key: dir.join(format!("{stem}.key")) }
    }

    /// Refuses when one of the two is there and may not be replaced.
    pub(super) fn free(&self, force: bool, consequence: &'static str) -> Result<(), CertsError> {
        let taken = [&self.key, &self.cert].into_iter().find(|path| path.symlink_metadata().is_ok());
        match taken {
            Some(path) if !force => Err(CertsError::Exists { path: path.clone(), consequence }),
            _ => Ok(()),
        }
    }

    /// The key first: a certificate without its key would be refused with a less clear message.
    pub(super) fn write(&self, cert: &str, key: &str) -> Result<(), CertsError> {
        write(&self.key, key, 0o600)?;
        write(&self.cert, cert, 0o644)
    }
}

/// Makes a folder that only its owner looks into, unless it is there.
pub(super) fn folder(dir: &Path) -> Result<(), CertsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault(dir))
}

pub(super) fn read(path: &Path) -> Result<String, CertsError> {
    fs::read_to_string(path).map_err(|source| CertsError::Read { path: path.to_owned(), source })
}

/// Whole or not at all, and never for a moment with a wider mode.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    // Left behind by a run that was cut off.
    match fs::remove_file(&fresh) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(fault(&fresh)(source)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh).map_err(fault(&fresh))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault(&fresh))?;
    fs::rename(&fresh, path).map_err(fault(path))
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> CertsError {
    let path = path.to_owned();
    move |source| CertsError::Write { path, source }
}
