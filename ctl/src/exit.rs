//! What the exit status means: a contract with scripts.

/// The exit status of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `status`, healthy.
    Ok = 0,
    /// `status`, `fleet`: degraded. `check`: at least one error was found. `routing`: a ProxySQL is not right.
    /// `alert test`: somebody was not told. `recovery`: nothing can be restored.
    Degraded = 1,
    /// `status`: no server is open for writes.
    NoWriter = 2,
    /// The command line, the configuration or a file it names is wrong, or the operator did not confirm; nothing was
    /// changed.
    Usage = 3,
    /// No node answered in time, or none could carry the request to a leader.
    NoAnswer = 4,
    /// Baton refused the request, or failed to carry it out.
    Refused = 5,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table of exit statuses, as `--help` ends with it.
pub const TABLE: &str = "\
Exit status:
  0  done; status: healthy
  1  status, fleet: degraded; check: at least one error found; routing: a ProxySQL
     is not right; alert test: somebody was not told; recovery: nothing can be
     restored
  2  status, fleet: no writer
  3  wrong usage or configuration, or not confirmed; nothing was changed
  4  no node answers; the message says whether a change may have been carried out
  5  refused by Baton, or failed";
