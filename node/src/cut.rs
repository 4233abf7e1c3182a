//! Where tests cut operations off: right after a step was committed and this node has it on disk, before anybody here has
//! acted on it. A build for use has none of it.
//!
//! In a debug build, the variable `BATON_STOP_AFTER_STEP` names a file with the name of a step ([`crate::state::StepName`]): when this
//! node has applied that step, it removes the file and stops itself, as SIGSTOP does. What happens then is up to the test.
//! In the simulation, `watch` is told.

#[cfg(any(debug_assertions, feature = "simulation"))]
pub(crate) use watched::Steps;
#[cfg(feature = "simulation")]
pub use watched::watch;

#[cfg(any(debug_assertions, feature = "simulation"))]
mod watched {
    use crate::state::{Change, Outcome};

    /// The steps among entries that are applied together.
    #[derive(Default)]
    pub(crate) struct Steps(Vec<String>);

    impl Steps {
        /// An entry is applied.
        pub(crate) fn note(&mut self, change: &Change, outcome: &Outcome) {
            if *outcome == Outcome::Applied {
                self.0.extend(change.step().map(str::to_owned));
            }
        }

        /// They are on disk.
        pub(crate) fn reached(self) {
            self.0.iter().for_each(|step| super::reached(step));
        }
    }

    #[cfg(feature = "simulation")]
    type Watcher = std::rc::Rc<dyn Fn(&str)>;

    #[cfg(feature = "simulation")]
    thread_local! {
        static WATCHER: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
    }

    /// Tells of every step that any node of this thread's simulation applies, from within that node's task.
    #[cfg(feature = "simulation")]
    pub fn watch(watcher: Option<Watcher>) {
        WATCHER.set(watcher);
    }

    #[cfg(feature = "simulation")]
    pub(super) fn tell(step: &str) {
        let watcher = WATCHER.with_borrow(Clone::clone);
        if let Some(watcher) = watcher {
            watcher(step);
        }
    }
}

#[cfg(feature = "simulation")]
use watched::tell as reached;

/// Stops this process if it is to stop here.
#[cfg(all(debug_assertions, not(feature = "simulation")))]
fn reached(step: &str) {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use rustix::process::{Signal, getpid, kill_process};

    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(file) = FILE.get_or_init(|| std::env::var_os("BATON_STOP_AFTER_STEP").map(PathBuf::from)) else {
        return;
    };
    if std::fs::read_to_string(file).is_ok_and(|wanted| wanted.trim() == step)
        && std::fs::remove_file(file).is_ok()
    {
        let _cannot_fail = kill_process(getpid(), Signal::STOP);
    }
}

/// Nothing is watched in a build for use.
#[cfg(not(any(debug_assertions, feature = "simulation")))]
#[derive(Default)]
pub(crate) struct Steps;

#[cfg(not(any(debug_assertions, feature = "simulation")))]
impl Steps {
    pub(crate) fn note(&mut self, _: &crate::state::Change, _: &crate::state::Outcome) {}

    pub(crate) fn reached(self) {}
}
