//! Values and names as SQL.

use jiff::Timestamp;
use mysql_async::Value;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::consts::ColumnType;

/// A name in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A value as SQL, `unsigned` being the server's word on a column of which the binlog does not say it.
pub(super) fn literal(value: Option<&BinlogValue<'_>>, kind: ColumnType, unsigned: bool) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(BinlogValue::Value(value)) => plain(value, kind, unsigned),
        Some(BinlogValue::Jsonb(json)) => match serde_json::Value::try_from(json.clone()) {
            Ok(json) => Value::from(json.to_string()).as_sql(false),
            Err(error) => format!("<JSON that cannot be read: {error}>"),
        },
        Some(BinlogValue::JsonDiff(_)) => "<a change inside of a JSON value: see the binlog file>".to_owned(),
    }
}

fn plain(value: &Value, kind: ColumnType, unsigned: bool) -> String {
    match (kind, value) {
        (ColumnType::MYSQL_TYPE_TIMESTAMP2, Value::Bytes(seconds)) => {
            instant(&String::from_utf8_lossy(seconds)).unwrap_or_else(|| value.as_sql(false))
        }
        (ColumnType::MYSQL_TYPE_TIMESTAMP, Value::Int(seconds)) => {
            instant(&seconds.to_string()).unwrap_or_else(|| value.as_sql(false))
        }
        (ColumnType::MYSQL_TYPE_NEWDECIMAL, Value::Bytes(digits)) => {
            String::from_utf8_lossy(digits).into_owned()
        }
        (ColumnType::MYSQL_TYPE_BIT, Value::Bytes(bits)) => hex(bits.iter()),
        // Lowest byte first.
        (ColumnType::MYSQL_TYPE_SET, Value::Bytes(bits)) => hex(bits.iter().rev()),
        (kind, Value::Int(number)) if unsigned && *number < 0 => without_sign(kind, *number).to_string(),
        _ => value.as_sql(false),
    }
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.fold("0x".to_owned(), |text, byte| text + &format!("{byte:02X}"))
}

/// The number whose bits were read as one with a sign.
fn without_sign(kind: ColumnType, number: i64) -> u64 {
    let bits = match kind {
        ColumnType::MYSQL_TYPE_TINY => 8,
        ColumnType::MYSQL_TYPE_SHORT => 16,
        ColumnType::MYSQL_TYPE_INT24 => 24,
        ColumnType::MYSQL_TYPE_LONG => 32,
        _ => 64,
    };
    number.cast_unsigned() & (u64::MAX >> (64 - bits))
}

/// Seconds since 1970, perhaps with microseconds, as a date and time in UTC. 0 is MySQL's zero timestamp.
fn instant(seconds: &str) -> Option<String> {
    let (whole, fraction) = seconds.split_once('.').map_or((seconds, None), |(w, f)| (w, Some(f)));
    let whole: i64 = whole.parse().ok()?;
    if whole == 0 && fraction.is_none() {
        return Some("'0000-00-00 00:00:00'".to_owned());
    }
    let at = Timestamp::from_second(whole).ok()?.strftime("%Y-%m-%d %H:%M:%S").to_string();
    Some(match fraction {
        Some(fraction) => format!("'{at}.{fraction}'"),
        None => format!("'{at}'"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sql(value: Value, kind: ColumnType, unsigned: bool) -> String {
        literal(Some(&BinlogValue::Value(value)), kind, unsigned)
    }

    #[test]
    fn values_read_as_their_column_shows_them() {
        use ColumnType::*;
        let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let cases = [
            (Value::NULL, MYSQL_TYPE_LONG, false, "NULL"),
            (Value::Int(-1), MYSQL_TYPE_LONG, false, "-1"),
            (Value::Int(-1), MYSQL_TYPE_LONG, true, "4294967295"),
            (Value::Int(-1), MYSQL_TYPE_TINY, true, "255"),
            (Value::Int(-1), MYSQL_TYPE_LONGLONG, true, "18446744073709551615"),
            (bytes("1700000000"), MYSQL_TYPE_TIMESTAMP2, false, "'2023-11-14 22:13:20'"),
            (bytes("1700000000.250000"), MYSQL_TYPE_TIMESTAMP2, false, "'2023-11-14 22:13:20.250000'"),
            (bytes("0"), MYSQL_TYPE_TIMESTAMP2, false, "'0000-00-00 00:00:00'"),
            (bytes("12.50"), MYSQL_TYPE_NEWDECIMAL, false, "12.50"),
            (bytes("it's"), MYSQL_TYPE_VARCHAR, false, "'it\\'s'"),
            (Value::Bytes(vec![0xff, 1]), MYSQL_TYPE_BLOB, false, "0xFF01"),
            (Value::Bytes(vec![5]), MYSQL_TYPE_BIT, false, "0x05"),
            (Value::Bytes(vec![1, 2]), MYSQL_TYPE_SET, false, "0x0201"),
        ];
        for (value, kind, unsigned, expected) in cases {
            assert_eq!(sql(value, kind, unsigned), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted("a`; DROP TABLE b; --"), "`a``; DROP TABLE b; --`");
    }
}
