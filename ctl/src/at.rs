//! A point in time as an operator writes it.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz};

/// From now on, or by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// So long from now.
    In(Duration),
    /// Then.
    On(Timestamp),
}

impl At {
    /// Milliseconds since 1970.
    pub fn unix_ms(self, now: Timestamp) -> i64 {
        match self {
            Self::In(length) => now
                .as_millisecond()
                .saturating_add_unsigned(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
            Self::On(at) => at.as_millisecond(),
        }
    }
}

impl FromStr for At {
    type Err = String;

    /// `2h`, `2026-11-30 02:00` (UTC), or with an offset `2026-11-30T02:00:00+01:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(length) = humantime::parse_duration(text) {
            return Ok(Self::In(length));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::On(at));
        }
        let civil = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(tz::TimeZone::UTC).ok());
        let at = civil.ok_or(
            "pass a length such as 2h, or a time such as 2026-11-30T02:00Z; without a zone it is UTC",
        )?;
        Ok(Self::On(at.timestamp()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lengths_and_times_are_read() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |text: &str| text.parse::<At>().map(|at| at.unix_ms(now));
        assert_eq!(at("2h"), Ok(7_200_000));
        assert_eq!(at("1970-01-02 02:00"), Ok(26 * 3_600_000));
        assert_eq!(at("1970-01-02T02:00:00+01:00"), Ok(25 * 3_600_000));
        for wrong in ["", "tomorrow", "25:00", "2026-13-01 02:00"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
