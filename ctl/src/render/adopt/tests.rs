use baton_proto::control::{Change, Finding};

use super::*;
use crate::render::fixtures::PLAIN;

fn plan() -> AdoptReply {
    let change = |node: &str, what: &str, statement: &str| Change {
        node: node.into(),
        what: what.into(),
        statement: statement.into(),
    };
    AdoptReply {
        writer: "db1".into(),
        changes: vec![
            change("db1", "comes up closed at the next start", "SET PERSIST_ONLY super_read_only = ON;"),
            change("db2", "acknowledges commits", "SET GLOBAL rpl_semi_sync_replica_enabled = ON;"),
        ],
        ..AdoptReply::default()
    }
}

#[test]
fn the_dry_run_shows_every_statement() {
    insta::assert_snapshot!(adopt(&plan(), "shop", true, &PLAIN));
}

#[test]
fn what_stands_in_the_way() {
    let findings = vec![Finding {
        level: "error".into(),
        node: "db2".into(),
        what: "is open as well as db1".into(),
        mend: "SET GLOBAL super_read_only = ON;".into(),
    }];
    let reply = AdoptReply { findings, changes: Vec::new(), ..plan() };
    insta::assert_snapshot!(adopt(&reply, "shop", true, &PLAIN));
}

#[test]
fn done_says_so_first() {
    let reply = AdoptReply { adopted: true, message: "epoch 1 is db1's".into(), ..plan() };
    let text = adopt(&reply, "shop", false, &PLAIN);
    assert!(text.starts_with("shop is under Baton's care, its writer is db1\n"), "{text}");
}

#[test]
fn an_adoption_that_was_not_one_does_not_say_would() {
    let text = adopt(
        &AdoptReply { message: "another adoption runs".into(), ..AdoptReply::default() },
        "shop",
        false,
        &PLAIN,
    );
    assert_eq!(text, "shop is not adopted\n\nanother adoption runs\n");
}
