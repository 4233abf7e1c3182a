//! What a node takes while nothing happens.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use baton_tests::cluster::{Cluster, ClusterOptions, Node};
use baton_tests::sandbox::Dialect;
use tokio::time::sleep;

use crate::rows::Rows;

/// What came with the start has been given back.
const CALM_DOWN: Duration = Duration::from_secs(10);
/// How long the processor time is counted.
const COUNTED: Duration = Duration::from_secs(30);

/// Measures every node of a cluster of three servers, daemon and keeper together; a value per node and run.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, runs: u32) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let (mut resident, mut processor) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        sleep(CALM_DOWN).await;
        let began = Instant::now();
        let before = cluster.nodes().iter().map(Usage::of).collect::<Result<Vec<_>>>()?;
        sleep(COUNTED).await;
        let seconds = began.elapsed().as_secs_f64();
        for (node, before) in cluster.nodes().iter().zip(before) {
            let usage = Usage::of(node)?;
            resident.push(usage.resident_mib);
            processor.push((usage.processor_s - before.processor_s) / seconds * 100.0);
        }
        eprintln!("{} at rest {run}/{runs}", dialect.name());
    }
    rows.add(format!("{} one node at rest: resident memory", dialect.name()), resident, "MiB", 0);
    rows.add(format!("{} one node at rest: processor", dialect.name()), processor, "% of a core", 0);
    Ok(())
}

#[derive(Debug, Default)]
struct Usage {
    resident_mib: f64,
    processor_s: f64,
}

impl Usage {
    /// Of the daemon and of the keeper.
    fn of(node: &Node) -> Result<Self> {
        let daemon = node.pid().context("a daemon has ended")?;
        let mut sum = Self::default();
        for pid in [Some(daemon), node.keeper()].into_iter().flatten() {
            let usage = Self::of_process(pid).with_context(|| format!("process {pid}"))?;
            sum.resident_mib += usage.resident_mib;
            sum.processor_s += usage.processor_s;
        }
        Ok(sum)
    }

    fn of_process(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().strip_suffix("kB")).context("no VmRSS")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold anything, user and system time are the 12th and 13th fields.
        let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
        let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("too short")?.parse()?) };
        Ok(Self {
            resident_mib: resident.trim().parse::<f64>()? / 1024.0,
            processor_s: (ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64,
        })
    }
}
