//! Starting the server beside this node, by whatever supervises it.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take.
const WITHIN: Duration = Duration::from_secs(60);

/// The command of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Starts it.
    pub start: Option<Vec<String>>,
}

impl Unit {
    /// Asks for the server's start.
    ///
    /// # Errors
    /// In words, with the mend.
    pub(super) async fn start(&self) -> Result<(), String> {
        run("rebuild.start", self.start.as_deref()).await
    }
}

/// The program's output goes nowhere: a server that it starts in the foreground must not hold a pipe of this process.
async fn run(key: &str, command: Option<&[String]>) -> Result<(), String> {
    let Some([program, arguments @ ..]) = command else {
        return Err(format!("{key} is not set in the configuration"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{key}: {program} cannot be started: {e}"))?;
    match timeout(WITHIN, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{key}: {program} ended with {status}")),
        Ok(Err(error)) => Err(format!("{key}: {program}: {error}")),
        Err(_) => Err(format!("{key}: {program} was not done within {} s and was killed", WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn unit(script: &str) -> Unit {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        Unit { start: Some(words.into()) }
    }

    #[tokio::test]
    async fn status_0_alone_is_a_start() {
        unit("exit 0").start().await.unwrap();
        let failed = unit("exit 3").start().await.unwrap_err();
        assert!(failed.starts_with("rebuild.start: /bin/sh ended with"), "{failed}");
        let unset = Unit::default().start().await.unwrap_err();
        assert_eq!(unset, "rebuild.start is not set in the configuration");
    }
}
