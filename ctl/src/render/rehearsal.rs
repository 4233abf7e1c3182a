//! The report of a rehearsal, for people and as JUnit XML.

use serde::Serialize;

use super::layout::wrap;
use super::style::{Style, Tone, clean};
use super::time;

/// One case.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// From its beginning to its end, milliseconds.
    pub took_ms: u64,
    /// What was looked at, in its order.
    pub checks: Vec<Check>,
}

/// One thing that must be so.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it was so.
    pub ok: bool,
    /// What was found; empty where that says nothing more.
    pub found: String,
}

impl Case {
    /// Nothing has been looked at.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), took_ms: 0, checks: Vec::new() }
    }

    /// Adds what was found.
    pub fn check(&mut self, what: &str, found: Result<String, String>) {
        let ok = found.is_ok();
        let found = found.unwrap_or_else(|why| why);
        self.checks.push(Check { what: what.to_owned(), ok, found });
    }

    /// Whether all was as it must be.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// For a person.
pub fn rehearsal(cases: &[Case], cluster: &str, style: &Style) -> String {
    let failed = cases.iter().filter(|case| !case.passed()).count();
    let (tone, head) = match failed {
        0 => (Tone::Good, format!("{cluster}: all {} cases passed", cases.len())),
        _ => (Tone::Bad, format!("{cluster}: {failed} of {} cases failed", cases.len())),
    };
    let mut text = format!("{}\n", style.paint(tone, &clean(&head)));
    for case in cases {
        let (tone, word) = if case.passed() { (Tone::Good, "passed") } else { (Tone::Bad, "FAILED") };
        let took = time::length(case.took_ms);
        text += &format!("\n{}  {}   {took}\n", style.paint(tone, word), clean(&case.name));
        for check in &case.checks {
            let found = if check.found.is_empty() { String::new() } else { format!(": {}", check.found) };
            let lead = if check.ok { "  ok    " } else { "  FAIL  " };
            text += &wrap(&clean(&format!("{}{found}", check.what)), lead, "        ", style.width);
        }
    }
    text
}

/// For CI.
pub fn junit(cases: &[Case], cluster: &str) -> String {
    let failed = cases.iter().filter(|case| !case.passed()).count();
    let took: u64 = cases.iter().map(|case| case.took_ms).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"baton rehearsal of {}\" tests=\"{}\" \
         failures=\"{failed}\" time=\"{}\">\n",
        escaped(cluster),
        cases.len(),
        seconds(took)
    );
    for case in cases {
        text += &format!(
            "  <testcase classname=\"baton.{}\" name=\"{}\" time=\"{}\">\n",
            escaped(cluster),
            escaped(&case.name),
            seconds(case.took_ms)
        );
        for check in case.checks.iter().filter(|check| !check.ok) {
            let (what, found) = (escaped(&check.what), escaped(&check.found));
            text += &format!("    <failure message=\"{what}\">{found}</failure>\n");
        }
        let line = |check: &Check| {
            format!("{} {} {}", if check.ok { "ok" } else { "FAIL" }, check.what, check.found)
        };
        let lines: Vec<String> = case.checks.iter().map(line).collect();
        text += &format!("    <system-out>{}</system-out>\n  </testcase>\n", escaped(&lines.join("\n")));
    }
    text + "</testsuite>\n"
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// XML has no place for control characters, escaped or not.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() && c != '\n' => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures::PLAIN;

    fn cases() -> Vec<Case> {
        let mut well = Case::new("switchover");
        well.took_ms = 4_200;
        well.check("the writer moves", Ok("db1 to db2, writes paused for 84 ms".into()));
        let mut ill = Case::new("primary failure");
        ill.took_ms = 61_000;
        ill.check("before: whole, lossless, failover automatic", Ok(String::new()));
        ill.check(
            "it goes on",
            Err("not within 60 s: a writer <open> under the next epoch & \"more\"\u{1b}".into()),
        );
        vec![well, ill]
    }

    #[test]
    fn the_report_names_what_failed() {
        let text = rehearsal(&cases(), "staging", &PLAIN);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn junit_is_xml_whatever_was_found() {
        insta::assert_snapshot!(junit(&cases(), "staging"));
    }
}
