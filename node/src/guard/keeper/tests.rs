//! The keeper against real processes: its loop in a thread, and once as a process of its own.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, getsid, kill_process};
use tokio::time::timeout;

use super::*;
use crate::guard::clock::Boottime;
use crate::guard::process::ServerProcess;
use crate::guard::testing::{Directory, Sleeper};

/// The bound of whatever a test waits for.
const SOON: Duration = Duration::from_secs(10);
const RUN_DIR_VARIABLE: &str = "BATON_TEST_KEEPER_RUN_DIR";

/// What arms the keeper with this process.
fn request_for(server: &Sleeper, epoch: u64, left: Duration) -> ArmRequest {
    let process = server.process();
    ArmRequest {
        epoch,
        pid: process.pid(),
        start_time_ticks: process.start_time_ticks(),
        deadline: Boottime::now() + left,
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
    ArmRequest { deadline: Boottime::now() + Duration::from_secs(1), ..*request }
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

#[tokio::test]
async fn kills_at_the_deadline() {
    let keeper = Loop::start();
    let server = Sleeper::start();
    let process = server.process();
    let client = keeper.client().await;
    assert_eq!(client.hello().holding, None);

    let request = request_for(&server, 7, Duration::from_millis(150));
    let status = client.arm(request).await.unwrap();
    assert_eq!(status.holding.unwrap().deadline, request.deadline);
    timeout(SOON, process.exited()).await.unwrap().unwrap();
    let seen = Boottime::now();
    assert!(seen >= request.deadline);
    let late = seen.saturating_since(request.deadline);
    assert!(late < Duration::from_millis(20), "{late:?}");

    let record = wait_for_kill(&client).await;
    assert_eq!((record.epoch, record.pid, record.delivered), (7, request.pid, true));
    assert!(record.killed_at >= record.deadline && record.lateness() < Duration::from_millis(20));
    let status = client.status().await.unwrap();
    assert_eq!((status.holding, status.killed), (None, Some(record.clone())));
    assert_eq!(KillRecord::read(keeper.run_dir()).unwrap(), Some(record));
    KillRecord::remove(keeper.run_dir()).unwrap();
    assert_eq!(KillRecord::read(keeper.run_dir()).unwrap(), None);
    KillRecord::remove(keeper.run_dir()).unwrap();
}

#[tokio::test]
async fn extensions_keep_it_alive() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 1, Duration::from_millis(300));
    client.arm(request).await.unwrap();
    let mut deadline = request.deadline;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        deadline = Boottime::now() + Duration::from_millis(300);
        let status = client.extend(1, request.pid, deadline).await.unwrap();
        assert_eq!(status.holding.unwrap().deadline, deadline);
    }
    assert!(Boottime::now() > request.deadline && runs(&mut server));
    // The answers of an older round do not take anything away.
    let earlier = deadline.saturating_sub(Duration::from_millis(200));
    let status = client.extend(1, request.pid, earlier).await.unwrap();
    assert_eq!(status.holding.unwrap().deadline, deadline);

    let record = wait_for_kill(&client).await;
    assert_eq!(record.deadline, deadline);
    assert_eq!(refusal(client.extend(1, request.pid, deadline + SOON).await), Refusal::NotHeld);
    assert!(matches!(refusal(client.arm(again(&request)).await), Refusal::AlreadyKilled { .. }));
}

#[tokio::test]
async fn a_closed_server_lives() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 3, Duration::from_millis(200));
    client.arm(request).await.unwrap();
    assert_eq!(refusal(client.closed(3, request.pid + 1).await), Refusal::NotHeld);
    assert_eq!(refusal(client.closed(2, request.pid).await), Refusal::NotHeld);
    assert_eq!(client.closed(3, request.pid).await.unwrap().holding, None);
    client.closed(3, request.pid).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(runs(&mut server));
    assert_eq!(client.status().await.unwrap().killed, None);
    // The end of a pause arms the same pair again.
    client.arm(again(&request)).await.unwrap();
    assert_eq!(client.disarm(3, request.pid).await.unwrap().holding, None);
}

#[tokio::test]
async fn takes_only_its_newest_epoch() {
    let keeper = Loop::start();
    let server = Sleeper::start();
    let client = keeper.client().await;
    let old = request_for(&server, 4, SOON);
    client.arm(old).await.unwrap();
    let new = request_for(&server, 5, SOON);
    client.arm(new).await.unwrap();
    assert_eq!(refusal(client.arm(old).await), Refusal::OlderEpoch { epoch: 4, newest: 5 });
    assert_eq!(refusal(client.extend(4, old.pid, old.deadline + SOON).await), Refusal::NotHeld);
    assert_eq!(refusal(client.disarm(4, old.pid).await), Refusal::NotHeld);
    let status = client.closed(5, new.pid).await.unwrap();
    assert_eq!((status.newest_epoch, status.holding), (5, None));
    assert!(matches!(refusal(client.arm(old).await), Refusal::OlderEpoch { .. }));
}

