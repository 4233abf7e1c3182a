//! Programs that read or write a server's data: how they are run, and what they said.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{Access, access};
use tokio::process::Command;

/// How much of a program's output is looked at for its error.
const SAID_MAX: usize = 16 << 10;
/// Characters of its error that are passed on.
const LINE_MAX: usize = 300;

/// Whether it can be started.
pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The first program of that name on a search path.
pub(crate) fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// A command of these words. It ends with whoever waits for it; what it says goes to `log`.
pub(crate) fn command(words: &[OsString], log: File) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().cloned().unwrap_or_default());
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(true);
    command
}

/// What a program said last, or of an error: one line.
pub(crate) fn said(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else { return "it said nothing".to_owned() };
    let text = String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(SAID_MAX)..).unwrap_or_default());
    line_of(&text)
}

/// The first error of the last words, which the others follow from; else the last line.
fn line_of(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.contains("error") || line.contains("fatal")
    };
    let line = lines.clone().find(is_error).or_else(|| lines.next_back()).unwrap_or("it said nothing");
    line.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_what_it_said() {
        let log =
            "[00] Connecting\n[00] FATAL ERROR: 2026 Failed to connect: Access denied\n[00] mysql_close\n";
        assert_eq!(line_of(log), "[00] FATAL ERROR: 2026 Failed to connect: Access denied");
        assert_eq!(line_of("one\ntwo\n\n"), "two");
        assert_eq!(line_of(""), "it said nothing");
    }
}
