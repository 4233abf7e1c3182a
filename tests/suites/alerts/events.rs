//! What happens, as a terminal follows it.

use std::process::Stdio;

use anyhow::{Context, Result};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, within};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::{SOON, switchover};

/// A command that goes on until it is dropped, and what it prints.
struct Following {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Following {
    fn start(cluster: &Cluster, arguments: &[&str]) -> Result<Self> {
        let mut command = cluster.ctl().command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok(Self { lines, _child: child })
    }

    /// Reads on until an object fulfils a condition.
    async fn shows(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let reading = async {
            while let Some(line) = self.lines.next_line().await? {
                if wanted(&serde_json::from_str(&line)?) {
                    return anyhow::Ok(());
                }
            }
            anyhow::bail!("it has ended")
        };
        within(what, SOON, reading).await
    }
}

#[tokio::test]
async fn what_happens_is_followed_and_the_status_watched() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(Dialect::MariaDb)).await?;
    let mut events = Following::start(&cluster, &["events", "50", "--follow", "--json"])?;
    let mut status = Following::start(&cluster, &["status", "--watch", "--json"])?;
    let before = cluster.settled().await?;
    events.shows("the adoption", |event| event["what"] == "adopt done").await?;
    status.shows("the status before", |status| status["epoch"] == before.epoch).await?;
    let epoch = switchover(&cluster, &[]).await?;
    let operation = cluster.operation_from(epoch).await?;
    let opened = |event: &Value| event["operation"] == operation.id.as_str() && event["what"] == "open";
    events.shows("the new writer to open", opened).await.map_err(|error| cluster.explained(error))?;
    status
        .shows("the status after", |status| status["writer"] == operation.to_node.as_str())
        .await
        .map_err(|error| cluster.explained(error))
}
