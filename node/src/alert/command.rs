//! A program of the operator's: run for each change of a notice, with the same JSON as a webhook on its standard input.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::due::Due;
use super::sink::Outcome;
use super::webhook::payload;

/// Bound on one run; it is killed then.
const WITHIN: Duration = Duration::from_secs(30);

/// One program with its arguments.
#[derive(Clone, Debug)]
pub(super) struct CommandSink {
    pub(super) run: Vec<String>,
}

impl CommandSink {
    pub(super) async fn tell(&self, cluster: &str, due: &Due) -> Outcome {
        let Some((program, arguments)) = self.run.split_first() else {
            return Outcome::Refused("no program is named".into());
        };
        let input = format!("{}\n", payload(cluster, due));
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match timeout(WITHIN, run(command, input.as_bytes())).await {
            Ok(Ok(true)) => Outcome::Told(None),
            Ok(Ok(false)) => later("it failed", false),
            Ok(Err(error)) => later(&format!("it cannot be run: {error}"), false),
            Err(_) => later(&format!("it ran for more than {} s", WITHIN.as_secs()), true),
        }
    }
}

async fn run(mut command: Command, input: &[u8]) -> std::io::Result<bool> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read is told by its exit status.
        let _unread = stdin.write_all(input).await;
    }
    Ok(child.wait().await?.success())
}

fn later(why: &str, unsure: bool) -> Outcome {
    Outcome::Later { why: why.to_owned(), after: None, unsure }
}
