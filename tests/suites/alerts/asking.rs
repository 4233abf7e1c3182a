//! The bot is asked, and its buttons are pressed.

use anyhow::{Context, Result, ensure};
use baton_tests::bot::Call;
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::{SOON, kept_secret, switchover, telling};

#[tokio::test]
async fn people_ask_and_press_and_old_buttons_do_nothing() -> Result<()> {
    let (mut cluster, api) = telling(Dialect::MariaDb).await?;
    let before = cluster.pre_flight().await?;
    api.write(7, -100, "/status@baton_bot");
    let says = |words: &'static str| move |call: &Call| call.is_message() && call.text().contains(words);
    let status = api.call("status", SOON, says("voting")).await.map_err(|e| cluster.explained(e))?;
    ensure!(
        status.text().contains("LOSSLESS") && status.text().contains(&before.writer),
        "{}",
        status.text()
    );
    api.write(7, -100, "/why");
    api.call("why", SOON, says("holds epoch")).await.map_err(|e| cluster.explained(e))?;
    // Neither one who is not listed, nor another chat.
    let calls = api.calls().len();
    api.write(8, -100, "/status");
    api.write(7, -200, "/status");

    let replica = cluster.data_nodes().find(|name| *name != before.writer).context("a replica")?;
    cluster.server(replica)?.kill(Signal::KILL)?;
    cluster.server_mut(replica)?.wait_exit(SOON).await?;
    let down =
        api.call("trouble", SOON, says("its server is down")).await.map_err(|e| cluster.explained(e))?;
    ensure!(api.calls().len() == calls + 1, "nobody else is answered: {:#?}", api.calls());
    let data = |word: &str| {
        let keyboard =
            down.body["reply_markup"]["inline_keyboard"][0].as_array().cloned().unwrap_or_default();
        let all = keyboard.iter().filter_map(|b| b["callback_data"].as_str().map(str::to_owned));
        all.into_iter().find(|data| data.starts_with(word)).context("no such button")
    };
    let answered =
        |words: &'static str| move |c: &Call| c.method == "answerCallbackQuery" && c.text().contains(words);
    api.press(8, -100, &data("seen")?);
    api.call("refusal", SOON, answered("not one of those")).await?;
    api.press(7, -100, &data("seen")?);
    api.call("answer", SOON, answered("Noted")).await?;
    let seen = |c: &Call| c.message == down.message && c.text().contains("Ada (Telegram 7) sees to it");
    api.call("the message to say so", SOON, seen).await.map_err(|e| cluster.explained(e))?;

    cluster.server_mut(replica)?.start().await?;
    cluster.settled().await?;
    switchover(&cluster, &[]).await?;
    api.press(7, -100, &data("mute")?);
    api.call("answer", SOON, answered("out of date")).await?;
    ensure!(cluster.ctl().status().await?.muted_until_ms == 0, "an old button muted");
    kept_secret(&cluster)
}
