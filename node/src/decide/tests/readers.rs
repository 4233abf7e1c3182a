//! Which servers may be read from.

use super::super::readers::{Reading, Unfit, of_reports, reading};
use super::super::seen::Replica;
use super::*;

/// db1 is the writer; db2 and db3 follow it.
struct Cluster {
    state: ClusterState,
    seen: BTreeMap<NodeName, Probe>,
    were: BTreeSet<NodeName>,
}

fn healthy() -> Cluster {
    let state = cluster("db1 db2 db3 app1");
    let writer = state.members[&name("db1")].server.clone().unwrap();
    let replica = Replica { source: writer, stopped_for: None, behind: Some(Duration::ZERO) };
    let follower = Probe { replica: Some(replica), ..answered(false) };
    let seen = [("db1", answered(true)), ("db2", follower.clone()), ("db3", follower)];
    let seen = seen.map(|(n, probe)| (name(n), probe)).into();
    Cluster { state, seen, were: [name("db2"), name("db3")].into() }
}

impl Cluster {
    fn probe(&mut self, node: &str) -> &mut Probe {
        self.seen.get_mut(&name(node)).unwrap()
    }

    fn replica(&mut self, node: &str) -> &mut Replica {
        self.probe(node).replica.as_mut().unwrap()
    }

    fn moves(&mut self) {
        self.state.operation = Some(Operation::of(OperationKind::Switchover, Epoch(1), name("db1")));
    }

    fn reading(&self) -> Reading {
        reading(&self.state, &self.seen, &self.were)
    }

    fn why(&self, node: &str) -> Option<Unfit> {
        self.reading().left_out.get(&name(node)).cloned()
    }

    fn is_read(&self, node: &str) -> bool {
        self.reading().readers.contains(&name(node))
    }
}

fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_replicas_that_follow_are_read_from_and_the_writer_is_not() {
    let healthy = healthy().reading();
    assert_eq!(healthy.readers, [name("db2"), name("db3")].into());
    assert!(healthy.left_out.is_empty() && !healthy.is_left_to_writer(), "{healthy:?}");
}

#[test]
fn what_makes_a_replica_unfit_takes_it_out_alone_and_says_why() {
    type Spoil = fn(&mut Cluster);
    let cases: [(&str, Spoil); 11] = [
        ("is out: it has transactions that the writer lacks", |c| {
            let extra = my("9:1-2");
            out(c, OutReason::Quarantine(Quarantine::of(extra, Epoch(1))));
        }),
        ("is out: maintenance", |c| out(c, OutReason::Maintenance)),
        ("is out: it is being rebuilt", |c| out(c, OutReason::Rebuild)),
        ("has not answered yet", |c| c.probe("db2").ever = false),
        ("has not answered for 2.1 s", |c| c.probe("db2").silent_for = ms(2_100)),
        ("is open without being the writer", |c| c.probe("db2").open = Some(true)),
        ("does not replicate", |c| c.probe("db2").replica = None),
        ("replicates from db9:3306, which is not the writer", |c| {
            c.replica("db2").source = "db9:3306".into();
        }),
        ("its replication has stood still for 2.5 s", |c| c.replica("db2").stopped_for = Some(ms(2_500))),
        ("is 11.0 s behind, more than 10.0 s", |c| c.replica("db2").behind = Some(s(11))),
        ("has not answered yet", |c| drop(c.seen.remove(&name("db2")))),
    ];
    for (why, spoil) in cases {
        let mut cluster = healthy();
        spoil(&mut cluster);
        let found = cluster.reading();
        assert_eq!(found.readers, [name("db3")].into(), "{why}");
        assert_eq!(found.left_out[&name("db2")].to_string(), why);
    }
}

fn out(cluster: &mut Cluster, reason: OutReason) {
    cluster.state.out.insert(name("db2"), Out { reason, since_ms: 0 });
}

#[test]
fn the_writer_is_read_from_when_none_is_left() {
    let mut cluster = healthy();
    for node in ["db2", "db3"] {
        cluster.replica(node).behind = Some(s(60));
    }
    assert!(cluster.reading().is_left_to_writer());
}

#[test]
fn one_that_left_comes_back_well_below_the_limit() {
    let mut cluster = healthy();
    cluster.state.safety.live.reader_max_lag_ms = 6_000;
    for (behind, stays, returns) in [(3, true, true), (4, true, false), (6, true, false), (7, false, false)] {
        cluster.replica("db2").behind = Some(s(behind));
        cluster.were = [name("db2")].into();
        assert_eq!(cluster.is_read("db2"), stays, "{behind} s");
        cluster.were.clear();
        assert_eq!(cluster.is_read("db2"), returns, "{behind} s");
    }
}

#[test]
fn a_restart_of_replication_throws_no_reader_out_and_lets_none_in() {
    let mut cluster = healthy();
    *cluster.replica("db2") =
        Replica { stopped_for: Some(ms(300)), behind: None, ..cluster.replica("db2").clone() };
    assert!(cluster.is_read("db2"));
    cluster.were.clear();
    assert_eq!(cluster.why("db2"), Some(Unfit::Stopped(ms(300))), "as one looks to a node that just started");
    cluster.replica("db2").stopped_for = None;
    assert_eq!(cluster.why("db2"), Some(Unfit::LagUnknown));
}

#[test]
fn replicas_stay_while_the_writer_moves_and_for_as_long_as_there_is_none() {
    let mut cluster = healthy();
    cluster.moves();
    *cluster.replica("db2") = Replica { source: "db9:3306".into(), stopped_for: Some(s(9)), behind: None };
    assert!(cluster.is_read("db2"), "about to be pointed elsewhere");
    cluster.replica("db2").stopped_for = Some(s(11));
    assert_eq!(cluster.why("db2"), Some(Unfit::Stopped(s(11))), "the new writer has been open too long");
    cluster.state.revoked_through = Epoch(1);
    assert!(cluster.is_read("db2"), "nothing newer can be read anywhere");
    cluster.were.clear();
    assert_eq!(cluster.why("db2"), Some(Unfit::NoWriter), "nobody knows how old it is");
}

#[test]
fn before_adoption_the_sources_name_does_not_matter() {
    let mut cluster = healthy();
    (cluster.state.phase, cluster.state.grant) = (Phase::Observing, None);
    cluster.replica("db2").source = "database.example:3306".into();
    assert!(cluster.is_read("db2"));
    assert_eq!(cluster.why("db1"), Some(Unfit::Open));
}

#[test]
fn of_several_nodes_words_the_youngest_counts() {
    let mut seen = Observations::default();
    let told = |silent, open| Probe { silent_for: ms(silent), ..answered(open) };
    let never = Probe { silent_for: ms(1), ..Probe::default() };
    for (from, probe, age) in
        [("app1", told(700, true), 10), ("db1", told(100, false), 500), ("db3", never, 0)]
    {
        let report = Report { probes: [(name("db2"), probe)].into(), ..Report::default() };
        seen.insert(name(from), report, ms(age));
    }
    let youngest = of_reports(&seen);
    assert_eq!(youngest[&name("db2")], told(600, false));
}
