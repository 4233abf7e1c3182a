#![allow(missing_docs)]
use baton_tests::cluster::*;
use baton_tests::sandbox::*;
use std::time::{Duration, Instant};
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let d =
        if std::env::args().nth(1).as_deref() == Some("mariadb") { Dialect::MariaDb } else { Dialect::MySql };
    let n: usize = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(1);
    for _ in 0..n {
        let mut cluster = Cluster::managed(ClusterOptions::new(d)).await?;
        let before = cluster.pre_flight().await?;
        let mut ledger = cluster.ledger(
            &[],
            LedgerOptions { sessions: 8, pace: Some(Duration::from_millis(20)), ..LedgerOptions::default() },
        );
        tokio::time::sleep(Duration::from_millis(3000)).await;
        let at = Instant::now();
        cluster.server_mut(&before.writer)?.kill(rustix::process::Signal::KILL)?;
        tokio::time::sleep(Duration::from_millis(4000)).await;
        ledger.stop().await;
        println!("gap {:?} leader {}", ledger.gap_after(at), before.leader);
        for op in cluster.ctl().history(1).await? {
            println!(
                "{} {} -> {} outage {} proof {} loss {}",
                op.kind, op.from_node, op.to_node, op.outage_ms, op.proof, op.loss
            );
            for s in &op.steps {
                println!("  {:>6} {:<5} {:<9} {}", s.at_ms - op.started_ms, s.node, s.name, s.detail);
            }
        }
        println!("{}", cluster.ctl().status_text(false).await?);
        for node in cluster.nodes() {
            if std::env::var("LOGS").is_ok() {
                println!("== {}\n{}", node.name(), std::fs::read_to_string(node.log())?);
            }
        }
    }
    Ok(())
}
