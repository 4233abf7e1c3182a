//! The backup calendar: this month and the one before, a day by the worst that became of its backups.

use std::collections::BTreeMap;
use std::fmt::Write;

use baton_proto::control::BackupListReply;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::outcome::{Outcome, all, counted};

const WEEKDAYS: [(&str, &str); 7] = [
    ("Mo", "Monday"),
    ("Tu", "Tuesday"),
    ("We", "Wednesday"),
    ("Th", "Thursday"),
    ("Fr", "Friday"),
    ("Sa", "Saturday"),
    ("Su", "Sunday"),
];

/// The section; nothing where the clock is out of all bounds. Days are those of UTC.
pub(super) fn calendar(backups: &BackupListReply, now_ms: i64) -> String {
    let Some(today) = day(now_ms) else { return String::new() };
    let mut days: BTreeMap<Date, Vec<Outcome>> = BTreeMap::new();
    for (at_ms, outcome) in all(backups) {
        if let Some(day) = day(at_ms) {
            days.entry(day).or_default().push(outcome);
        }
    }
    let due: Vec<Date> = backups.schedules.iter().filter_map(|schedule| day(schedule.next_ms)).collect();
    let first = today.first_of_month();
    let before = first.checked_sub(1.month()).unwrap_or(first);
    let mut text = "<section aria-labelledby=\"calendar\">\n<h2 id=\"calendar\">Backup calendar</h2>\n\
                    <div class=\"months\">\n"
        .to_owned();
    for first in [before, first] {
        month(&mut text, first, |date| Day {
            date,
            is_today: date == today,
            is_due: due.contains(&date),
            outcomes: days.get(&date).map_or(&[], Vec::as_slice),
        });
    }
    text += "</div>\n<p class=\"legend\">";
    for outcome in Outcome::ALL {
        let (tone, shape, words) = (outcome.tone(), outcome.shape(), outcome.words());
        let _infallible =
            write!(text, "<span><span class=\"{tone}\" aria-hidden=\"true\">{shape}</span> {words}</span> ");
    }
    text + "<span><span class=\"dim\" aria-hidden=\"true\">○</span> due</span> <span>days of UTC</span></p>\n</section>\n"
}

fn day(at_ms: i64) -> Option<Date> {
    let at = Timestamp::from_millisecond(at_ms).ok().filter(|_| at_ms > 0)?;
    Some(at.to_zoned(TimeZone::UTC).date())
}

struct Day<'a> {
    date: Date,
    is_today: bool,
    is_due: bool,
    outcomes: &'a [Outcome],
}

fn month<'a>(text: &mut String, first: Date, of: impl Fn(Date) -> Day<'a>) {
    let _infallible =
        write!(text, "<table class=\"month\">\n<caption>{}</caption>\n<thead><tr>", first.strftime("%B %Y"));
    for (short, long) in WEEKDAYS {
        let _infallible = write!(text, "<th scope=\"col\" abbr=\"{long}\">{short}</th>");
    }
    *text += "</tr></thead>\n<tbody>\n<tr>";
    let empty = usize::try_from(first.weekday().to_monday_zero_offset()).unwrap_or_default();
    *text += &"<td></td>".repeat(empty);
    for date in first.series(1.day()).take_while(|date| date.month() == first.month()) {
        if date.weekday() == Weekday::Monday && date != first {
            *text += "</tr>\n<tr>";
        }
        cell(text, &of(date));
    }
    *text += "</tr>\n</tbody>\n</table>\n";
}

fn cell(text: &mut String, day: &Day<'_>) {
    let number = day.date.day();
    let today = if day.is_today { " aria-current=\"date\"" } else { "" };
    let worst = day.outcomes.iter().max();
    let (tone, shape) = match (worst, day.is_due) {
        (Some(worst), _) => (worst.tone(), worst.shape()),
        (None, true) => ("dim", "○"),
        (None, false) => {
            let _infallible = write!(text, "<td{today}>{number}</td>");
            return;
        }
    };
    let due = day.is_due.then(|| "one is due".to_owned());
    let words = Some(counted(day.outcomes)).filter(|words| !words.is_empty());
    let words = words.into_iter().chain(due).collect::<Vec<_>>().join(", ");
    let title = format!("{}: {words}", day.date.strftime("%-d %B"));
    let _infallible = write!(
        text,
        "<td class=\"{tone}\"{today} title=\"{title}\">{number} <span aria-hidden=\"true\">{shape}</span>\
         <span class=\"said\">{words}</span></td>"
    );
}
