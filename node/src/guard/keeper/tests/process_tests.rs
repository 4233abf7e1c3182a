//! Finding the keeper, and keepers that do not answer as they should. The real process is in `tests/keeper.rs`.

use tokio::time::timeout;

use super::{SOON, refusal};
use crate::guard::keeper::*;
use crate::guard::testing::Directory;

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
