//! `batonctl check`: what is wrong, each with the statement that mends it.

use baton_proto::control::{CheckReply, Finding};

use super::layout::{Cell, table};
use super::style::{Style, Tone};

/// Errors, warnings, then how much was found right.
pub fn check(reply: &CheckReply, style: &Style) -> String {
    let mut text = findings(&reply.findings, style);
    let count = |level: &str| reply.findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings, right) = (count("error"), count("warning"), count("ok"));
    if !text.is_empty() {
        text.push('\n');
    }
    if errors + warnings == 0 {
        text +=
            &format!("{} nothing to mend, {} right\n", style.paint(Tone::Good, "●"), number(right, "check"));
    } else {
        let (errors, warnings) = (number(errors, "error"), number(warnings, "warning"));
        text += &format!("{errors}, {warnings}, {} right\n", number(right, "check"));
    }
    text
}

/// The findings that need a hand, the worst first; the mend stands below each, to be copied as it is.
pub(super) fn findings(findings: &[Finding], style: &Style) -> String {
    let mut text = String::new();
    let shown = findings.iter().filter(|finding| finding.level != "ok");
    let name = shown.map(|finding| finding.node.chars().count()).max().unwrap_or(0);
    for level in ["error", "warning"] {
        for finding in findings.iter().filter(|finding| finding.level == level) {
            let (tone, shape) = if level == "error" { (Tone::Bad, " ✗ ") } else { (Tone::Warn, " ! ") };
            let node = Cell::new(tone, shape).then(Tone::Plain, format!("{:name$}", finding.node));
            text += &table(&[vec![node, Cell::plain(&finding.what)]], style);
            for line in finding.mend.lines() {
                text += &format!("{:>width$}{}\n", "", style.paint(Tone::Strong, line), width = name + 6);
            }
        }
    }
    text
}

fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests;
