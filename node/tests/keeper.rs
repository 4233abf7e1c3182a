//! The keeper as the process that it is: `baton-node keeper`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_node::guard::clock::Boottime;
use baton_node::guard::keeper::{ArmRequest, ClientError, Refusal, SpawnOptions, connect_or_spawn};
use baton_node::guard::process::ServerProcess;
use rustix::process::{Pid, Signal, getsid, kill_process};
use tokio::time::timeout;

/// The bound of whatever a test waits for.
const SOON: Duration = Duration::from_secs(10);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("baton-keeper-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A process that stands for a server, killed with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Kills the keeper's process with the test.
struct KeeperProcess(ServerProcess);

impl Drop for KeeperProcess {
    fn drop(&mut self) {
        drop(self.0.kill());
    }
}

/// Asks until there is an answer: on a busy machine one may come later than a call waits. All that is asked here can be
/// asked again.
async fn answered<T, F: Future<Output = Result<T, ClientError>>>(
    ask: impl Fn() -> F,
) -> Result<T, ClientError> {
    let asking = async {
        loop {
            match ask().await {
                Err(ClientError::TimedOut) => {}
                answer => return answer,
            }
        }
    };
    timeout(SOON, asking).await.unwrap()
}

#[tokio::test]
async fn a_process_of_its_own_ends_only_when_it_holds_nothing() {
    let folder = Folder::new();
    let run_dir = folder.0.join("run");
    let options = SpawnOptions::new(run_dir.clone(), env!("CARGO_BIN_EXE_baton-node").into());
    let client = answered(|| connect_or_spawn(&options)).await.unwrap();
    let keeper_pid = client.hello().keeper_pid;
    let keeper = KeeperProcess(ServerProcess::find(keeper_pid).unwrap());
    assert_eq!(fs::metadata(&run_dir).unwrap().permissions().mode() & 0o777, 0o700);
    // A session of its own, whose leader it is. (The test's own may have a leader outside of this pid namespace.)
    assert_eq!(getsid(Pid::from_raw(keeper_pid)).unwrap().as_raw_pid(), keeper_pid);

    // One that lives is attached to, and another beside it ends and says why.
    assert_eq!(answered(|| connect_or_spawn(&options)).await.unwrap().hello().keeper_pid, keeper_pid);
    let mut second = Command::new(&options.program);
    let second = second.args(&options.arguments).stderr(Stdio::null()).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(said.contains("another keeper runs in"), "{said}");

    let server = Sleeper(Command::new("sleep").arg("1000").spawn().unwrap());
    let process = ServerProcess::find(i32::try_from(server.0.id()).unwrap()).unwrap();
    let request = ArmRequest {
        epoch: 1,
        pid: process.pid(),
        start_time_ticks: process.start_time_ticks(),
        deadline: Some(Boottime::now() + 10 * SOON),
    };
    answered(|| client.arm(request)).await.unwrap();
    let pid = Pid::from_raw(keeper_pid).unwrap();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        kill_process(pid, signal).unwrap();
    }
    assert!(answered(|| client.status()).await.unwrap().holding.is_some());
    assert!(matches!(answered(|| client.stop()).await, Err(ClientError::Refused(Refusal::Holding))));
    answered(|| client.closed(1, request.pid)).await.unwrap();

    kill_process(pid, Signal::TERM).unwrap();
    timeout(SOON, client.died()).await.unwrap();
    timeout(SOON, keeper.0.exited()).await.unwrap().unwrap();
    assert!(matches!(client.status().await, Err(ClientError::Died)));

    // A socket file that nobody listens on does not stop the next one, and a client can end that.
    drop(UnixListener::bind(run_dir.join("keeper.sock")).unwrap());
    let client = answered(|| connect_or_spawn(&options)).await.unwrap();
    let next = KeeperProcess(ServerProcess::find(client.hello().keeper_pid).unwrap());
    match answered(|| client.stop()).await {
        // One that was asked twice may have ended at the first.
        Ok(()) | Err(ClientError::Connect { .. } | ClientError::Died) => {}
        other => other.unwrap(),
    }
    timeout(SOON, next.0.exited()).await.unwrap().unwrap();
}
