//! What makes the keeper the last process to be stopped, starved or swapped out. All of it is tried, none of it required:
//! what is refused is reported once, with the mend.

use std::fs;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit, setpriority_process, setsid};
use rustix::thread::{CapabilitySet, capabilities};

/// Scheduled before all ordinary processes. (Real-time scheduling is the unit's to set: `CPUSchedulingPolicy=fifo`.)
const HIGHEST_PRIORITY: i32 = -20;

/// Hardens this process and returns what was refused.
pub(super) fn harden() -> Vec<String> {
    // Refused to the leader of a process group, which is out of its parent's reach already.
    let _ = setsid();
    [lock_memory(), spare_from_oom_killer(), raise_priority()].into_iter().flatten().collect()
}

/// Locks pages as they are first touched: all of them at once would keep the whole of the program, which is the
/// daemon's too, in memory. The way to a kill must therefore have been walked once, see `run.rs`.
fn lock_memory() -> Option<String> {
    let mut flags = MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT;
    // Under a limit, locking what is to come would make an allocation fail instead of leaving it unlocked.
    let unlimited = getrlimit(Resource::Memlock).current.is_none()
        || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if unlimited {
        flags |= MlockAllFlags::FUTURE;
    }
    match mlockall(flags) {
        Ok(()) if unlimited => None,
        Ok(()) => Some("only part of the memory is locked: set LimitMEMLOCK=infinity".to_owned()),
        Err(error) => Some(format!("memory is not locked ({error}): set LimitMEMLOCK=infinity")),
    }
}

/// −1000 exempts from the OOM killer altogether. Without CAP_SYS_RESOURCE the score cannot sink below what the process
/// started with.
fn spare_from_oom_killer() -> Option<String> {
    const SCORE: &str = "/proc/self/oom_score_adj";
    if [-1000, -999, 0].iter().any(|score| fs::write(SCORE, score.to_string()).is_ok()) {
        let score = fs::read_to_string(SCORE).unwrap_or_default();
        if score.trim() == "-1000" {
            return None;
        }
    }
    Some("the OOM killer may choose this process: set OOMScoreAdjust=-1000".to_owned())
}

fn raise_priority() -> Option<String> {
    let raised = setpriority_process(None, HIGHEST_PRIORITY);
    // A session of its own is an autogroup of its own, and inside it a process's priority competes with nobody's.
    drop(fs::write("/proc/self/autogroup", HIGHEST_PRIORITY.to_string()));
    let error = raised.err()?;
    Some(format!("priority is not raised ({error}): set CPUSchedulingPolicy=fifo or Nice=-20"))
}
