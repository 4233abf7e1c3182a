//! Expressions of cron: five fields (minute, hour, day of the month, month, day of the week), each `*`, numbers, ranges `1-5`,
//! steps `*/15` and `8-18/2`, and lists of these with commas; months and days by their first three letters too, and Sunday is 0
//! or 7. As in cron a day counts when either of two restricted day fields has it.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};

use crate::state::UnixMillis;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The longest that a 29th of February may be away: the year 2100 has none.
const DAYS_MAX: usize = 8 * 366 + 1;
/// Clocks that are set back show times again; no zone sets them back by more.
const FOLD_HOURS: i64 = 3;

/// An expression, understood. Each field is a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either of the two fields of days will do: both are restricted.
    is_either: bool,
}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOURS: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAYS: Field = Field { name: "day of the month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
const WEEKDAY: Field = Field { name: "day of the week", min: 0, max: 7, names: &WEEKDAYS };

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in words that name the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let count = fields.len();
            return Err(format!(
                "\"{text}\" has {count} fields; write five: minute, hour, day of the month, month, day of the week"
            ));
        };
        let mut weekdays = WEEKDAY.read(weekday)?;
        if weekdays & (1 << 7) != 0 {
            weekdays = (weekdays | 1) & !(1 << 7);
        }
        let cron = Self {
            minutes: MINUTES.read(minute)?,
            hours: HOURS.read(hour)?,
            days: DAYS.read(day)?,
            months: MONTH.read(month)?,
            weekdays,
            is_either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.comes() {
            true => Ok(cron),
            false => Err(format!("\"{text}\" never comes: no such month has that day")),
        }
    }

    /// Whether any of its months has one of its days.
    fn comes(&self) -> bool {
        let longest = |month: u32| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let has = |month: u32| (1..=longest(month)).any(|day| self.days & (1 << day) != 0);
        self.is_either || (1..=12).any(|month| self.months & (1 << month) != 0 && has(month))
    }

    /// The first slot after `after_ms`. `None` where time itself ends.
    pub fn next(&self, after_ms: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        let from = civil(after_ms, zone)?.date();
        let dates = std::iter::successors(Some(from), |date| date.tomorrow().ok()).take(DAYS_MAX);
        let mut slots = dates.filter(|date| self.has(*date)).flat_map(|date| self.slots_of(date, zone));
        slots.find(|at| *at > after_ms)
    }

    /// The last slot up to `now_ms` that is later than `after_ms`: of several that were missed it is the one that is made up.
    pub fn last(&self, after_ms: UnixMillis, now_ms: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        let until = civil(now_ms, zone)?.checked_add(Span::new().hours(FOLD_HOURS)).ok()?;
        let first = civil(after_ms, zone)?.date();
        let dates = std::iter::successors(Some(until.date()), |date| date.yesterday().ok());
        let dates = dates.take_while(|date| *date >= first).take(DAYS_MAX).filter(|date| self.has(*date));
        // A day's slots come in the order of its times, whatever is done to clocks.
        let mut days =
            dates.filter_map(|date| self.slots_of(date, zone).take_while(|at| *at <= now_ms).last());
        days.next().filter(|at| *at > after_ms)
    }

    fn has(&self, date: Date) -> bool {
        let is_in = |set: u64, value: i8| set & (1 << value) != 0;
        let day = is_in(self.days, date.day());
        let weekday = is_in(self.weekdays, date.weekday().to_sunday_zero_offset());
        let is_day = if self.is_either { day || weekday } else { day && weekday };
        is_in(self.months, date.month()) && is_day
    }

    fn slots_of<'s>(&'s self, date: Date, zone: &'s TimeZone) -> impl Iterator<Item = UnixMillis> + 's {
        let hours = (0..24_i8).filter(|hour| self.hours & (1 << hour) != 0);
        let times = hours.flat_map(|hour| {
            let minutes = (0..60_i8).filter(|minute| self.minutes & (1 << minute) != 0);
            minutes.filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        });
        times.filter_map(move |time| instant(date.to_datetime(time), zone))
    }
}

fn civil(at_ms: UnixMillis, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?))
}

