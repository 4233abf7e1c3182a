//! What a dry run of a switchover says of an instance, stage by stage.

use std::time::Duration;

use super::*;
use crate::state::{Operation, OperationKind, Step, StepName};

/// `db1` is drained, `db2` is open, everybody follows it.
fn stages() -> Vec<Desired> {
    let mut frozen = state();
    let mut operation = Operation::of(OperationKind::Switchover, Epoch(4), "db1".into());
    let detail = String::new();
    operation.steps = vec![Step { at_ms: 0, node: "db1".into(), name: StepName::Freeze.to_string(), detail }];
    frozen.operation = Some(operation.clone());
    let mut opened = frozen.clone();
    opened.grant = Some(grant(5, "db2", true));
    operation.to = Some((Epoch(5), "db2".into()));
    opened.operation = Some(operation);
    let mut over = opened.clone();
    over.operation = None;
    [
        desired(&frozen, &reading(&["db2", "db3"], &[]), false),
        desired(&opened, &reading(&["db3"], &[("db1", Unfit::Open)]), true),
        desired(&over, &reading(&["db1", "db3"], &[]), false),
    ]
    .into_iter()
    .map(Option::unwrap)
    .collect()
}

fn board(condition: Condition, monitored: bool) -> Board {
    let memory = vec![row(10, "db1", "ONLINE"), row(20, "db2", "ONLINE"), row(20, "db3", "ONLINE")];
    let board = Board::default();
    board.insert(Shown {
        name: "app1".into(),
        admin: at("db1"),
        groups: GROUPS,
        condition,
        in_effect: None,
        wanted: None,
        mark: MARK.into(),
        actual: Actual { runtime: memory.clone(), memory, monitored },
        differences: Vec::new(),
        read_ms: 1,
        read_took: Duration::ZERO,
        repairs: 0,
        repaired: None,
    });
    board
}

fn text(board: &Board) -> String {
    let told = board.foretell(&stages()).remove("app1").unwrap();
    let titles = ["# drain", "# lead", "# read"];
    let stage = |(title, lines): (&str, Vec<String>)| format!("{title}\n{}\n", lines.join("\n"));
    titles.into_iter().zip(told).map(stage).collect()
}

#[test]
fn each_stage_is_told_with_its_statements() {
    insta::assert_snapshot!("alone", text(&board(Condition::Right, false)));
    insta::assert_snapshot!("beside_a_monitor", text(&board(Condition::Right, true)));
}

/// What they say is what brings an instance through the stages.
#[test]
fn the_statements_do_what_is_wanted() {
    let tables = Tables::with(&board(Condition::Right, false).shown()[0].actual.memory);
    let [drain, lead, read] =
        <[_; 3]>::try_from(board(Condition::Right, false).foretell(&stages())["app1"].clone()).unwrap();
    let run = |lines: &[String]| {
        lines.iter().filter(|sql| !sql.contains("MYSQL SERVERS")).for_each(|sql| tables.run(sql));
        tables.shown()
    };
    assert_eq!(run(&drain), ["10 db1 OFFLINE_SOFT", "20 db2 ONLINE", "20 db3 ONLINE"]);
    assert_eq!(run(&lead), ["10 db2 ONLINE", "20 db1 OFFLINE_HARD", "20 db3 ONLINE"]);
    assert_eq!(run(&read), ["10 db2 ONLINE", "20 db1 ONLINE", "20 db3 ONLINE"]);
}

/// Somebody else's row in the writer hostgroup keeps none of Baton's statements away.
#[test]
fn one_with_a_foreign_writer_is_told_all_the_same() {
    let diverged = board(Condition::Diverged("10.9.9.3:3306 is not of this cluster".into()), false);
    assert_eq!(text(&diverged), text(&board(Condition::Right, false)));
}

#[test]
fn nothing_is_said_of_an_instance_that_does_not_answer() {
    let silent = board(Condition::Unreachable("it is silent".into()), false);
    assert!(silent.foretell(&stages()).is_empty());
}
