//! The power fence: a command that cuts a host off its power, run by the leader. Its success is the proof `stonith`.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::state::{Epoch, NodeName};

/// More output than this ends the command.
const OUTPUT_MAX: u64 = 64 << 10;
/// Characters of the last line of its output that are kept as evidence.
const LINE_MAX: usize = 200;

/// Runs `command` (program and arguments, `{node}` filled in with `node`) without a shell. It succeeds by exit status 0
/// within `bound`, its output closed; one that takes longer is killed. The evidence names the program and the last line
/// that it wrote, never its arguments: they may hold a password.
///
/// # Errors
/// In words: not started, another status, or not done in time.
pub(super) async fn fence(
    command: &[String],
    node: &NodeName,
    epoch: Epoch,
    bound: Duration,
) -> Result<String, String> {
    let [program, arguments @ ..] = command else { return Err("no power fence is configured".into()) };
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments.iter().map(|word| word.replace("{node}", node.as_str())))
        .env("BATON_NODE", node.as_str())
        .env("BATON_EPOCH", epoch.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("power fence {program} cannot be started: {e}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ran = timeout(bound, async { tokio::join!(child.wait(), last_line(out), last_line(err)) }).await;
    let took = begun.elapsed().as_millis();
    let Ok((status, out, err)) = ran else {
        return Err(format!(
            "power fence {program} was not done within {} s and was killed",
            bound.as_secs()
        ));
    };
    let said = err.or(out).map(|line| format!(": {line}")).unwrap_or_default();
    match status {
        Ok(status) if status.success() => {
            Ok(format!("power fence {program} ended with status 0 after {took} ms{said}"))
        }
        Ok(status) => Err(format!("power fence {program} ended with {}{said}", words(status))),
        Err(error) => Err(format!("power fence {program}: {error}")),
    }
}

fn words(status: ExitStatus) -> String {
    status.code().map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"))
}

async fn last_line(output: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let mut bytes = Vec::new();
    output?.take(OUTPUT_MAX).read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect())
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
