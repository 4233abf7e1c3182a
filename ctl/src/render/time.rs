//! Times and lengths of time in the words of a status line.

use jiff::Timestamp;

/// "318 ms", "2.4 s", "41 s", "3 min", "5 h", "12 days".
pub(super) fn length(ms: u64) -> String {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..9_950 => seconds(ms as f64 / 1_000.0),
        9_950..100_000 => format!("{} s", (ms + 500) / 1_000),
        100_000..7_200_000 => format!("{} min", ms / MINUTE),
        7_200_000..172_800_000 => format!("{} h", ms / HOUR),
        _ => format!("{} days", ms / (24 * HOUR)),
    }
}

/// "0 s", "0.4 s", "41 s"; longer as [`length`].
pub(super) fn seconds(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() / 10.0;
    if tenths >= 100.0 {
        length((seconds * 1_000.0) as u64)
    } else if tenths >= 10.0 || tenths.fract() == 0.0 {
        format!("{tenths:.0} s")
    } else {
        format!("{tenths:.1} s")
    }
}

/// "12 days ago", "just now".
pub(super) fn ago(at_ms: i64, now: Timestamp) -> String {
    match u64::try_from(now.as_millisecond() - at_ms) {
        Ok(ms) if ms >= 1_000 => format!("{} ago", length(ms / 1_000 * 1_000)),
        _ => "just now".into(),
    }
}

/// "24 min left", "over".
pub(super) fn left(until_ms: i64, now: Timestamp) -> String {
    match u64::try_from(until_ms - now.as_millisecond()) {
        Ok(ms) if ms >= 1_000 => format!("{} left", length(ms / 1_000 * 1_000)),
        _ => "ending".into(),
    }
}

/// "2026-11-08 03:12:44 UTC".
pub(super) fn instant(at_ms: i64) -> String {
    format_as(at_ms, "%Y-%m-%d %H:%M:%S UTC")
}

/// "2026-11-08 03:12".
pub(super) fn minute(at_ms: i64) -> String {
    format_as(at_ms, "%Y-%m-%d %H:%M")
}

fn format_as(at_ms: i64, format: &str) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.strftime(format).to_string(),
        Err(_) => "unknown time".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_to_what_matters() {
        let cases = [
            (0, "0 ms"),
            (318, "318 ms"),
            (2_400, "2.4 s"),
            (3_000, "3 s"),
            (41_300, "41 s"),
            (95_000, "95 s"),
            (180_000, "3 min"),
            (5 * 3_600_000, "5 h"),
            (12 * 86_400_000, "12 days"),
        ];
        for (ms, expected) in cases {
            assert_eq!(length(ms), expected, "{ms} ms");
        }
    }

    #[test]
    fn lag_keeps_a_decimal_only_where_it_says_something() {
        let cases =
            [(0.0, "0 s"), (0.04, "0 s"), (0.44, "0.4 s"), (9.97, "10 s"), (41.3, "41 s"), (600.0, "10 min")];
        for (given, expected) in cases {
            assert_eq!(seconds(given), expected, "{given}");
        }
    }

    #[test]
    fn a_clock_ahead_of_ours_is_just_now() {
        assert_eq!(ago(5_000, Timestamp::UNIX_EPOCH), "just now");
    }
}