/// When clocks of that zone show this. Of a time that they show twice it is the first one; for one that they leave out it is the
/// moment at which they are set forward.
fn instant(at: DateTime, zone: &TimeZone) -> Option<UnixMillis> {
    let shown = zone.to_ambiguous_timestamp(at);
    let earlier = shown.earlier().ok()?;
    let at = match shown.offset() {
        AmbiguousOffset::Gap { .. } => zone.following(earlier).next()?.timestamp(),
        _ => earlier,
    };
    Some(at.as_millisecond())
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.read_part(part)?))
    }

    fn read_part(&self, part: &str) -> Result<u64, String> {
        let wrong = |why: fmt::Arguments<'_>| Err(format!("its {} \"{part}\" {why}", self.name));
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)),
            None => (part, Some(1)),
        };
        let Some(step) = step else { return wrong(format_args!("has no number from 1 on after the /")) };
        let ends = match range.split_once('-') {
            // Sunday is 0 then, and not 7 too.
            _ if range == "*" => Some((self.min, if self.max == 7 { 6 } else { self.max })),
            Some((from, until)) => self.value(from).zip(self.value(until)),
            None if part.contains('/') => {
                return wrong(format_args!("has a step and no range; write */ or 1-5/"));
            }
            None => self.value(range).map(|value| (value, value)),
        };
        let Some((from, until)) = ends else {
            let (min, max) = (self.min, self.max);
            return wrong(format_args!("is not from {min} to {max}"));
        };
        if from > until {
            return wrong(format_args!("ends before it begins"));
        }
        let steps = (from..=until).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        Ok(steps.fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == lower);
        let value = match named {
            Some(place) => u32::try_from(place).ok()? + self.min,
            // Signs are no digits.
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn berlin() -> TimeZone {
        // As a rule, so that no host's database is asked.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn ms(text: &str) -> UnixMillis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn shown(at: Option<UnixMillis>) -> String {
        at.map_or("never".into(), |at| Timestamp::from_millisecond(at).unwrap().to_string())
    }

    fn next(cron: &str, after: &str, zone: &TimeZone) -> String {
        shown(Cron::parse(cron).unwrap().next(ms(after), zone))
    }

    #[test]
    fn the_next_slot() {
        let utc = TimeZone::UTC;
        for (cron, after, is) in [
            ("0 2 * * *", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            ("0 2 * * *", "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"),
            ("0 2 * * *", "2026-01-01T01:59:59.999Z", "2026-01-01T02:00:00Z"),
            ("*/15 * * * *", "2026-01-01T00:07:00Z", "2026-01-01T00:15:00Z"),
            ("5,35 8-18/5 * * *", "2026-01-01T08:35:00Z", "2026-01-01T13:05:00Z"),
            ("0 0 31 * *", "2026-01-31T12:00:00Z", "2026-03-31T00:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 * * 0", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"),
            ("0 0 * * 7", "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"),
            ("0 0 * * 5-7", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"),
            ("0 0 * * SUN", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("0 0 1 jan *", "2026-11-28T00:00:00Z", "2027-01-01T00:00:00Z"),
            // Either of the two, as both are restricted.
            ("0 0 13 * fri", "2026-11-28T00:00:00Z", "2026-12-04T00:00:00Z"),
            ("0 0 13 * fri", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"),
            // Both, as one begins with a star.
            ("0 0 */2 * mon", "2026-11-29T00:00:00Z", "2026-12-07T00:00:00Z"),
        ] {
            assert_eq!(next(cron, after, &utc), is, "{cron} after {after}");
        }
    }

    #[test]
    fn clocks_that_are_set_forward_or_back() {
        for (cron, after, is) in [
            // 01:00 UTC: 02:00 becomes 03:00, and 02:30 is never shown.
            ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            ("0 3 * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
            ("*/30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("*/30 * * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"),
            // 01:00 UTC: 03:00 becomes 02:00, and 02:30 is shown at 00:30 and at 01:30 UTC.
            ("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("0 3 * * *", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"),
        ] {
            assert_eq!(next(cron, after, &berlin()), is, "{cron} after {after}");
        }
    }

    #[test]
    fn the_last_slot_is_the_one_that_is_made_up() {
        let daily = Cron::parse("30 2 * * *").unwrap();
        let last = |after, now, zone: &TimeZone| shown(daily.last(ms(after), ms(now), zone));
        for (after, now, is) in [
            ("2026-01-01T02:30:00Z", "2026-01-02T02:29:59Z", "never"),
            ("2026-01-01T02:30:00Z", "2026-01-02T02:30:00Z", "2026-01-02T02:30:00Z"),
            ("2026-01-01T02:30:00Z", "2026-01-09T11:00:00Z", "2026-01-09T02:30:00Z"),
            ("2026-01-09T02:30:00Z", "2026-01-09T11:00:00Z", "never"),
        ] {
            assert_eq!(last(after, now, &TimeZone::UTC), is, "after {after}, at {now}");
        }
        for (after, now, is) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T00:59:59Z", "never"),
            ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T05:00:00Z", "never"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z"),
            // Between the two, where clocks show 02:10 for the second time.
            ("2026-10-24T12:00:00Z", "2026-10-25T01:10:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T05:00:00Z", "never"),
        ] {
            assert_eq!(last(after, now, &berlin()), is, "after {after}, at {now}");
        }
        let leap = Cron::parse("0 0 29 2 *").unwrap();
        let made_up = leap.last(ms("2024-02-29T00:00:00Z"), ms("2028-03-05T00:00:00Z"), &TimeZone::UTC);
        assert_eq!(shown(made_up), "2028-02-29T00:00:00Z");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (cron, why) in [
            ("0 2 * *", "has 4 fields; write five"),
            ("60 2 * * *", "its minute \"60\" is not from 0 to 59"),
            ("0 24 * * *", "its hour \"24\" is not from 0 to 23"),
            ("0 0 0 * *", "its day of the month \"0\" is not from 1 to 31"),
            ("0 0 * 13 *", "its month \"13\" is not from 1 to 12"),
            ("0 0 * * 8", "its day of the week \"8\" is not from 0 to 7"),
            ("0 0 * * fry", "its day of the week \"fry\" is not from 0 to 7"),
            ("0 18-8 * * *", "its hour \"18-8\" ends before it begins"),
            ("*/0 * * * *", "has no number from 1 on after the /"),
            ("5/10 * * * *", "has a step and no range"),
            ("+5 * * * *", "is not from 0 to 59"),
            ("1, * * * *", "is not from 0 to 59"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6 *", "never comes"),
        ] {
            let said = Cron::parse(cron).unwrap_err();
            assert!(said.contains(why), "{cron}: {said}");
        }
        assert!(Cron::parse("0 0 30 2 mon").is_ok(), "its Mondays come");
    }
}
