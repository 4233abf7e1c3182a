//! The program that reads the server. It ends with whoever waits for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::Child;
use tokio::time::timeout;

use super::scratch::Scratch;
use super::spec::RunSpec;
use crate::backup::account::AccountFile;
use crate::backup::program::{command, said};

/// After its last byte it has locks to give back, and nothing else to do.
const ENDS_WITHIN: Duration = Duration::from_secs(300);
/// As much of the end of what it said as is looked at.
const LOG_BYTES: usize = 64 << 10;

pub(super) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
    _account: Option<AccountFile>,
}

impl Program {
    pub(super) fn start(spec: &RunSpec, scratch: &Scratch, staged: Option<&Path>) -> Result<Self, String> {
        let (name, log) = (spec.engine.name(), scratch.log());
        let account = spec.local_account()?.map(|account| AccountFile::write(&scratch.defaults(), &account));
        let account = account.transpose()?;
        let words = spec.engine.words(&spec.extent, &scratch.defaults(), &scratch.target(), staged)?;
        let file = File::create(&log).map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
        // A group of its own, so that what it starts ends with it: a stream lasts as long as anybody holds its end.
        let started = command(&words, file).stdout(Stdio::piped()).process_group(0).spawn();
        let program = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let child = started.map_err(|e| format!("{program} cannot be started: {e}"))?;
        Ok(Self { name, child, log, _account: account })
    }

    /// What it writes.
    pub(super) fn output(&mut self) -> Result<File, String> {
        let output = self.child.stdout.take().ok_or("the program has no output")?;
        let output = output.into_owned_fd().map_err(|e| format!("its output cannot be read: {e}"))?;
        Ok(output.into())
    }

    /// A reason with what it said itself, should that be why.
    pub(super) fn explained(&mut self, why: String) -> String {
        let status = self.group().and_then(|pid| {
            // Looked at only: once it is waited for, its pid may be another's.
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), look).ok().flatten()
        });
        match status.filter(|status| status.exit_status() != Some(0)) {
            Some(_) => format!("{} failed: {}", self.name, said(&self.log)),
            None => why,
        }
    }

    /// While it was not waited for.
    fn group(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// Waits for its end after its last byte. What it said.
    pub(super) async fn ends_well(&mut self) -> Result<String, String> {
        let name = self.name;
        match timeout(ENDS_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(self.tail()),
            Ok(Ok(status)) => Err(format!("{name} ended with {status}: {}", said(&self.log))),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => {
                Err(format!("{name} did not end within {} s after its last byte", ENDS_WITHIN.as_secs()))
            }
        }
    }

    fn tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_BYTES);
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = self.group() {
            // An error says that nobody is left.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}
