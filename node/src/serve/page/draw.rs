//! The page as text. Pure.

use std::fmt::Write;

use baton_proto::control::{BackupListReply, StatusReply, WhyReply};

use super::Picture;
use super::calendar::calendar;
use super::history::history;
use super::html::{Text, instant, length};
use super::nodes::topology;
use super::window::window;

/// The whole page.
pub(super) fn page(picture: &Picture) -> String {
    let status = &picture.status;
    let (_, shape, health) = health(status);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{shape} {cluster}: {health}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"page.css\">\n<script src=\"page.js\" defer></script>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n</head>\n<body>\n\
         <main>\n{}</main>\n<footer><p id=\"live\">As of {}. <noscript>Looked at anew every 5 seconds.</noscript></p>\n\
         <p>This page only shows. <code>batonctl</code> steers.</p></footer>\n</body>\n</html>\n",
        content(picture),
        instant(picture.at_ms),
        cluster = Text(&status.cluster),
    )
}

/// What changes.
pub(super) fn content(picture: &Picture) -> String {
    let status = &picture.status;
    let mut text = header(status);
    text += &warnings(status);
    text += &topology(picture);
    if let Some(why) = &picture.why {
        text += &reasons(why);
    }
    if let Some(backups) = picture.backups.as_ref().filter(|backups| **backups != BackupListReply::default())
    {
        text += &window(backups, picture.recovery.as_ref(), picture.at_ms);
        text += &calendar(backups, picture.at_ms);
    }
    text + &history(&picture.history.operations)
}

fn header(status: &StatusReply) -> String {
    let (tone, shape, health) = health(status);
    let mut text = format!(
        "<header><h1>{}</h1>\n<ul class=\"badges\">\n<li class=\"{tone}\"><span aria-hidden=\"true\">{shape}</span> {health}</li>\n",
        Text(&status.cluster)
    );
    if status.epoch > 0 {
        let _infallible = writeln!(text, "<li>epoch {}</li>", status.epoch);
    }
    match (status.phase.as_str(), status.durability.as_str()) {
        ("observing", _) => text += "<li>observing</li>\n",
        (_, "lossless") => text += "<li class=\"good\"><span aria-hidden=\"true\">◆</span> LOSSLESS</li>\n",
        (_, "degraded") => {
            let _infallible = writeln!(
                text,
                "<li class=\"warn\"><span aria-hidden=\"true\">◇</span> NOT LOSSLESS: {}</li>",
                Text(&status.durability_reason)
            );
        }
        _ => {}
    }
    if !status.automation.is_empty() {
        let tone = if status.automation == "automatic" { "plain" } else { "warn" };
        let _infallible = writeln!(text, "<li class=\"{tone}\">{}</li>", Text(&status.automation));
    }
    text += "</ul>\n";
    let leader = if status.leader.is_empty() { "nobody leads" } else { &status.leader };
    let _infallible = writeln!(
        text,
        "<p class=\"group\">leader {} (term {}), {} of {} voting{}</p></header>",
        Text(leader),
        status.term,
        status.voters_answering,
        status.voters,
        last_failover(status)
    );
    text
}

fn last_failover(status: &StatusReply) -> String {
    status.last_failover.as_ref().map_or_else(String::new, |last| {
        format!(
            " · last failover {}, {} to {}, open after {}",
            instant(last.at_ms),
            Text(&last.from),
            Text(&last.to),
            length(last.outage_ms)
        )
    })
}

fn health(status: &StatusReply) -> (&'static str, &'static str, &'static str) {
    match status.health.as_str() {
        "healthy" => ("good", "●", "healthy"),
        "no_writer" => ("bad", "✗", "NO WRITER"),
        "degraded" => ("warn", "◐", "degraded"),
        _ => ("plain", "?", "unknown"),
    }
}

fn warnings(status: &StatusReply) -> String {
    let operation = Some(&status.operation).filter(|o| !o.is_empty()).map(|o| format!("under way: {o}"));
    let rebuild = status.rebuild.as_ref().map(|r| format!("rebuild of {}: {}, {}", r.node, r.step, r.stage));
    let all: Vec<String> =
        operation.into_iter().chain(rebuild).chain(status.warnings.iter().cloned()).collect();
    let items: String = all.iter().map(|w| format!("<li>{}</li>\n", Text(w))).collect();
    let list = if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") };
    // Also there when it is empty: what comes into it is then read out.
    format!("<section aria-label=\"Warnings\" class=\"warnings\" role=\"status\">\n{list}</section>\n")
}

fn reasons(why: &WhyReply) -> String {
    let of = |side: &str, title: &str| {
        let items: Vec<_> = why.reasons.iter().filter(|r| r.side == side).collect();
        if items.is_empty() {
            return String::new();
        }
        let items: String = items.iter().map(|r| format!("<li>{}</li>\n", Text(&r.text))).collect();
        format!("<div><h3>{title}</h3>\n<ul>\n{items}</ul></div>\n")
    };
    format!(
        "<section aria-labelledby=\"why\">\n<h2 id=\"why\">A failover now?</h2>\n<p>{}</p>\n<div class=\"reasons\">{}{}{}</div>\n</section>\n",
        Text(&why.summary),
        of("for", "For"),
        of("against", "Against"),
        of("fact", "Facts")
    )
}
