//! Where the tasks of a node are started. In a daemon they are tokio's and end with the process. The simulation runs
//! many nodes in one process: there, each task belongs to the node that started it, and ends or stands still with it.

use std::future::Future;

use tokio::task::{JoinHandle, JoinSet};

#[cfg(feature = "simulation")]
mod scope;

#[cfg(feature = "simulation")]
pub use scope::Scope;

/// Starts a task.
#[cfg(not(feature = "simulation"))]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// Starts a task of a set.
#[cfg(not(feature = "simulation"))]
pub fn spawn_in<F>(tasks: &mut JoinSet<()>, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tasks.spawn(future);
}

/// Starts a task of the node that is running now; without one, tokio's.
#[cfg(feature = "simulation")]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Scope::current() {
        Some(scope) => scope.spawn(future),
        None => tokio::spawn(future),
    }
}

/// Starts a task of a set, which belongs to the node that is running now.
#[cfg(feature = "simulation")]
pub fn spawn_in<F>(tasks: &mut JoinSet<()>, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    match Scope::current() {
        Some(scope) => scope.spawn_in(tasks, future),
        None => {
            tasks.spawn(future);
        }
    }
}

/// Asks this host something that may never return, on a thread of its own.
#[cfg(not(feature = "simulation"))]
pub async fn ask_host<T: Send + 'static>(ask: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(ask).await.ok().flatten()
}

/// A node of the simulation has no host that could answer; whatever runs outside of one asks its own.
#[cfg(feature = "simulation")]
pub async fn ask_host<T: Send + 'static>(ask: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    match Scope::current() {
        Some(_) => None,
        None => tokio::task::spawn_blocking(ask).await.ok().flatten(),
    }
}
