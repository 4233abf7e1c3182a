//! Waiting with a bound.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long to pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Runs `work`, for at most `bound`.
///
/// # Errors
/// What `work` fails with, or that `what` took longer than `bound`.
pub async fn within<T, E>(what: &str, bound: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T>
where
    E: Into<anyhow::Error>,
{
    match timeout(bound, work).await {
        Ok(result) => result.map_err(Into::into).with_context(|| what.to_owned()),
        Err(_) => bail!("{what}: not done within {bound:?}"),
    }
}

/// Looks until `look` finds something, for at most `bound`. A failing look counts as nothing found; the last failure
/// is told when the time is up.
///
/// # Errors
/// That `what` did not come about within `bound`.
pub async fn until<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, look()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => last = None,
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(match last {
                Some(error) => error.context(format!("{what}: not within {bound:?}")),
                None => anyhow::anyhow!("{what}: not within {bound:?}"),
            });
        }
        sleep(POLL).await;
    }
}

/// Runs a command to its end with `input` on its standard input, and returns its standard output.
pub(super) async fn output(mut command: Command, input: &[u8], bound: Duration) -> Result<String> {
    let name = format!("{:?}", command.as_std());
    let work = async {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take();
        // Written beside the reading of the output: neither side can fill a pipe that the other does not empty.
        let feed = async move {
            if let Some(stdin) = stdin.as_mut() {
                // A command that fails early closes its input; its message says more than this error.
                let _ = stdin.write_all(input).await;
            }
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", output.status, said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    within(&name, bound, work).await
}
