use baton_proto::control::ArchivedFile;

use super::*;
use crate::render::fixtures::{NOW_MS, PLAIN, now};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn archived() -> QuarantineEntry {
    QuarantineEntry {
        id: "db1-e2-5f3a90c1d2".into(),
        node: "db1".into(),
        epoch: 2,
        gtids: format!("{UUID}:101-103"),
        transactions: 3,
        state: "archived".into(),
        quarantined: true,
        since_ms: NOW_MS - 95_000,
        archived_ms: NOW_MS - 93_000,
        bytes: 4096,
        path: "/var/lib/baton/quarantine/db1-e2-5f3a90c1d2".into(),
        ..QuarantineEntry::default()
    }
}

fn shown() -> QuarantineShowReply {
    let file = |name: &str, bytes, from: &str| ArchivedFile {
        name: name.into(),
        bytes,
        sha256: "0".repeat(64),
        from: from.into(),
    };
    QuarantineShowReply {
        entry: Some(archived()),
        why: "db1 had them and the writer of epoch 2 had not".into(),
        transactions: 3,
        server_version: "9.7.4".into(),
        files: vec![file("extra-binlog.000007.binlog", 3000, "binlog.000007"), file("extra.sql", 900, "")],
        sql: "-- Transaction 1\nBEGIN;\nINSERT INTO `shop`.`orders` (`id`) VALUES (7);\nCOMMIT;\n".into(),
        sql_left: 0,
    }
}

#[test]
fn the_list_has_quarantines_and_past_archives() {
    let failed = QuarantineEntry {
        node: "db3".into(),
        epoch: 4,
        transactions: 1,
        state: "failed".into(),
        quarantined: true,
        since_ms: NOW_MS - 3_000,
        note: "the server has purged binlog files with some of 0-1-7..7: nobody can archive these any more"
            .into(),
        ..QuarantineEntry::default()
    };
    let released =
        QuarantineEntry { released: "ann: replayed by hand".into(), node: "db2".into(), ..archived() };
    let past = QuarantineEntry { quarantined: false, ..archived() };
    let entries = vec![archived(), released, failed, past];
    insta::assert_snapshot!(quarantine_list(&QuarantineListReply { entries }, now(), &PLAIN));
}

#[test]
fn nothing_in_quarantine_is_said_in_one_line() {
    let text = quarantine_list(&QuarantineListReply::default(), now(), &PLAIN);
    assert_eq!(text, "● no server is in quarantine, and nothing is archived\n");
}

#[test]
fn an_archive_shows_its_files_and_the_beginning_of_its_sql() {
    insta::assert_snapshot!(quarantine(&shown(), false, now(), &PLAIN));
}

#[test]
fn a_long_sql_is_cut_and_says_where_the_rest_is() {
    let line = "INSERT INTO `t` (`id`) VALUES (1);\n";
    let reply = QuarantineShowReply { sql: line.repeat(LINES + 1), ..shown() };
    let text = quarantine(&reply, false, now(), &PLAIN);
    assert_eq!(text.matches("INSERT").count(), LINES);
    assert!(text.contains("quarantine show db1-e2-5f3a90c1d2 --sql"), "{text}");
    let reply = QuarantineShowReply { sql_left: 5 << 20, ..reply };
    let all = quarantine(&reply, true, now(), &PLAIN);
    assert_eq!(all.matches("INSERT").count(), LINES + 1);
    assert!(
        all.ends_with("-- 5 MiB more are in /var/lib/baton/quarantine/db1-e2-5f3a90c1d2/extra.sql on db1\n")
    );
}

#[test]
fn one_that_is_not_archived_yet_says_why() {
    let entry = QuarantineEntry {
        id: String::new(),
        archived_ms: 0,
        state: "failed".into(),
        note: "no room".into(),
        ..archived()
    };
    let text =
        quarantine(&QuarantineShowReply { entry: Some(entry), ..Default::default() }, false, now(), &PLAIN);
    assert!(text.contains("archived       no room"), "{text}");
}
