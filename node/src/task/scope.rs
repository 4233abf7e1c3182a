//! A process of the simulation: its tasks can be killed or stopped all at once.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle, JoinSet};

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A process. Clones are the same one. What its tasks start belongs to it too.
#[derive(Clone)]
pub struct Scope(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    killed: bool,
    stopped: bool,
    /// Woken while the process stood still.
    held: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    draws: u64,
}

/// As many handles of tasks that have ended are kept at least.
const SWEEP: usize = 64;

impl Scope {
    /// A process whose draws follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { draws: seed, ..State::default() })))
    }

    /// The process whose task is being polled.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Whether both are the same process.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Starts a task of this process; one that was killed starts nothing.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = tokio::spawn(self.scoped(future));
        self.keep(task.abort_handle());
        task
    }

    pub(super) fn spawn_in<F>(&self, tasks: &mut JoinSet<()>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = tasks.spawn(self.scoped(future));
        self.keep(handle);
    }

    /// SIGKILL: none of its code runs any more.
    pub fn kill(&self) {
        let tasks = {
            let mut state = self.lock();
            state.killed = true;
            state.held.clear();
            std::mem::take(&mut state.tasks)
        };
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.lock().killed
    }

    /// SIGSTOP: its tasks stand still while time goes on.
    pub fn stop(&self) {
        self.lock().stopped = true;
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        let held = {
            let mut state = self.lock();
            state.stopped = false;
            std::mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    /// Whether it stands still.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// The next of this process's draws (SplitMix64).
    pub fn draw(&self) -> u64 {
        let mut state = self.lock();
        state.draws = state.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state.draws ^ (state.draws >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn scoped<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped { scope: self.clone(), future: Box::pin(future) }
    }

    fn keep(&self, handle: AbortHandle) {
        let mut state = self.lock();
        if state.killed {
            handle.abort();
            return;
        }
        if state.tasks.len() >= SWEEP && state.tasks.len().is_power_of_two() {
            state.tasks.retain(|task| !task.is_finished());
        }
        state.tasks.push(handle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Scoped<F> {
    scope: Scope,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.scope.lock();
            if state.killed {
                return Poll::Pending;
            }
            if state.stopped {
                state.held.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        let outer = CURRENT.replace(Some(self.scope.clone()));
        let polled = self.future.as_mut().poll(context);
        CURRENT.set(outer);
        polled
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::super::spawn;
    use super::*;

    fn counting(scope: &Scope) -> Arc<AtomicU32> {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        scope.spawn(async move {
            // Started by a task of the process: belongs to it too.
            spawn(async move {
                loop {
                    counted.fetch_add(1, Ordering::SeqCst);
                    sleep(Duration::from_millis(1)).await;
                }
            });
        });
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_process_stands_still_and_a_killed_one_ends() {
        let scope = Scope::new(1);
        let count = counting(&scope);
        let mut seen = Vec::new();
        for step in [Scope::go_on, Scope::stop, Scope::go_on, Scope::kill, Scope::go_on] {
            step(&scope);
            let before = count.load(Ordering::SeqCst);
            sleep(Duration::from_millis(10)).await;
            seen.push(count.load(Ordering::SeqCst) > before);
        }
        assert_eq!(seen, [true, false, true, false, false]);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draws = |seed| {
            let scope = Scope::new(seed);
            [scope.draw(), scope.draw()]
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }
}
