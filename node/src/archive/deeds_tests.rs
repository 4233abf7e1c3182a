#![allow(clippy::unwrap_used)]
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::super::event::tests::{Made, framed, query};
use super::*;

/// A table of one number, `shop.orders`.
pub(crate) fn table_map() -> Made {
    let body = b"\x09\0\0\0\0\0\x01\0\x04shop\0\x06orders\0\x01\x03\0\0";
    (kind::TABLE_MAP, body.to_vec())
}

/// So many rows of it, in an event of a type without room for more in its head.
pub(crate) fn rows(kind: u8, count: usize) -> Made {
    (kind, [&ROWS_HEAD[..], [0, 1, 1, 1, 1].repeat(count).as_slice()].concat())
}

const ROWS_HEAD: [u8; 10] = [9, 0, 0, 0, 0, 0, 1, 0, 1, 1];

/// MySQL's compressed transaction of these.
pub(crate) fn payload(events: &[Made]) -> Made {
    let plain: Vec<u8> = events.iter().flat_map(|event| framed(event, false)).collect();
    let packed = zstd::encode_all(plain.as_slice(), 3).unwrap();
    // How it is compressed, something that is not known, how long it is, and the end.
    let mut body = vec![2, 1, 0, 77, 1, 5, 1, 3, 252];
    body.extend(u16::try_from(packed.len()).unwrap().to_le_bytes());
    body.push(0);
    body.extend(packed);
    (kind::PAYLOAD, body)
}

/// As MariaDB compresses it.
fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(vec![0x81, u8::try_from(plain.len()).unwrap()], Compression::default());
    zlib.write_all(plain).unwrap();
    zlib.finish().unwrap()
}

fn did(events: &[Made]) -> Vec<String> {
    let (mut deeds, mut all) = (Deeds::default(), Vec::new());
    for (kind, body) in events {
        deeds.take(*kind, &mut body.as_slice(), &mut |did| {
            all.push(match did {
                Did::Statement { schema, text } => format!("{schema}: {text}"),
                Did::Rows { schema, table, change, count } => {
                    format!("{schema}.{table} {change:?} {count:?}")
                }
                Did::Unknown(kind) => format!("unknown {kind}"),
            });
        });
    }
    all
}

#[test]
fn statements_and_rows() {
    let events = [
        query("shop", "BEGIN"),
        table_map(),
        rows(kind::WRITE_ROWS_1, 2),
        rows(kind::UPDATE_ROWS_1, 0),
        rows(kind::DELETE_ROWS_1, 3),
        (kind::XID, vec![0; 8]),
        query("", "DROP TABLE shop.t"),
        (kind::ROTATE, vec![]),
        (200, vec![1]),
    ];
    let all = did(&events);
    assert_eq!(all[0], "shop.orders Inserted Some(2)");
    // An update has two bits for each column: without the second there is no row to be seen.
    assert_eq!(all[1], "shop.orders Updated None");
    assert_eq!(all[2..], ["shop.orders Deleted Some(3)", ": DROP TABLE shop.t", "unknown 200"]);
    let of_no_table = (kind::WRITE_ROWS_1, vec![0xff, 0xff, 0xff, 0, 0, 0, 1, 0]);
    assert_eq!(did(&[of_no_table]), Vec::<String>::new());
    assert_eq!(did(&[rows(kind::WRITE_ROWS_1, 2)]), ["unknown 23"]);
}

#[test]
fn what_is_compressed_is_unpacked() {
    let inside = [table_map(), rows(kind::DELETE_ROWS_1, 4), query("shop", "TRUNCATE t")];
    assert_eq!(did(&[payload(&inside)]), ["shop.orders Deleted Some(4)", "shop: TRUNCATE t"]);
    let (kind, mut body) = query("shop", "");
    assert_eq!(kind, kind::QUERY);
    body.extend(deflated(b"DROP TABLE t"));
    let packed_rows = [&ROWS_HEAD[..], &deflated(&[0, 1, 1, 1, 1, 0, 2, 2, 2, 2])].concat();
    let events = [(kind::QUERY_COMPRESSED, body), table_map(), (kind::WRITE_ROWS_COMPRESSED_1, packed_rows)];
    assert_eq!(did(&events), ["shop: DROP TABLE t", "shop.orders Inserted Some(2)"]);
}

#[test]
fn what_is_damaged_is_unknown_and_no_more() {
    let inside = [table_map(), rows(kind::DELETE_ROWS_1, 4), query("shop", "TRUNCATE t")];
    let (packed, bytes) = payload(&inside);
    let mut deflated_query = query("shop", "").1;
    deflated_query.extend(deflated(b"DROP TABLE t"));
    let packed_rows = [&ROWS_HEAD[..], &deflated(&[0, 1, 1, 1, 1])].concat();
    let whole = [
        (packed, bytes),
        query("shop", "DROP TABLE t"),
        (kind::QUERY_COMPRESSED, deflated_query),
        table_map(),
        rows(kind::WRITE_ROWS_1, 2),
        (kind::WRITE_ROWS_COMPRESSED_1, packed_rows),
        (kind::EXECUTE_LOAD, vec![0; 40]),
    ];
    for (kind, body) in &whole {
        for end in 0..body.len() {
            drop(did(&[table_map(), (*kind, body[..end].to_vec())]));
            let mut flipped = body.clone();
            flipped[end] ^= 0xff;
            drop(did(&[table_map(), (*kind, flipped)]));
        }
    }
    let cut = did(&[(packed, whole[0].1[..30].to_vec())]);
    assert_eq!(cut, ["unknown 40"]);
}

#[test]
fn a_statement_is_shown_on_a_line_and_without_a_password() {
    assert_eq!(shown("DROP  TABLE\n\tt\u{1b}[31m"), "DROP TABLE t[31m");
    assert_eq!(shown("ALTER USER u IDENTIFIED BY 'x'"), "ALTER USER u …");
    assert_eq!(shown("SET PASSWORD FOR u = 'x'"), "SET …");
    assert_eq!(shown(&"é".repeat(9000)).chars().count(), SHOWN_MAX);
}
