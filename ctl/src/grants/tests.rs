#![allow(clippy::unwrap_used)]
use super::*;

fn accounts() -> Accounts {
    Accounts {
        user: "baton".into(),
        password: Some("it's".into()),
        replication_user: "baton_replication".into(),
        replication_password: Some("back\\slash".into()),
        host: "10.0.0.%".into(),
    }
}

#[test]
fn mysql() {
    insta::assert_snapshot!(sql(Dialect::Mysql, &accounts()).unwrap());
}

#[test]
fn mariadb() {
    insta::assert_snapshot!(sql(Dialect::Mariadb, &accounts()).unwrap());
}

#[test]
fn neither_dialect_grants_everything() {
    for dialect in [Dialect::Mysql, Dialect::Mariadb] {
        let text = sql(dialect, &accounts()).unwrap();
        for line in text.lines().filter(|line| line.contains(" ON *.* ")) {
            assert!(!line.contains("ALL") && !line.contains("SUPER") && !line.contains("SHUTDOWN"), "{line}");
        }
    }
}

#[test]
fn a_password_left_out_is_a_gap_and_not_a_password() {
    let text = sql(Dialect::Mysql, &Accounts { password: None, ..accounts() }).unwrap();
    assert!(text.contains("IDENTIFIED BY <password>;"), "{text}");
}

#[test]
fn a_name_cannot_leave_its_literal() {
    let text =
        sql(Dialect::Mysql, &Accounts { user: "x'; DROP DATABASE shop; -- ".into(), ..accounts() }).unwrap();
    assert!(text.contains("'x''; DROP DATABASE shop; -- '@'10.0.0.%'"), "{text}");
    assert!(sql(Dialect::Mysql, &Accounts { user: "a\nb".into(), ..accounts() }).is_err());
}

#[test]
fn a_password_is_not_printed_by_debug() {
    assert!(!format!("{:?}", accounts()).contains("it's"));
}
