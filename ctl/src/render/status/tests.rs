use super::*;
use crate::render::fixtures::{NOW_MS, PLAIN, healthy, now, replica, witness, writer};

fn show(reply: &StatusReply) -> String {
    status(reply, now(), &PLAIN)
}

#[test]
fn a_healthy_cluster_prints_no_warning() {
    let page = show(&healthy());
    assert!(!page.contains('!'), "{page}");
    insta::assert_snapshot!(page);
}

#[test]
fn two_servers_and_a_witness() {
    let mut reply = healthy();
    reply.nodes.remove(2);
    (reply.voters, reply.voters_answering, reply.last_failover) = (3, 3, None);
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn a_lagging_replica_and_a_backup() {
    let mut reply = healthy();
    reply.health = "degraded".into();
    let db3 = &mut reply.nodes[2];
    (db3.health, db3.lag_seconds, db3.candidate, db3.acker) = ("warning".into(), 41.2, false, false);
    db3.note = "backing up, 62 %, 3 min left".into();
    reply.warnings =
        vec!["db3 lags because of its backup; it is not a candidate until it has caught up".into()];
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn degraded_says_why_once() {
    let mut reply = healthy();
    (reply.health, reply.durability) = ("degraded".into(), "degraded".into());
    reply.durability_reason = "new epoch, waiting for db2 to follow".into();
    let page = show(&reply);
    assert_eq!(page.matches("waiting for db2 to follow").count(), 1, "{page}");
    reply.warnings = vec!["NotLossless: new epoch, waiting for db2 to follow".into()];
    assert_eq!(show(&reply).matches("waiting for db2 to follow").count(), 1);
    insta::assert_snapshot!(page);
}

#[test]
fn no_writer_while_a_failover_runs() {
    let mut reply = healthy();
    (reply.health, reply.durability, reply.writer_open) = ("no_writer".into(), "none".into(), false);
    reply.operation = "failover of epoch 7, away from db1: waiting for a proof that it is closed".into();
    let db1 = &mut reply.nodes[0];
    (db1.health, db1.open, db1.server_answers, db1.lease_left_ms) = ("down".into(), false, false, 0);
    for node in &mut reply.nodes[1..3] {
        (node.replicating, node.health, node.lag_seconds) = (false, "warning".into(), -1.0);
    }
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn nobody_holds_the_write_role() {
    let mut reply = healthy();
    (reply.health, reply.durability) = ("no_writer".into(), "none".into());
    (reply.writer, reply.writer_open, reply.automation) = (String::new(), false, "held".into());
    let db1 = &mut reply.nodes[0];
    (db1.role, db1.health, db1.open) = ("out".into(), "warning".into(), false);
    db1.note = "quarantined: 3 transactions that no other server has, archived".into();
    reply.warnings = vec!["no candidate has everything that db1 acknowledged".into()];
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn observing_before_adoption() {
    let mut reply = healthy();
    (reply.phase, reply.epoch, reply.durability) = ("observing".into(), 0, "none".into());
    (reply.automation, reply.last_failover) = (String::new(), None);
    reply.nodes[0].lease_left_ms = 0;
    for node in &mut reply.nodes {
        (node.acker, node.candidate) = (false, false);
    }
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn paused_with_the_time_left() {
    let mut reply = healthy();
    (reply.automation, reply.paused_until_ms) = ("paused".into(), NOW_MS + 24 * 60_000 + 500);
    reply.nodes[0].lease_left_ms = 0;
    let page = show(&reply);
    assert!(!page.contains("no lease"), "a pause needs none: {page}");
    insta::assert_snapshot!(page);
}

#[test]
fn a_host_and_the_leader_gone() {
    let mut reply = healthy();
    reply.health = "degraded".into();
    (reply.leader, reply.voters_answering) = (String::new(), 2);
    let db3 = &mut reply.nodes[2];
    (db3.health, db3.node_answers, db3.server_answers) = ("down".into(), false, false);
    (db3.acker, db3.candidate) = (false, false);
    reply.nodes[3].node_answers = false;
    reply.warnings = vec!["QuorumLost: 2 of 4 voters answer; nothing is promoted until a third does".into()];
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn out_and_wrong_source_and_other_version() {
    let mut reply = healthy();
    reply.health = "degraded".into();
    let db2 = &mut reply.nodes[1];
    (db2.health, db2.follows, db2.server) = ("warning".into(), "db3".into(), "MySQL 9.6.0".into());
    let db3 = &mut reply.nodes[2];
    (db3.role, db3.health, db3.candidate, db3.acker) = ("out".into(), "warning".into(), false, false);
    db3.replicating = false;
    db3.note =
        "3 transactions that only it has: 3e11fa47-71ca-11e1-9e33-c80aa9429562:88122-88124; archived, \
                waiting for approval of a rebuild"
            .into();
    insta::assert_snapshot!(show(&reply));
}

#[test]
fn long_names_stay_aligned_and_whole() {
    let mut reply = healthy();
    reply.cluster = "warehouse-and-logistics-production-europe".into();
    let names = ["mysql-prod-eu-central-01", "mysql-prod-eu-central-02", "mysql-prod-eu-west-03", "arbiter"];
    reply.nodes = vec![writer(names[0]), replica(names[1]), replica(names[2]), witness(names[3])];
    (reply.writer, reply.leader) = (names[0].into(), names[1].into());
    let page = show(&reply);
    for name in names {
        assert!(page.contains(name), "{name} is missing: {page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 80), "wider than 80: {page}");
    insta::assert_snapshot!(page);
}

#[test]
fn colour_repeats_what_the_text_says() {
    let mut reply = healthy();
    reply.nodes[2].health = "warning".into();
    let colour = status(&reply, now(), &Style { color: true, width: 80 });
    assert!(colour.contains("\x1b[32mLOSSLESS\x1b[0m"), "{colour}");
    // Without its escape sequences it is the same page, so that no column moves.
    let mut plain = String::new();
    let mut rest = colour.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain += before;
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    assert_eq!(plain + rest, show(&reply));
}
