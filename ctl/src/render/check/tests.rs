use super::*;
use crate::render::fixtures::PLAIN;

fn finding(level: &str, node: &str, what: &str, mend: &str) -> Finding {
    Finding { level: level.into(), node: node.into(), what: what.into(), mend: mend.into() }
}

#[test]
fn the_worst_first_each_with_its_mend() {
    let findings = vec![
        finding("ok", "db1", "GTID", ""),
        finding(
            "warning",
            "db10",
            "relay_log_recovery is ON, so it cannot be an acker",
            "SET PERSIST_ONLY relay_log_recovery = OFF;",
        ),
        finding(
            "error",
            "db1",
            "app@% holds SUPER and could write while the server is closed, which no proof of revocation covers",
            "REVOKE SUPER ON *.* FROM 'app'@'%';\nGRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'app'@'%';",
        ),
    ];
    insta::assert_snapshot!(check(&CheckReply { findings }, &PLAIN));
}

#[test]
fn nothing_to_mend() {
    let findings = vec![finding("ok", "db1", "GTID", ""), finding("ok", "db2", "GTID", "")];
    assert_eq!(check(&CheckReply { findings }, &PLAIN), "● nothing to mend, 2 checks right\n");
}
