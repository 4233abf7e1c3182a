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
