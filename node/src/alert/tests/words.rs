//! Messages, letter by letter.

use super::*;
use crate::alert::due::Due;
use crate::alert::story::story;
use crate::alert::words::{escape, html};
use crate::state::{Line, Notice, Severity, Subject};

fn notice(severity: Severity, subject: Subject) -> Notice {
    Notice {
        id: "n".into(),
        severity,
        since_ms: NOW_MS,
        changed_ms: NOW_MS,
        revision: 1,
        subject,
        muted: false,
        acknowledged: None,
        nonce: String::new(),
        told: Default::default(),
    }
}

fn shown(notice: Notice, repeat: bool) -> String {
    html("shop", &Due { notice, edit: None, repeat, dropped: 0, silent: false, buttons: Vec::new() })
}

fn of_failover(state: &ClusterState, now_ms: i64) -> Option<String> {
    let running = state.operation.as_ref().map(|o| (o, None));
    let ended = state.history.back().map(|f| (&f.operation, Some(&**f)));
    let (operation, finished) = running.or(ended).unwrap();
    let (severity, story) = story(state, operation, finished, now_ms)?;
    Some(shown(notice(severity, Subject::Operation(story)), false))
}

fn line(what: &str, over_ms: Option<i64>) -> Line {
    Line {
        key: what.into(),
        severity: Severity::Warning,
        what: what.into(),
        since_ms: NOW_MS,
        times: 1,
        over_ms,
    }
}

#[test]
fn a_failover_is_told_once_it_has_an_outcome_and_again_when_it_is_lossless() {
    let mut state = listened();
    failed_over(&mut state);
    insta::assert_snapshot!(of_failover(&state, NOW_MS + 500).unwrap(), @r"
    🔴 <b>shop: writer moved db1 → db2, writes were out 0.3 s, nothing lost</b>
    WriterCrashed at 09:00:00 UTC, epoch 1.
    db1: the server's process exited and its port refuses.
    Proof that db1 can write no more: gone (process 1000 exited, port 3306 refuses).
    Now NOT LOSSLESS: new epoch, waiting for an acker.
    Next: the cluster is NOT LOSSLESS until a replica has caught up; when db1 comes back, it starts closed and follows db2 by itself, unless it has transactions that db2 lacks.
    ");
    lossless_again(&mut state);
    insta::assert_snapshot!(of_failover(&state, NOW_MS + 2_500).unwrap(), @r"
    🟢 <b>shop: writer moved db1 → db2, writes were out 0.3 s, nothing lost</b>
    WriterCrashed at 09:00:00 UTC, epoch 1.
    db1: the server's process exited and its port refuses.
    Proof that db1 can write no more: gone (process 1000 exited, port 3306 refuses).
    LOSSLESS since 09:00:02 UTC (acked by db1).
    ");
}

#[test]
fn a_failover_that_takes_long_is_told_while_it_lasts() {
    let mut state = listened();
    let running = Operation { to: None, opened_ms: None, loss: None, proof: None, ..failover() };
    state.operation = Some(running);
    assert_eq!(of_failover(&state, NOW_MS + 400), None, "the outcome is near");
    insta::assert_snapshot!(of_failover(&state, NOW_MS + 700).unwrap(), @r"
    🔴 <b>shop: no writer: db1 is lost, a failover runs</b>
    WriterCrashed at 09:00:00 UTC, epoch 1.
    db1: the server's process exited and its port refuses.
    Next: proof that it can write no more; then the most complete replica is chosen.
    ");
    let held = Step {
        at_ms: NOW_MS + 900,
        node: name("db2"),
        name: "held".into(),
        detail: "db2 lacks 3 acknowledged transactions".into(),
    };
    state.operation.as_mut().unwrap().steps.push(held);
    insta::assert_snapshot!(of_failover(&state, NOW_MS + 1000).unwrap(), @r"
    🔴 <b>shop: no writer: db1 is lost, a failover runs</b>
    WriterCrashed at 09:00:00 UTC, epoch 1.
    db1: the server's process exited and its port refuses.
    Held: db2 lacks 3 acknowledged transactions. See batonctl why.
    ");
}

#[test]
fn troubles_are_told_alone_and_together() {
    let one = |line| shown(notice(Severity::Warning, Subject::Troubles(vec![line])), false);
    insta::assert_snapshot!(one(line("db3: its server is down", None)), @r"
    🟡 <b>shop: db3: its server is down</b>
    Since 09:00:00 UTC.
    ");
    let again = Line { times: 3, over_ms: Some(NOW_MS + 61_000), ..line("db3: its server is down", None) };
    insta::assert_snapshot!(one(again), @r"
    🟢 <b>shop: over: db3: its server is down</b>
    From 09:00:00 UTC to 09:01:01 UTC.
    For the 3rd time.
    ");
    let lines = vec![
        line("db3: its server is down", None),
        line("db2: replication stopped, error 1062: Duplicate <entry>", Some(NOW_MS + 5_000)),
    ];
    let over: Vec<Line> = lines.iter().cloned().map(|l| Line { over_ms: Some(NOW_MS), ..l }).collect();
    insta::assert_snapshot!(shown(notice(Severity::Warning, Subject::Troubles(over)), false).lines().next().unwrap(), @"🟢 <b>shop: over: db3: its server is down, and 1 more</b>");
    let mut several = notice(Severity::Warning, Subject::Troubles(lines));
    several.acknowledged = Some("Ada".into());
    insta::assert_snapshot!(shown(several, true), @r"
    🟡 <b>shop: db3: its server is down</b>
    <i>Repeat: this may have been sent before.</i>
    • db3: its server is down (since 09:00:00 UTC)
    ✓ db2: replication stopped, error 1062: Duplicate &lt;entry&gt; (until 09:00:05 UTC)
    Ada sees to it.
    ");
}

#[test]
fn a_message_is_never_too_long_nor_broken_by_what_a_server_says() {
    let lines = (0..12).map(|n| line(&"<&>".repeat(130 + n), None)).collect();
    let text = shown(notice(Severity::Critical, Subject::Troubles(lines)), true);
    assert!(text.chars().count() <= 4096, "{}", text.chars().count());
    let rest = text.replace("<b>", "").replace("</b>", "").replace("<i>", "").replace("</i>", "");
    assert!(!rest.contains('<') && !rest.contains('>'), "{rest}");
    assert_eq!(escape("a\x1b[2J<b>&\n"), "a [2J&lt;b&gt;&amp; ");
}
