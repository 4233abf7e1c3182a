//! What a terminal shows of a wait, and when.

use std::cell::Cell;

use tokio::time::sleep;

use super::*;

/// What is shown of `work` that takes so long, by somebody who looks on from the `pace`.
async fn shown(pace: &Pace, takes_ms: u64, news: impl AsyncFn() -> Option<String>) -> Vec<String> {
    let mut lines = Vec::new();
    let work = async {
        sleep(Duration::from_millis(takes_ms)).await;
        "done"
    };
    let output =
        watched(pace, "looking at the servers", news, Some(|line: &str| lines.push(line.to_owned())), work)
            .await;
    assert_eq!(output, "done");
    lines
}

#[tokio::test(start_paused = true)]
async fn a_change_is_explained_at_once_and_one_that_is_over_in_a_moment_is_not() {
    assert!(shown(&CHANGE, 300, async || None).await.is_empty(), "it would flicker");
    let long = shown(&CHANGE, 1_500, async || None).await;
    assert_eq!(long.first().map(String::as_str), Some("looking at the servers …"));
    assert!(long.contains(&"looking at the servers … 1 s".to_owned()), "{long:?}");
    assert_eq!(long.last().map(String::as_str), Some(""), "the line is free again: {long:?}");
    assert!(shown(&QUESTION, 1_500, async || None).await.is_empty(), "a question is not");
}

#[tokio::test(start_paused = true)]
async fn the_newest_word_takes_the_place_of_the_label() {
    let asked = Cell::new(0);
    let news = async || {
        asked.set(asked.get() + 1);
        [2, 3].contains(&asked.get()).then(|| format!("step {}", asked.get()))
    };
    let lines = shown(&CHANGE, 1_200, news).await;
    let label = "looking at the servers …";
    assert_eq!(lines, [label, label, "step 2 …", "step 3 …", "step 3 … 1 s", ""], "the last word stays");
}

/// The first line does not wait for a node that is slow to tell, and its answer is not waited for at the end.
#[tokio::test(start_paused = true)]
async fn news_hold_nothing_up() {
    let lines = shown(&CHANGE, 900, async || std::future::pending().await).await;
    assert_eq!(lines, ["looking at the servers …", ""]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_where_nobody_watches() {
    let asked = Cell::new(false);
    let news = async || {
        asked.set(true);
        None
    };
    watched(&CHANGE, "label", news, None::<fn(&str)>, sleep(Duration::from_secs(9))).await;
    assert!(!asked.get());
}

#[test]
fn a_long_line_keeps_its_time() {
    assert_eq!(cut("short … 3 s", 40), "short … 3 s");
    let line = cut("switchover of epoch 1, away from db1: freeze … 12 s", 24);
    assert_eq!((line.as_str(), line.chars().count()), ("switchover of ep… … 12 s", 24));
    assert_eq!(cut("switchover of epoch 1 …", 12), "switchover …");
}
