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
fn only_the_event_scheduler_of_mariadb_takes_super() {
    for (dialect, supers) in [(Dialect::Mysql, 0), (Dialect::Mariadb, 1)] {
        let text = sql(dialect, &accounts()).unwrap();
        let everywhere: Vec<&str> = text.lines().filter(|line| line.contains(" ON *.* ")).collect();
        assert_eq!(everywhere.iter().filter(|line| line.contains("SUPER")).count(), supers, "{text}");
        let too_much =
            |line: &&&str| ["ALL", "SHUTDOWN", "GRANT OPTION", "FILE"].iter().any(|word| line.contains(word));
        assert_eq!(everywhere.iter().find(too_much), None);
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
