//! Telegram does not answer, or the leader dies while it tells.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::bot::{Answer, Call};
use baton_tests::on_both;
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::{
    Clocks, SOON, TOLD_BY_THE_NEXT, away_from_leader, ctl, kept_secret, opened_ms, switchover, telling,
    tells_of,
};

fn planned(call: &Call) -> bool {
    call.is_message() && call.text().contains("as planned")
}

#[tokio::test]
async fn an_outage_of_telegram_loses_nothing_and_its_limits_are_kept() -> Result<()> {
    let (cluster, api) = telling(Dialect::MariaDb).await?;
    let before = cluster.pre_flight().await?;
    api.answer(&[Answer::BadGateway, Answer::TooMany(3), Answer::Late(Duration::from_millis(500))]);
    // Another leader would not know that nothing had arrived.
    let to = away_from_leader(&cluster).await?;
    switchover(&cluster, &["--to", to]).await?;
    let told = api.call("switchover", SOON, planned).await.map_err(|error| cluster.explained(error))?;
    ensure!(!told.is_repeat(), "it had not arrived before: {}", told.text());
    let calls = api.calls();
    let refused: Vec<_> = calls.iter().filter(|call| !call.taken).collect();
    ensure!(refused.len() == 2, "{calls:#?}");
    let waited = told.at.duration_since(refused[1].at);
    ensure!(waited >= Duration::from_secs(3), "asked to wait 3 s, and waited {waited:?}");
    kept_secret(&cluster)?;

    // A mute holds what comes, and what is over by its end is not told.
    let (code, said) = ctl(&cluster, &["mute", "--for", "1h", "--reason", "a new switch"]).await?;
    ensure!(code == 0, "{code}: {said}");
    let epoch = switchover(&cluster, &["--to", &before.writer]).await?;
    cluster.reaches("the writer to be back", SOON, |s| s.epoch > epoch && s.durability == "lossless").await?;
    let messages = api.messages().len();
    let (code, said) = ctl(&cluster, &["mute", "--end"]).await?;
    ensure!(code == 0, "{code}: {said}");
    let (code, said) = ctl(&cluster, &["alert", "test"]).await?;
    ensure!(code == 0, "{code}: {said}");
    ensure!(api.messages().len() == messages + 1, "{:#?}", api.messages());
    kept_secret(&cluster)
}

#[tokio::test]
async fn what_was_on_its_way_when_the_leader_died_is_told_again_and_marked() -> Result<()> {
    let (mut cluster, api) = telling(Dialect::MariaDb).await?;
    let to = away_from_leader(&cluster).await?;
    // The chat shows it, and the leader never learns that.
    api.answer(&[Answer::Silence(Duration::from_secs(60))]);
    let epoch = switchover(&cluster, &["--to", to]).await?;
    let first = api.call("switchover", SOON, planned).await.map_err(|error| cluster.explained(error))?;
    ensure!(!first.is_repeat(), "{}", first.text());

    let leader = cluster.ctl().status().await?.leader;
    let killed = Clocks::now();
    cluster.node(&leader)?.signal(Signal::KILL)?;
    let again = |call: &Call| planned(call) && call.message != first.message;
    let second = api.call("repeat", SOON, again).await.map_err(|error| cluster.explained(error))?;
    let late = second.at.duration_since(killed.at);
    ensure!(second.at > killed.at, "it was told again before the leader died: {}", second.text());
    eprintln!("told again {} ms after the leader was killed", late.as_millis());
    ensure!(second.is_repeat(), "{}", second.text());
    ensure!(late <= TOLD_BY_THE_NEXT + cluster.stood_still(killed.at), "{late:?} after the leader died");

    cluster.node_mut(&leader)?.restart().await?;
    cluster.settled().await?;
    let told: Vec<_> = api.messages().into_iter().filter(|(first, _)| planned(first)).collect();
    // The next leader may hand the leadership over while it tells it, and then it is told once more.
    let unmarked = told.iter().filter(|(first, _)| !first.is_repeat()).count();
    ensure!(unmarked == 1 && told.len() >= 2, "{told:#?}");
    ensure!(epoch + 1 == cluster.ctl().status().await?.epoch, "nothing else was to happen");
    kept_secret(&cluster)
}

on_both!(
    what_happens_while_the_leader_dies_is_told_by_the_next,
    mysql_what_happens_while_the_leader_dies_is_told_by_the_next,
    mariadb_what_happens_while_the_leader_dies_is_told_by_the_next
);

async fn what_happens_while_the_leader_dies_is_told_by_the_next(dialect: Dialect) -> Result<()> {
    let (mut cluster, api) = telling(dialect).await?;
    let before = cluster.pre_flight().await?;
    let clocks = Clocks::now();
    cluster.node(&before.leader)?.signal(Signal::KILL)?;
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    // As systemd does. Without it what the leader's server received would not be known, and the failover wait for it.
    cluster.node_mut(&before.leader)?.restart().await?;
    let operation = cluster.operation_from(before.epoch).await?;
    let told = tells_of(&operation);
    let told = api.call("failover", SOON, told).await.map_err(|error| cluster.explained(error))?;
    let late = clocks.late(&told, opened_ms(&operation)?);
    eprintln!(
        "leader and writer lost at once: told {} ms after the next writer had opened",
        late.as_millis()
    );
    ensure!(late <= TOLD_BY_THE_NEXT + cluster.stood_still(clocks.at), "told {late:?} after it");
    ensure!(!told.is_repeat(), "{}", told.text());
    kept_secret(&cluster)
}
