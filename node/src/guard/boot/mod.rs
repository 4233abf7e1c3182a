//! The check before each start of a server: would it come up closed?
//!
//! Reads the boot default as the server will and refuses a start that would accept client writes, replicate, run events
//! or answer for semi-sync before the guard has had its say. The proofs `closed`, `gone` and `stonith` count only for
//! servers that are started behind it.
//!
//! - `read.rs`, `version.rs`: all I/O.
//! - `arguments.rs`, `option_file.rs`, `persisted.rs`: the three places a setting can come from.
//! - `setting.rs`, `effective.rs`: spellings, and which setting wins.
//! - `verdict.rs`: what must hold.
//!
//! How option files and spellings are read was tried on MySQL 9.7.4 and MariaDB 10.11.19 with `--verbose --help`: group
//! names ignore case and take no blanks, option names heed it; a world-writable file is skipped, a missing `!include`
//! too, a missing `!includedir` ends the server; `!includedir` reads all names that end in `.cnf` in byte order;
//! `loose-` and `enable-`/`disable-`/`skip-` combine; of words only `ON`, `TRUE` and `1` switch on.

mod arguments;
mod effective;
mod error;
mod option_file;
mod persisted;
mod read;
mod setting;
mod verdict;
mod version;

use std::path::Path;

pub use arguments::ServerArguments;
pub use effective::{Effective, Sources, effective};
pub use error::BootError;
pub use read::{Environment, read_sources};
pub use setting::{Origin, Setting};
pub use verdict::{OpenAtBoot, verdict};
pub use version::{Dialect, ServerVersion};

/// Checks how `program` would start with `arguments` (those after its name), in this process's environment and working
/// directory. To be run as the user that starts the server.
///
/// # Errors
/// [`BootError::Open`] names everything that would be open, with the mend; the others, what could not be read.
pub fn check(program: &Path, arguments: &[String]) -> Result<(), BootError> {
    let version = version::ask(program)?;
    let arguments = ServerArguments::parse(arguments);
    let sources = read_sources(version, &arguments, &Environment::current())?;
    verdict(version, &effective(version.dialect, sources)).map_err(BootError::Open)
}
