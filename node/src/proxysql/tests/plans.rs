use proptest::prelude::*;

use super::*;

/// `db1` writes, `db2` reads, `db3` may not be known.
fn wanted() -> Desired {
    desired(&state(), &reading(&["db2"], &[("db3", Unfit::Open)]), false).unwrap()
}

/// The writer is drained.
fn drained() -> Desired {
    let mut wanted = wanted();
    let place = Placement { writer: Want::Soft, reader: Want::Any };
    wanted.servers.insert(at("db1"), ("db1".into(), place));
    wanted
}

fn of(memory: &[Row], runtime: &[Row]) -> Actual {
    Actual { memory: memory.to_vec(), runtime: runtime.to_vec(), monitored: false }
}

#[test]
fn an_empty_instance_is_filled() {
    let plan = plan(&wanted(), GROUPS, &Actual::default(), MARK);
    insta::assert_snapshot!(plan.statements.join("\n"), @r"
    REPLACE INTO mysql_servers (hostgroup_id, hostname, port, gtid_port, status, weight, compression, max_connections, max_replication_lag, use_ssl, max_latency_ms, comment) VALUES (10, '10.0.0.1', 3306, 0, 'ONLINE', 1, 0, 1000, 0, 0, 0, 'baton shop')
    REPLACE INTO mysql_servers (hostgroup_id, hostname, port, gtid_port, status, weight, compression, max_connections, max_replication_lag, use_ssl, max_latency_ms, comment) VALUES (20, '10.0.0.2', 3306, 0, 'ONLINE', 1, 0, 1000, 0, 0, 0, 'baton shop')
    ");
    assert!(plan.load);
}

/// What its owner has tuned goes along, and the one that must not be known waits.
#[test]
fn the_writer_moves_with_its_row() {
    let memory = [row(10, "db3", "ONLINE"), row(20, "db1", "ONLINE"), row(20, "db2", "ONLINE")];
    let plan = plan(&wanted(), GROUPS, &of(&memory, &memory), MARK);
    insta::assert_snapshot!(plan.statements.join("\n"), @r"
    UPDATE mysql_servers SET hostgroup_id=20, status='OFFLINE_HARD' WHERE hostgroup_id=10 AND hostname='10.0.0.3' AND port=3306
    UPDATE mysql_servers SET hostgroup_id=10, status='ONLINE' WHERE hostgroup_id=20 AND hostname='10.0.0.1' AND port=3306
    ");
    insta::assert_snapshot!(plan.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @r"
    10.0.0.1:3306 is missing from hostgroup 10
    10.0.0.3:3306 is ONLINE in hostgroup 10, where it does not belong
    10.0.0.1:3306 is ONLINE in hostgroup 20, where it does not belong
    ");
    let tables = Tables::with(&memory);
    plan.statements.iter().for_each(|statement| tables.run(statement));
    assert_eq!(tables.shown(), ["10 db1 ONLINE", "20 db2 ONLINE", "20 db3 OFFLINE_HARD"]);
    assert!(tables.rows().iter().all(|row| row.tuning.numbers == [0, 7, 0, 500, 0, 1, 0]));
}

#[test]
fn a_drained_writer_keeps_its_row_and_gets_none() {
    let memory = [row(10, "db1", "ONLINE"), row(20, "db2", "ONLINE")];
    let plan_of = |rows: &[Row]| plan(&drained(), GROUPS, &of(rows, rows), MARK);
    assert_eq!(
        plan_of(&memory).statements,
        [
            "UPDATE mysql_servers SET status='OFFLINE_SOFT' WHERE hostgroup_id=10 AND hostname='10.0.0.1' AND port=3306"
        ]
    );
    assert!(plan_of(&memory[1..]).is_empty());
}

/// Rows of others, in these groups or elsewhere, are theirs; a used one in the writer group is named.
#[test]
fn what_is_not_batons_is_left_alone() {
    let (mut other, mut member) = (row(10, "db9", "ONLINE"), row(30, "db3", "ONLINE"));
    other.tuning.comment = "somebody's".into();
    member.tuning.comment = String::new();
    let rows = [row(10, "db1", "ONLINE"), other.clone(), row(20, "db2", "ONLINE"), member];
    let plan = plan(&wanted(), GROUPS, &of(&rows, &rows), MARK);
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.foreign, [other.address]);
}

#[test]
fn rows_that_baton_made_go_with_their_server() {
    let mut gone = row(20, "db9", "ONLINE");
    gone.tuning.comment = MARK.into();
    let rows = [row(10, "db1", "ONLINE"), row(20, "db2", "ONLINE"), gone];
    let plan = plan(&wanted(), GROUPS, &of(&rows, &rows), MARK);
    assert_eq!(
        plan.statements,
        ["DELETE FROM mysql_servers WHERE hostgroup_id=20 AND hostname='10.0.0.9' AND port=3306"]
    );
}

/// Its own monitor has made a second writer at run time, while the table that is edited is right: it is loaded again.
#[test]
fn what_a_monitor_did_is_undone_by_loading() {
    let memory = [row(10, "db1", "ONLINE"), row(20, "db2", "ONLINE"), row(20, "db3", "OFFLINE_HARD")];
    let mut runtime = memory[..2].to_vec();
    assert!(plan(&wanted(), GROUPS, &of(&memory, &runtime), MARK).is_empty());
    runtime.push(row(10, "db3", "ONLINE"));
    let plan_of = |runtime: &[Row], monitored| {
        let actual = Actual { monitored, ..of(&memory, runtime) };
        plan(&wanted(), GROUPS, &actual, MARK)
    };
    let found = plan_of(&runtime, true);
    assert!(found.load && found.statements.is_empty() && found.differences.len() == 1, "{found:?}");
    // By default the writer reads too, where a monitor places servers.
    let writer_reads = [row(10, "db1", "ONLINE"), row(20, "db1", "ONLINE"), row(20, "db2", "SHUNNED")];
    assert!(plan_of(&writer_reads, true).is_empty());
    assert!(plan_of(&writer_reads, false).load);
}

#[test]
fn a_name_with_a_quote_stays_a_name() {
    let odd = HostPort { host: "o'db\\1".into(), port: 3306 };
    let mut wanted = wanted();
    let writer = wanted.servers.remove(&at("db1")).unwrap();
    wanted.servers.insert(odd.clone(), writer);
    let tables = Tables::with(&[]);
    let plan = plan(&wanted, GROUPS, &Actual::default(), MARK);
    plan.statements.iter().for_each(|statement| tables.run(statement));
    assert!(tables.rows().iter().any(|row| row.address == odd));
}

fn wants() -> impl Strategy<Value = Placement> {
    let reader = prop_oneof![Just(Want::Online), Just(Want::Soft), Just(Want::Absent), Just(Want::Any)];
    reader.prop_map(|reader| Placement { writer: Want::Absent, reader })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let status = prop_oneof![Just("ONLINE"), Just("SHUNNED"), Just("OFFLINE_SOFT"), Just("OFFLINE_HARD")];
    let one = (prop_oneof![Just(10_u32), Just(20)], 1..6_u8, status);
    prop::collection::vec(one, 0..8).prop_map(|all| {
        let unique: BTreeMap<(u32, u8), &str> =
            all.into_iter().map(|(group, n, status)| ((group, n), status)).collect();
        unique.into_iter().map(|((group, n), status)| row(group, &format!("db{n}"), status)).collect()
    })
}

proptest! {
    /// From whatever an instance has, a plan leads to what is wanted, in which a second plan finds nothing to do; on the way
    /// there are never two writers of this cluster where there were not, and nobody else's row is touched.
    #[test]
    fn every_plan_arrives(memory in rows(), places in prop::collection::vec(wants(), 4), writer in 0..5_usize, soft: bool) {
        let mut desired = wanted();
        desired.servers.clear();
        for (index, place) in places.into_iter().enumerate() {
            let place = match (index + 1 == writer, soft) {
                (true, false) => Placement { writer: Want::Online, ..place },
                (true, true) => Placement { writer: Want::Soft, ..place },
                _ => place,
            };
            let node = format!("db{}", index + 1);
            desired.servers.insert(at(&node), (node.as_str().into(), place));
        }
        let used = |rows: &[Row]| {
            let writes = |row: &&Row| row.hostgroup == 10 && ["ONLINE", "SHUNNED"].contains(&row.status.as_str());
            rows.iter().filter(writes).filter(|row| desired.servers.contains_key(&row.address)).count()
        };
        let others = |rows: &[Row]| -> Vec<Row> {
            rows.iter().filter(|row| !desired.servers.contains_key(&row.address)).cloned().collect()
        };
        let tables = Tables::with(&memory);
        let mut most = used(&memory).max(1);
        let statements = plan(&desired, GROUPS, &of(&memory, &memory), MARK).statements;
        for statement in &statements {
            tables.run(statement);
            prop_assert!(used(&tables.rows()) <= most, "{statement}");
            most = used(&tables.rows()).max(1);
        }
        let after = tables.rows();
        let runtime: Vec<Row> = after.iter().filter(|row| row.status != "OFFLINE_HARD").cloned().collect();
        let again = plan(&desired, GROUPS, &of(&after, &runtime), MARK);
        prop_assert!(again.is_empty(), "{statements:?} left {again:?}");
        prop_assert_eq!(others(&memory), others(&after));
    }
}
