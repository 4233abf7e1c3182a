//! Starting and stopping the server beside this node, by whatever supervises it.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long a start may take.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop may take: a server writes its dirty pages first.
const STOPS_WITHIN: Duration = Duration::from_secs(300);
/// The unit of Debian's packages, and of MariaDB's own.
const MARIADB: &str = "mariadb";

/// The commands of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Starts it.
    pub start: Option<Vec<String>>,
    /// Stops it, so that nobody starts it again by itself.
    pub stop: Option<Vec<String>>,
}

impl Unit {
    /// With systemd's commands for MariaDB where the configuration has none.
    pub(in super::super) fn for_mariadb(&self) -> Self {
        let systemd = |verb: &str| Some(["systemctl", verb, MARIADB].map(str::to_owned).to_vec());
        Self {
            start: self.start.clone().or_else(|| systemd("start")),
            stop: self.stop.clone().or_else(|| systemd("stop")),
        }
    }

    /// Whether both commands are there: a server that could not be started again is not stopped.
    ///
    /// # Errors
    /// In words, with the mend.
    pub(in super::super) fn check(&self) -> Result<(), String> {
        let given = [("rebuild.start", &self.start), ("rebuild.stop", &self.stop)];
        match given.into_iter().find(|(_, command)| command.as_ref().is_none_or(Vec::is_empty)) {
            Some((key, _)) => Err(format!("{key} is not set in the configuration")),
            None => Ok(()),
        }
    }

    /// Whether the server can be started.
    ///
    /// # Errors
    /// In words, with the mend.
    pub(in super::super) fn check_start(&self) -> Result<(), String> {
        let given = self.start.as_ref().is_some_and(|command| !command.is_empty());
        if given { Ok(()) } else { Err("rebuild.start is not set in the configuration".into()) }
    }

    /// Asks for the server's start.
    ///
    /// # Errors
    /// In words, with the mend.
    pub(in super::super) async fn start(&self) -> Result<(), String> {
        run("rebuild.start", self.start.as_deref(), STARTS_WITHIN).await
    }

    /// Asks for the server's stop, and waits until the command has ended.
    ///
    /// # Errors
    /// In words, with the mend.
    pub(in super::super) async fn stop(&self) -> Result<(), String> {
        run("rebuild.stop", self.stop.as_deref(), STOPS_WITHIN).await
    }
}

/// The program's output goes nowhere: a server that it starts in the foreground must not hold a pipe of this process.
async fn run(key: &str, command: Option<&[String]>, within: Duration) -> Result<(), String> {
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
    match timeout(within, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{key}: {program} ended with {status}")),
        Ok(Err(error)) => Err(format!("{key}: {program}: {error}")),
        Err(_) => Err(format!("{key}: {program} was not done within {} s and was killed", within.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn unit(script: &str) -> Unit {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Unit { start: Some(words.clone()), stop: Some(words) }
    }

    #[tokio::test]
    async fn status_0_alone_is_a_start() {
        unit("exit 0").start().await.unwrap();
        unit("exit 0").stop().await.unwrap();
        let failed = unit("exit 3").start().await.unwrap_err();
        assert!(failed.starts_with("rebuild.start: /bin/sh ended with"), "{failed}");
        let failed = unit("exit 3").stop().await.unwrap_err();
        assert!(failed.starts_with("rebuild.stop: /bin/sh ended with"), "{failed}");
        let unset = Unit::default().start().await.unwrap_err();
        assert_eq!(unset, "rebuild.start is not set in the configuration");
    }

    #[test]
    fn systemd_stands_in_on_mariadb() {
        let unit = Unit { start: Some(vec!["/start".into()]), stop: None }.for_mariadb();
        assert_eq!(unit.start.unwrap(), ["/start"]);
        assert_eq!(unit.stop.unwrap(), ["systemctl", "stop", "mariadb"]);
    }
}
