//! How soon people are told, and what a scrape costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_tests::bot::{Answer, Call};
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::{
    Clocks, SOON, TOLD, TOLD_BY_THE_NEXT, away_from_leader, kept_secret, opened_ms, switchover, telling,
    tells_of,
};

/// Rounds of each measurement; `BATON_ALERT_ROUNDS` has another number.
const ROUNDS: usize = 3;
/// What a chat takes is a message every three seconds, after a few at once: more are not measured faster.
const APART: Duration = Duration::from_secs(7);
/// Scrapes of each node.
const SCRAPES: usize = 50;
const SCRAPE: Duration = Duration::from_millis(10);
/// Time series of one node of three servers.
const SERIES: usize = 500;

fn rounds() -> Result<usize> {
    match std::env::var("BATON_ALERT_ROUNDS") {
        Ok(number) => number.parse().context("BATON_ALERT_ROUNDS"),
        Err(_) => Ok(ROUNDS),
    }
}

/// Median, the 99th of a hundred, and the worst.
fn figures(what: &str, mut times: Vec<Duration>) -> Result<Duration> {
    times.sort();
    let at = |part: usize| times.get((times.len() * part).div_ceil(100).saturating_sub(1)).copied();
    let (median, p99, worst) = (at(50), at(99), times.last());
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let count = times.len();
    println!(
        "{what}: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms, {count} times",
        ms(median.as_ref()),
        ms(p99.as_ref()),
        ms(worst)
    );
    p99.context("nothing was measured")
}

#[tokio::test]
async fn each_switchover_is_told_within_a_second() -> Result<()> {
    let (cluster, api) = telling(Dialect::MySql).await?;
    let (clocks, mut times) = (Clocks::now(), Vec::new());
    for _ in 0..rounds()? {
        let began = Instant::now();
        let epoch = switchover(&cluster, &[]).await?;
        let operation = cluster.operation_from(epoch).await?;
        let told = api.call("switchover", SOON, tells_of(&operation)).await;
        let told = told.map_err(|error| cluster.explained(error))?;
        times.push(clocks.late(&told, opened_ms(&operation)?));
        tokio::time::sleep_until((began + APART).into()).await;
    }
    let p99 = figures("from the opened writer to the request", times)?;
    ensure!(p99 <= TOLD + cluster.stood_still(clocks.at), "p99 {p99:?}");
    kept_secret(&cluster)
}

#[tokio::test]
async fn each_switchover_is_told_although_its_leader_dies_while_it_tells() -> Result<()> {
    let (mut cluster, api) = telling(Dialect::MariaDb).await?;
    let (clocks, mut times, mut operations) = (Clocks::now(), Vec::new(), Vec::new());
    for _ in 0..rounds()? {
        let to = away_from_leader(&cluster).await?;
        api.answer(&[Answer::Silence(Duration::from_secs(60))]);
        let epoch = switchover(&cluster, &["--to", to]).await?;
        let operation = cluster.operation_from(epoch).await?;
        let tells = tells_of(&operation);
        let first = api.call("switchover", SOON, &tells).await.map_err(|error| cluster.explained(error))?;
        let leader = cluster.ctl().status().await?.leader;
        let killed = Instant::now();
        cluster.node(&leader)?.signal(Signal::KILL)?;
        let again = |call: &_| tells(call) && call.message != first.message;
        let second = api.call("repeat", SOON, again).await.map_err(|error| cluster.explained(error))?;
        ensure!(!first.is_repeat() && second.is_repeat(), "{} {}", first.text(), second.text());
        ensure!(second.at > killed, "it was told again before the leader died: {}", second.text());
        times.push(second.at.duration_since(killed));
        operations.push(operation);
        cluster.node_mut(&leader)?.restart().await?;
    }
    let p99 = figures("from the loss of the leader to the repeat", times)?;
    ensure!(p99 <= TOLD_BY_THE_NEXT + cluster.stood_still(clocks.at), "p99 {p99:?}");
    for operation in &operations {
        let mut told = api.calls();
        told.retain(|call| call.is_message() && tells_of(operation)(call));
        let (repeats, first): (Vec<&Call>, Vec<&Call>) = told.iter().partition(|call| call.is_repeat());
        // The next leader may hand the leadership over while it tells it, and then it is told once more.
        ensure!(first.len() == 1 && !repeats.is_empty(), "{operation:#?} was told so: {told:#?}");
    }
    kept_secret(&cluster)
}

#[tokio::test]
async fn a_scrape_is_quick_and_small() -> Result<()> {
    let (cluster, _api) = telling(Dialect::MySql).await?;
    // With what a failover leaves behind: histograms, notices, troubles.
    let before = cluster.pre_flight().await?;
    super::lose_writer(&cluster, &before).await?;
    for node in cluster.nodes() {
        let mut times = Vec::new();
        for _ in 0..SCRAPES {
            let began = Instant::now();
            let (code, text) = cluster.page(node.name(), "/metrics").await?;
            times.push(began.elapsed());
            let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
            ensure!(
                code == 200 && (20..=SERIES).contains(&series),
                "{}: {code}, {series} series",
                node.name()
            );
            if times.len() == 1 {
                println!("{}: {series} series, {} bytes", node.name(), text.len());
            }
        }
        times.sort();
        let median = times[times.len() / 2];
        figures(&format!("{}: a scrape", node.name()), times)?;
        ensure!(median <= SCRAPE, "{}: {median:?}", node.name());
    }
    Ok(())
}
