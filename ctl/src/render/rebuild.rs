//! `batonctl rebuild`: the plan, a line of progress, the end.

use baton_proto::control::{Operation, RebuildReply, RebuildStatus};

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone, clean};

/// The plan of a dry run, what stands in its way, or the answer to an end by hand.
pub fn rebuild_plan(reply: &RebuildReply, dry_run: bool, style: &Style) -> String {
    if !reply.refusals.is_empty() {
        let head = style.paint(Tone::Bad, &format!("{} is not rebuilt", clean(&reply.node)));
        let why: String = reply.refusals.iter().map(|why| wrap(why, "  ", "  ", style.width)).collect();
        return format!("{head}\n{why}");
    }
    if reply.steps.is_empty() {
        return wrap(&reply.message, "", "", style.width);
    }
    let verb = if dry_run { "would rebuild" } else { "rebuilds" };
    let whose = if reply.source_is_writer { ", the writer: no replica can be the source" } else { "" };
    let head = format!("{verb} {} from {}{whose}", reply.node, reply.source);
    let row = |(n, step): (usize, &baton_proto::control::PlannedStep)| {
        vec![Cell::new(Tone::Dim, format!("{:>3}", n + 1)), Cell::plain(&step.node), Cell::plain(&step.what)]
    };
    let rows: Vec<Vec<Cell>> = reply.steps.iter().enumerate().map(row).collect();
    format!("{}\n{}", style.paint(Tone::Strong, &clean(&head)), table(&rows, style))
}

/// "db1: file copy from db2, 1.2 of 4.0 GiB, 118 MiB/s, 24 s left"
pub fn rebuild_line(status: &RebuildStatus) -> String {
    let stage = if status.stage.is_empty() { &status.step } else { &status.stage };
    let mut line = format!("{}: {stage}", status.node);
    if !status.source.is_empty() {
        line += &format!(" from {}", status.source);
    }
    if status.bytes > 0 || status.total_bytes > 0 {
        line += &match status.total_bytes {
            0 => format!(", {}", size(status.bytes)),
            total => format!(", {} of {}", size(status.bytes), size(total)),
        };
        line += &format!(", {}/s", size(status.bytes_per_second));
    }
    if status.seconds_left >= 0 {
        line += &format!(", {} left", length(status.seconds_left));
    }
    if status.attempt > 1 {
        line += &format!(" (attempt {})", status.attempt);
    }
    clean(&line)
}

/// How it ended.
pub fn rebuilt(operation: &Operation, node: &str, style: &Style) -> String {
    let last = operation.steps.iter().rev().find(|step| !step.detail.is_empty());
    let seconds = (operation.ended_ms - operation.started_ms).max(0) / 1000;
    let (tone, head, why) = match operation.outcome.as_str() {
        "done" => {
            let head = format!("{node} is rebuilt from {} in {}", operation.from_node, length(seconds));
            (Tone::Good, head, String::new())
        }
        other => {
            let why = match (operation.evidence.as_str(), last) {
                ("", Some(step)) => step.detail.clone(),
                (evidence, _) => evidence.to_owned(),
            };
            (Tone::Bad, format!("the rebuild of {node} has ended: {other}"), why)
        }
    };
    let mut text = format!("{}\n", style.paint(tone, &clean(&head)));
    if !why.is_empty() {
        text += &wrap(&why, "  ", "  ", style.width);
    }
    text
}

pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

pub(super) fn length(seconds: i64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::control::{PlannedStep, Step};

    use super::super::fixtures::PLAIN;
    use super::*;

    fn copying() -> RebuildStatus {
        RebuildStatus {
            node: "db1".into(),
            source: "db2".into(),
            step: "copy".into(),
            stage: "file copy".into(),
            attempt: 1,
            bytes: 1_288_490_189,
            total_bytes: 4 << 30,
            bytes_per_second: 118 << 20,
            seconds_left: 24,
            ..RebuildStatus::default()
        }
    }

    #[test]
    fn a_line_has_bytes_rate_and_time_left() {
        assert_eq!(
            rebuild_line(&copying()),
            "db1: file copy from db2, 1.2 GiB of 4.0 GiB, 118 MiB/s, 24 s left"
        );
        let unknown = RebuildStatus { total_bytes: 0, seconds_left: -1, attempt: 2, ..copying() };
        assert_eq!(rebuild_line(&unknown), "db1: file copy from db2, 1.2 GiB, 118 MiB/s (attempt 2)");
        let looking = RebuildStatus {
            node: "db1".into(),
            step: "source".into(),
            attempt: 1,
            seconds_left: -1,
            ..RebuildStatus::default()
        };
        assert_eq!(rebuild_line(&looking), "db1: source");
    }

    #[test]
    fn a_plan_names_each_step_and_whose_server() {
        let step = |node: &str, what: &str| PlannedStep { node: node.into(), what: what.into() };
        let plan = RebuildReply {
            node: "db1".into(),
            source: "db3".into(),
            steps: vec![step("db1", "goes out"), step("db3", "is read")],
            ..RebuildReply::default()
        };
        insta::assert_snapshot!(rebuild_plan(&plan, true, &PLAIN), @r"
        would rebuild db1 from db3
          1   db1   goes out
          2   db3   is read
        ");
        let refused = RebuildReply { refusals: vec!["db1 is the writer".into()], ..plan };
        insta::assert_snapshot!(rebuild_plan(&refused, false, &PLAIN), @r"
        db1 is not rebuilt
          db1 is the writer
        ");
    }

    #[test]
    fn the_end_says_how_long_it_took_or_why_it_failed() {
        let done = Operation {
            outcome: "done".into(),
            from_node: "db3".into(),
            started_ms: 1_000,
            ended_ms: 240_000,
            ..Operation::default()
        };
        assert_eq!(rebuilt(&done, "db1", &PLAIN), "db1 is rebuilt from db3 in 3 min\n");
        let step = Step { detail: "db3 has not answered for 10 s".into(), ..Step::default() };
        let failed = Operation { outcome: "failed".into(), steps: vec![step], ..done };
        insta::assert_snapshot!(rebuilt(&failed, "db1", &PLAIN), @r"
        the rebuild of db1 has ended: failed
          db3 has not answered for 10 s
        ");
    }
}
