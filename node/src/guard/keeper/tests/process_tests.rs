//! The keeper as a process of its own, and finding it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, getsid, kill_process};
use tokio::time::timeout;

use super::{SOON, refusal, request_for};
use crate::guard::keeper::*;
use crate::guard::process::ServerProcess;
use crate::guard::testing::{Directory, Sleeper};

const RUN_DIR_VARIABLE: &str = "BATON_TEST_KEEPER_RUN_DIR";

/// Not a test: the keeper's process in those below, which start this test program again.
#[test]
#[ignore = "the process that other tests start"]
fn keeper_process() {
    let Some(run_dir) = std::env::var_os(RUN_DIR_VARIABLE) else { return };
    run(&KeeperOptions { run_dir: run_dir.into(), hard_fence_command: None }).unwrap();
}

/// `env` sets the directory, as arguments are all that is passed on.
fn spawn_options(run_dir: &Path) -> SpawnOptions {
    let this = std::env::current_exe().unwrap();
    let mut variable = OsString::from(RUN_DIR_VARIABLE);
    variable.push("=");
    variable.push(run_dir);
    let arguments = [variable.as_os_str(), this.as_os_str()]
        .into_iter()
        .map(Into::into)
        .chain(
            ["guard::keeper::tests::process_tests::keeper_process", "--exact", "--ignored", "--nocapture"]
                .map(Into::into),
        )
        .collect();
    SpawnOptions { run_dir: run_dir.to_owned(), program: "/usr/bin/env".into(), arguments }
}

/// Kills the keeper's process with the test.
struct KeeperProcess(ServerProcess);

impl Drop for KeeperProcess {
    fn drop(&mut self) {
        drop(self.0.kill());
    }
}

#[tokio::test]
async fn a_process_of_its_own_ends_only_when_it_holds_nothing() {
    let directory = Directory::new();
    let run_dir = directory.path().join("run");
    let options = spawn_options(&run_dir);
    let client = connect_or_spawn(&options).await.unwrap();
    let keeper_pid = client.hello().keeper_pid;
    let keeper = KeeperProcess(ServerProcess::find(keeper_pid).unwrap());
    assert_eq!(fs::metadata(&run_dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_ne!(getsid(Pid::from_raw(keeper_pid)).unwrap(), getsid(None).unwrap());

    // One that lives is attached to, and another beside it ends with an error.
    assert_eq!(connect_or_spawn(&options).await.unwrap().hello().keeper_pid, keeper_pid);
    let second =
        Command::new(&options.program).args(&options.arguments).stdout(Stdio::null()).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("AlreadyRunning"));

    let server = Sleeper::start();
    let request = request_for(&server, 1, SOON);
    client.arm(request).await.unwrap();
    let pid = Pid::from_raw(keeper_pid).unwrap();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        kill_process(pid, signal).unwrap();
    }
    assert!(client.status().await.unwrap().holding.is_some());
    assert_eq!(refusal(client.stop().await), Refusal::Holding);
    client.closed(1, request.pid).await.unwrap();

    // In its own program the one thread takes a signal before its next answer. Here another thread of the test program
    // may take it, late enough for it to end the keeper that holds nothing any more.
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(refused) => panic!("{refused}"),
    }
    timeout(SOON, client.died()).await.unwrap();
    timeout(SOON, keeper.0.exited()).await.unwrap().unwrap();
    assert!(matches!(client.status().await, Err(ClientError::Died)));

    // A socket file that nobody listens on does not stop the next one, and a client can end that.
    drop(UnixListener::bind(run_dir.join(SOCKET_FILE)).unwrap());
    let client = connect_or_spawn(&options).await.unwrap();
    let next = KeeperProcess(ServerProcess::find(client.hello().keeper_pid).unwrap());
    client.stop().await.unwrap();
    timeout(SOON, next.0.exited()).await.unwrap().unwrap();
}

#[tokio::test]
async fn says_why_no_keeper_came_up() {
    let directory = Directory::new();
    let options = SpawnOptions {
        run_dir: directory.path().to_owned(),
        program: "/bin/false".into(),
        arguments: Vec::new(),
    };
    match connect_or_spawn(&options).await {
        Err(ClientError::NotUp { exit: Some(status), .. }) => assert!(!status.success()),
        other => panic!("{other:?}"),
    }
    let missing = SpawnOptions { program: directory.path().join("missing"), ..options };
    assert!(matches!(connect_or_spawn(&missing).await, Err(ClientError::Spawn { .. })));
}

const OTHER_VERSION: &str = r#"{"answer":{"id":1,"answer":{"refused":{"version":{"version":2}}}}}"#;
const HOLDING: &str = r#"{"answer":{"id":1,"answer":{"refused":"holding"}}}"#;

/// Plays a keeper that takes one connection after another and answers the first call of each with the next of these
/// lines. Returns how attaching to it went.
async fn attach_to_played_keeper(answers: &[&str]) -> Result<Client, ClientError> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let directory = Directory::new();
    let listener = tokio::net::UnixListener::bind(directory.path().join(SOCKET_FILE)).unwrap();
    let options = SpawnOptions {
        run_dir: directory.path().to_owned(),
        program: directory.path().join("never started"),
        arguments: Vec::new(),
    };
    let played = async {
        let mut kept = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(b"\n").await.unwrap();
            kept.push(stream);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = played => unreachable!(),
        attached = timeout(SOON, connect_or_spawn(&options)) => attached.unwrap(),
    }
}

#[tokio::test]
async fn starts_none_beside_a_keeper_that_does_not_answer() {
    assert!(matches!(attach_to_played_keeper(&[]).await, Err(ClientError::TimedOut)));
}

#[tokio::test]
async fn leaves_a_keeper_of_another_protocol_while_it_holds_a_server() {
    let attached = attach_to_played_keeper(&[OTHER_VERSION, HOLDING]).await;
    assert_eq!(refusal(attached), Refusal::Version { version: 2 });
}