#[tokio::test]
async fn takes_no_other_server_while_one_runs_open() {
    let keeper = Loop::start();
    let (mut first, second) = (Sleeper::start(), Sleeper::start());
    let client = keeper.client().await;
    let request = request_for(&first, 1, SOON);
    client.arm(request).await.unwrap();
    let next = request_for(&second, 2, SOON);
    assert_eq!(refusal(client.arm(next).await), Refusal::PreviousStillRuns { epoch: 1, pid: request.pid });
    first.child().kill().unwrap();
    let mut exited = client.exited();
    let exit = *timeout(SOON, exited.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(exit, Some(ServerExit { epoch: 1, pid: request.pid }));
    assert_eq!(client.arm(next).await.unwrap().holding.unwrap().pid, next.pid);
}

#[tokio::test]
async fn refuses_what_it_cannot_hold() {
    let keeper = Loop::start();
    let server = Sleeper::start();
    let client = keeper.client().await;
    let good = request_for(&server, 1, SOON);
    let now = Boottime::now();
    let other_start = ArmRequest { start_time_ticks: good.start_time_ticks + 1, ..good };
    assert!(matches!(refusal(client.arm(other_start).await), Refusal::CannotHold { .. }));
    let nobody = ArmRequest { pid: i32::MAX, ..good };
    assert!(matches!(refusal(client.arm(nobody).await), Refusal::CannotHold { .. }));
    let past = ArmRequest { deadline: now, ..good };
    assert_eq!(refusal(client.arm(past).await), Refusal::DeadlinePassed);
    let far = ArmRequest { deadline: now + Duration::from_secs(3600), ..good };
    assert!(matches!(refusal(client.arm(far).await), Refusal::DeadlineTooFar { .. }));
    assert_eq!(client.status().await.unwrap().newest_epoch, 0);
}

#[tokio::test]
async fn a_lost_daemon_changes_nothing_and_the_next_takes_over() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 9, Duration::from_millis(400));
    client.arm(request).await.unwrap();
    drop(client);
    let client = keeper.client().await;
    let held = client.hello().holding.unwrap();
    assert_eq!((held.epoch, held.pid, held.deadline), (9, request.pid, request.deadline));
    assert_eq!(held.start_time_ticks, request.start_time_ticks);
    client.extend(9, request.pid, request.deadline + Duration::from_millis(200)).await.unwrap();
    drop(client);
    let process = server.process();
    assert!(runs(&mut server));
    timeout(SOON, process.exited()).await.unwrap().unwrap();
    assert!(Boottime::now() >= request.deadline + Duration::from_millis(200));
}

#[tokio::test]
async fn runs_the_hard_fence_after_the_kill() {
    let proof = Directory::new();
    let script = format!(
        "echo $BATON_EPOCH $BATON_SERVER_PID > {0}/new && mv {0}/new {0}/done",
        proof.path().display()
    );
    let keeper = Loop::with_fence(Some(vec!["sh".into(), "-c".into(), script]));
    let server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 6, Duration::from_millis(50));
    client.arm(request).await.unwrap();
    wait_for_kill(&client).await;
    let done = proof.path().join("done");
    timeout(SOON, async {
        while !done.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(fs::read_to_string(done).unwrap().trim(), format!("6 {}", request.pid));
}

#[tokio::test]
async fn does_not_fall_for_nonsense() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let keeper = Loop::start();
    let socket = keeper.run_dir().join(SOCKET_FILE);
    let mut before_hello = tokio::net::UnixStream::connect(&socket).await.unwrap();
    before_hello.write_all(b"nonsense\n{\"id\":3,\"request\":\"status\"}\n").await.unwrap();
    let mut answers = String::new();
    while answers.lines().count() < 2 {
        let mut chunk = [0; 1024];
        let count = timeout(SOON, before_hello.read(&mut chunk)).await.unwrap().unwrap();
        answers.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    assert_eq!(answers.matches("malformed").count(), 2, "{answers}");
    assert!(answers.contains(r#""id":3"#), "{answers}");
    let mut endless = tokio::net::UnixStream::connect(&socket).await.unwrap();
    drop(endless.write_all(&[b'x'; 64 * 1024]).await);
    let ended = timeout(SOON, endless.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
    assert_eq!(keeper.client().await.status().await.unwrap().version, PROTOCOL_VERSION);
}

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
    let mut variable = std::ffi::OsString::from(RUN_DIR_VARIABLE);
    variable.push("=");
    variable.push(run_dir);
    let arguments = [variable.as_os_str(), this.as_os_str()]
        .into_iter()
        .map(Into::into)
        .chain(
            ["guard::keeper::tests::keeper_process", "--exact", "--ignored", "--nocapture"].map(Into::into),
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
    assert!(client.status().await.is_ok(), "a signal from while it held a server must not count later");

    kill_process(pid, Signal::TERM).unwrap();
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
