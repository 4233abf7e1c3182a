//! The loop in a thread of the test, against real processes.

use std::fs;
use std::time::Duration;

use tokio::time::timeout;

use super::{Loop, SOON, again, refusal, request_for, runs, wait_for_kill};
use crate::guard::clock::Boottime;
use crate::guard::keeper::*;
use crate::guard::testing::{Directory, Sleeper};

/// How late a loop in an ordinary thread may be on a machine that does other things beside it.
const LATE: Duration = Duration::from_millis(250);

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
    let deadline = request.deadline.unwrap();
    assert!(seen >= deadline);
    let late = seen.saturating_since(deadline);
    assert!(late < LATE, "{late:?}");

    let record = wait_for_kill(&client).await;
    assert_eq!((record.epoch, record.pid, record.delivered), (7, request.pid, true));
    assert!(record.killed_at >= record.deadline && record.lateness() < LATE);
    let status = client.status().await.unwrap();
    assert_eq!((status.holding, status.killed), (None, Some(record.clone())));
    assert_eq!(KillRecord::read(keeper.run_dir()).unwrap(), Some(record));
    KillRecord::remove(keeper.run_dir()).unwrap();
    assert_eq!(KillRecord::read(keeper.run_dir()).unwrap(), None);
    KillRecord::remove(keeper.run_dir()).unwrap();
}

#[tokio::test]
async fn held_without_a_deadline_it_is_killed_only_after_an_extension() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = ArmRequest { deadline: None, ..request_for(&server, 2, Duration::ZERO) };
    assert_eq!(client.arm(request).await.unwrap().holding.unwrap().deadline, None);
    assert!(runs(&mut server));
    let deadline = Boottime::now() + Duration::from_millis(100);
    client.extend(2, request.pid, deadline).await.unwrap();
    assert_eq!(wait_for_kill(&client).await.deadline, deadline);
}

#[tokio::test]
async fn extensions_keep_it_alive() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 1, Duration::from_millis(1200));
    client.arm(request).await.unwrap();
    let mut deadline = request.deadline.unwrap();
    for _ in 0..6 {
        // The keeper goes by the kernel's clock. Six of these are twice the deadline, one is a third of it.
        tokio::time::sleep(Duration::from_millis(400)).await;
        deadline = Boottime::now() + Duration::from_millis(1200);
        let status = client.extend(1, request.pid, deadline).await.unwrap();
        assert_eq!(status.holding.unwrap().deadline, Some(deadline));
    }
    assert!(Boottime::now() > request.deadline.unwrap() && runs(&mut server));
    // The answers of an older round do not take anything away.
    let earlier = deadline.saturating_sub(Duration::from_millis(800));
    let status = client.extend(1, request.pid, earlier).await.unwrap();
    assert_eq!(status.holding.unwrap().deadline, Some(deadline));

    let record = wait_for_kill(&client).await;
    assert_eq!(record.deadline, deadline);
    assert_eq!(refusal(client.extend(1, request.pid, deadline + SOON).await), Refusal::NotHeld);
    assert!(matches!(refusal(client.arm(again(&request)).await), Refusal::AlreadyKilled { .. }));
}

#[tokio::test]
async fn a_wish_to_stop_counts_only_while_nothing_is_held() {
    let mut keeper = Loop::start();
    let server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 3, SOON);
    client.arm(request).await.unwrap();
    keeper.ask_to_stop();
    // The wish is read in the turn that answers this, at the latest.
    assert!(client.status().await.unwrap().holding.is_some());
    client.closed(3, request.pid).await.unwrap();
    assert!(client.status().await.is_ok(), "a wish from while it held a server must not count later");
    keeper.ask_to_stop();
    timeout(SOON, client.died()).await.unwrap();
}

#[tokio::test]
async fn a_closed_server_lives() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 3, Duration::from_secs(1));
    client.arm(request).await.unwrap();
    assert_eq!(refusal(client.closed(3, request.pid + 1).await), Refusal::NotHeld);
    assert_eq!(refusal(client.closed(2, request.pid).await), Refusal::NotHeld);
    assert_eq!(client.closed(3, request.pid).await.unwrap().holding, None);
    client.closed(3, request.pid).await.unwrap();
    // Past its deadline: that nothing happens can only be seen in time.
    tokio::time::sleep(Duration::from_millis(1200)).await;
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
    assert_eq!(refusal(client.extend(4, old.pid, old.deadline.unwrap() + SOON).await), Refusal::NotHeld);
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
    let past = ArmRequest { deadline: Some(now), ..good };
    assert_eq!(refusal(client.arm(past).await), Refusal::DeadlinePassed);
    let far = ArmRequest { deadline: Some(now + Duration::from_secs(3600)), ..good };
    assert!(matches!(refusal(client.arm(far).await), Refusal::DeadlineTooFar { .. }));
    assert_eq!(client.status().await.unwrap().newest_epoch, 0);
}

#[tokio::test]
async fn a_lost_daemon_changes_nothing_and_the_next_takes_over() {
    let keeper = Loop::start();
    let mut server = Sleeper::start();
    let client = keeper.client().await;
    let request = request_for(&server, 9, Duration::from_millis(1500));
    client.arm(request).await.unwrap();
    drop(client);
    let client = keeper.client().await;
    let held = client.hello().holding.unwrap();
    assert_eq!((held.epoch, held.pid, held.deadline), (9, request.pid, request.deadline));
    assert_eq!(held.start_time_ticks, request.start_time_ticks);
    client.extend(9, request.pid, request.deadline.unwrap() + Duration::from_millis(200)).await.unwrap();
    drop(client);
    let process = server.process();
    assert!(runs(&mut server));
    timeout(SOON, process.exited()).await.unwrap().unwrap();
    assert!(Boottime::now() >= request.deadline.unwrap() + Duration::from_millis(200));
}

#[tokio::test]
async fn runs_the_hard_fence_after_the_kill() {
    let proof = Directory::new();
    let script = format!(
        "echo $BATON_EPOCH $BATON_SERVER_PID > {0}/new && mv {0}/new {0}/done",
        proof.path().display()
    );
    // What it was started with is replaced by what the group agreed on.
    let keeper = Loop::with_fence(Some(vec!["false".into()]));
    let server = Sleeper::start();
    let client = keeper.client().await;
    client.set_hard_fence(Some(vec!["sh".into(), "-c".into(), script])).await.unwrap();
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
