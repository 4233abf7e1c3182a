#![allow(clippy::unwrap_used)]
use super::super::wanted::Pattern;
use super::*;
use crate::archive::deeds::tests::{payload, rows, table_map};
use crate::archive::event::tests::{AT_S, Made, file, mariadb_gtid, mysql_gtid, query};
use crate::sql::binlog_event::kind;

fn of(kinds: &[Kind], table: Option<&str>) -> Wanted {
    Wanted { kinds: kinds.to_vec(), table: table.map(Pattern::of), ..Wanted::default() }
}

/// `0-7-5 drop shop.orders`, with `+` between what one transaction did.
fn told(scanned: &Scanned) -> Vec<String> {
    let deed = |deed: &Deed| {
        let rows = deed.rows.map_or_else(String::new, |rows| format!(" {rows}"));
        format!("{} {}{rows}", deed.kind.name(), deed.tables.join(","))
    };
    let hit =
        |hit: &Hit| format!("{} {}", hit.gtid, hit.deeds.iter().map(deed).collect::<Vec<_>>().join(" + "));
    scanned.hits.iter().map(hit).collect()
}

/// A transaction with rows, one within an XA transaction, a dropped table and an account.
fn events() -> Vec<Made> {
    vec![
        mariadb_gtid(5),
        query("shop", "BEGIN"),
        table_map(),
        rows(kind::WRITE_ROWS_1, 2),
        rows(kind::DELETE_ROWS_1, 3),
        rows(kind::WRITE_ROWS_1, 1),
        (kind::XID, vec![0; 8]),
        mariadb_gtid(6),
        query("shop", "XA START 'x'"),
        query("shop", "DELETE FROM orders"),
        query("shop", "XA END 'x'"),
        (kind::XA_PREPARE, vec![0; 9]),
        mariadb_gtid(7),
        query("shop", "/* nightly */\nDROP TABLE orders, stock.items"),
        mariadb_gtid(8),
        query("shop", "CREATE USER u IDENTIFIED BY 'secret'"),
    ]
}

#[test]
fn each_transaction_with_what_it_did() {
    let bytes = file(true, &events());
    let all = scan(bytes.as_slice(), &Wanted::default(), 9);
    let lines = [
        "0-7-5 insert shop.orders 3 + delete shop.orders 3",
        "0-7-6 delete shop.orders",
        "0-7-7 drop shop.orders,stock.items",
        "0-7-8 create ",
    ];
    assert_eq!((told(&all), &all.broken, all.unknown.len()), (lines.map(String::from).to_vec(), &None, 0));
    let texts: Vec<_> = all.hits.iter().filter_map(|hit| hit.deeds[0].statement.as_deref()).collect();
    assert_eq!(texts[1..], ["/* nightly */ DROP TABLE orders, stock.items", "CREATE USER u …"]);
    assert_eq!(told(&scan(bytes.as_slice(), &Wanted::default(), 2)), lines[..2]);
    let some = |kinds: &[Kind], table| told(&scan(bytes.as_slice(), &of(kinds, table), 9));
    assert_eq!(some(&[Kind::Drop], None), lines[2..3]);
    assert_eq!(some(&[Kind::Drop], Some("stock.*")), ["0-7-7 drop stock.items,shop.orders"]);
    assert_eq!(some(&[Kind::Drop, Kind::Truncate], Some("other")), Vec::<String>::new());
    assert_eq!(
        some(&[Kind::Delete], Some("orders")),
        ["0-7-5 delete shop.orders 3", "0-7-6 delete shop.orders"]
    );
}

#[test]
fn time_is_that_of_the_commit_on_the_writer() {
    let bytes = file(false, &[mysql_gtid(1, 5_000_000), payload(&[query("shop", "TRUNCATE orders")])]);
    let within = |from_us, to_us| {
        let wanted = Wanted { from_us, to_us, ..Wanted::default() };
        scan(bytes.as_slice(), &wanted, 9).hits.len()
    };
    assert_eq!(
        [
            within(Some(5_000_000), Some(5_000_000)),
            within(Some(5_000_001), None),
            within(None, Some(4_999_999))
        ],
        [1, 0, 0]
    );
    let all = scan(file(true, &events()).as_slice(), &Wanted::default(), 9);
    assert_eq!(all.hits[0].at_us, u64::from(AT_S) * 1_000_000);
}

#[test]
fn what_was_found_before_the_damage_is_told_with_it() {
    let bytes = file(true, &events());
    let cut = scan(&bytes[..bytes.len() - 1], &Wanted::default(), 9);
    assert_eq!((cut.hits.len(), cut.broken.as_deref()), (4, Some("an event is cut off")));
    for end in 0..bytes.len() {
        drop(scan(&bytes[..end], &Wanted::default(), 9));
        let mut flipped = bytes.clone();
        flipped[end] ^= 0xff;
        drop(scan(flipped.as_slice(), &Wanted::default(), 9));
    }
    let odd =
        scan(file(true, &[mariadb_gtid(1), (201, vec![1]), (201, vec![])]).as_slice(), &Wanted::default(), 9);
    assert_eq!(odd, Scanned { unknown: [(201, 2)].into(), ..Scanned::default() });
}

#[test]
fn a_transaction_that_did_very_much_is_told_in_part() {
    let mut all = vec![mariadb_gtid(1)];
    all.extend((0..DEEDS_MAX + 7).map(|number| query("shop", &format!("DROP TABLE t{number}"))));
    let found = scan(file(true, &all).as_slice(), &Wanted::default(), 9);
    assert_eq!((found.hits[0].deeds.len(), found.hits[0].more), (DEEDS_MAX, 7));
}
