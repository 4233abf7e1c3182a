//! The power fence: a command that cuts a host off its power, run by the leader. Its success is the proof `stonith`.

use std::time::Duration;

use super::program::Program;
use crate::state::{Epoch, NodeName};

/// Runs `command` (program and arguments, `{node}` filled in with `node`) as a [`Program`]. Its success is the evidence.
///
/// # Errors
/// In words: not started, another status, or not done in time.
pub(super) async fn fence(
    command: &[String],
    node: &NodeName,
    epoch: Epoch,
    bound: Duration,
) -> Result<String, String> {
    let command: Vec<String> = command.iter().map(|word| word.replace("{node}", node.as_str())).collect();
    let environment = vec![("BATON_NODE", node.as_str().to_owned()), ("BATON_EPOCH", epoch.to_string())];
    let program = Program { what: "power fence", command: &command, environment, input: Vec::new(), bound };
    program.run().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn run(script: &str, bound: Duration) -> Result<String, String> {
        let command = ["/bin/sh", "-c", script, "sh", "{node}", "s3cret"].map(str::to_owned);
        fence(&command, &NodeName::from("db1"), Epoch(7), bound).await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn status_0_is_success_and_its_last_line_is_evidence() {
        let said = run("echo begun; echo \"off $1 $BATON_NODE $BATON_EPOCH\"", LONG).await.unwrap();
        assert!(said.contains("/bin/sh ended with status 0") && said.ends_with(": off db1 db1 7"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }

    #[tokio::test]
    async fn anything_else_is_no_proof() {
        let failed = run("echo 'no such outlet' >&2; exit 3", LONG).await.unwrap_err();
        assert!(failed.ends_with("ended with status 3: no such outlet"), "{failed}");
        let killed = run("kill -9 $$", LONG).await.unwrap_err();
        assert!(killed.contains("a signal"), "{killed}");
        let missing = fence(&["/nowhere/fence".to_owned()], &"db1".into(), Epoch(1), LONG).await.unwrap_err();
        assert!(missing.contains("cannot be started"), "{missing}");
        assert!(fence(&[], &"db1".into(), Epoch(1), LONG).await.is_err());
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_and_is_no_proof() {
        let late = run("exec sleep 600", Duration::from_millis(200)).await.unwrap_err();
        assert!(late.contains("was killed"), "{late}");
    }
}
