//! The keeper against real processes.

#![allow(clippy::unwrap_used)]

mod loop_tests;
mod process_tests;

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::guard::clock::Boottime;
use crate::guard::testing::{Directory, Sleeper};

/// The bound of whatever a test waits for.
const SOON: Duration = Duration::from_secs(10);

/// What arms the keeper with this process.
fn request_for(server: &Sleeper, epoch: u64, left: Duration) -> ArmRequest {
    let process = server.process();
    ArmRequest {
        epoch,
        pid: process.pid(),
        start_time_ticks: process.start_time_ticks(),
        deadline: Some(Boottime::now() + left),
    }
}

fn runs(server: &mut Sleeper) -> bool {
    server.child().try_wait().unwrap().is_none()
}

/// The loop in a thread. Ends with the test, once its server (declared after it, so dropped before) is gone.
struct Loop {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    directory: Directory,
}

impl Loop {
    fn start() -> Self {
        Self::with_fence(None)
    }

    fn with_fence(hard_fence_command: Option<Vec<String>>) -> Self {
        let directory = Directory::new();
        let options = KeeperOptions { run_dir: directory.path().to_owned(), hard_fence_command };
        let listener = UnixListener::bind(directory.path().join(SOCKET_FILE)).unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || serve(&listener, stopped, &options).unwrap());
        Self { stop: Some(stop), thread: Some(thread), directory }
    }

    fn run_dir(&self) -> &Path {
        self.directory.path()
    }

    /// What a signal does.
    fn ask_to_stop(&mut self) {
        self.stop.as_mut().unwrap().write_all(b"s").unwrap();
    }

    async fn client(&self) -> Client {
        Client::connect(self.run_dir()).await.unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// The same process once more, for a second from now.
fn again(request: &ArmRequest) -> ArmRequest {
    ArmRequest { deadline: Some(Boottime::now() + Duration::from_secs(1)), ..*request }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Refusal {
    match result {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

async fn wait_for_kill(client: &Client) -> KillRecord {
    let mut killed = client.killed();
    let record = timeout(SOON, killed.wait_for(Option::is_some)).await.unwrap().unwrap();
    record.clone().unwrap()
}
