//! The real `batonctl` against a mock node over real mutual TLS: what it prints, asks and exits with.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::process::Stdio;
use std::time::Duration;

use baton_proto::control::{
    AdoptReply, Change, CheckReply, Finding, QuarantineShowReply, RecoveryMoment, RecoveryReply, StatusReply,
    SwitchoverReply,
};
use support::{Folder, Node, Script, at_a_terminal, batonctl, batonctl_of, run};
use tokio::process::Command;
use tonic::Status;

fn status(health: &str) -> Script {
    let status = StatusReply {
        cluster: "shop".into(),
        health: health.into(),
        leader: "db1".into(),
        ..StatusReply::default()
    };
    Script { status, ..Script::default() }
}

/// A port that nothing listens on.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn the_exit_status_says_how_the_cluster_is() {
    let folder = Folder::new("health", "shop");
    for (health, exit) in [("healthy", 0), ("degraded", 1), ("no_writer", 2), ("a word of tomorrow", 1)] {
        let node = Node::start(&folder, status(health)).await;
        let ran = batonctl(&folder, &[&node.address], &["status"]).await;
        assert_eq!((ran.exit, ran.err.as_str()), (exit, ""), "{ran:?}");
        assert!(ran.out.starts_with("shop "), "{ran:?}");
    }
}

#[tokio::test]
async fn the_exit_status_says_whether_anything_can_be_restored() {
    let folder = Folder::new("recovery", "shop");
    let one = RecoveryMoment { backup: "20261113T020000Z-db2".into(), at_ms: 1 };
    let some = RecoveryReply { alone: vec![one], ..RecoveryReply::default() };
    for (recovery, exit) in [(RecoveryReply::default(), 1), (some, 0)] {
        let node = Node::start(&folder, Script { recovery, ..status("healthy") }).await;
        let ran = batonctl(&folder, &[&node.address], &["recovery"]).await;
        assert_eq!((ran.exit, ran.err.as_str()), (exit, ""), "{ran:?}");
        let ran = batonctl(&folder, &[&node.address], &["recovery", "--json"]).await;
        assert_eq!(ran.exit, exit, "{ran:?}");
        assert!(ran.json()["windows"].is_array() && ran.json()["archived_ms"] == 0, "{ran:?}");
    }
}

#[tokio::test]
async fn json_is_the_reply_itself() {
    let folder = Folder::new("json", "shop");
    let node = Node::start(&folder, status("no_writer")).await;
    let ran = batonctl(&folder, &[&node.address], &["status", "--json"]).await;
    assert_eq!((ran.exit, ran.json()["health"].as_str()), (2, Some("no_writer")));
    assert!(ran.json()["nodes"].is_array());
}

#[tokio::test]
async fn a_dead_node_is_passed_over() {
    let folder = Folder::new("dead", "shop");
    let node = Node::start(&folder, status("healthy")).await;
    let dead = closed_port().await;
    let ran = batonctl(&folder, &[&dead, &node.address], &["status"]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
}

#[tokio::test]
async fn a_silent_node_is_passed_over() {
    let folder = Folder::new("silent", "shop");
    let silent = Node::start(&folder, Script { silent_to: Some(""), ..Script::default() }).await;
    let node = Node::start(&folder, status("healthy")).await;
    for command in ["status", "resume"] {
        let ran = batonctl(&folder, &[&silent.address, &node.address], &[command]).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
    }
    assert!(!silent.asked().iter().any(|asked| asked.starts_with("Resume")));
}

#[tokio::test]
async fn a_change_without_an_answer_is_not_sent_twice() {
    let folder = Folder::new("unanswered", "shop");
    let error = Some(("Resume", Status::unavailable("the leader is gone")));
    let cases = [
        (Script { silent_to: Some("Resume"), ..status("healthy") }, "no answer within 1s"),
        (Script { error, ..status("healthy") }, "the leader is gone"),
    ];
    for (script, said) in cases {
        let (first, second) =
            (Node::start(&folder, script).await, Node::start(&folder, status("healthy")).await);
        let nodes = [first.address.as_str(), &second.address];
        let ran = batonctl(&folder, &nodes, &["resume", "--timeout", "1s"]).await;
        assert_eq!(ran.exit, 4, "{ran:?}");
        assert!(ran.err.contains("did not confirm") && ran.err.contains(said), "{ran:?}");
        assert!(ran.err.contains("It may have been carried out"), "{ran:?}");
        let resumed = |node: &Node| node.asked().iter().filter(|asked| asked.starts_with("Resume")).count();
        assert_eq!((resumed(&first), resumed(&second)), (1, 0));
    }
}

#[tokio::test]
async fn a_node_without_a_leader_is_passed_over() {
    let folder = Folder::new("leaderless", "shop");
    let error = Some(("", Status::unavailable("no leader is known")));
    let cut_off = Node::start(&folder, Script { error, ..Script::default() }).await;
    let ran = batonctl(&folder, &[&cut_off.address], &["status"]).await;
    assert_eq!(ran.exit, 4);
    assert!(ran.err.contains("no leader is known"), "{ran:?}");
    let node = Node::start(&folder, status("healthy")).await;
    assert_eq!(batonctl(&folder, &[&cut_off.address, &node.address], &["status"]).await.exit, 0);
}

#[tokio::test]
async fn a_change_goes_only_to_a_node_that_knows_a_leader() {
    let folder = Folder::new("to-leader", "shop");
    let mut script = status("degraded");
    script.status.leader = String::new();
    let cut_off = Node::start(&folder, script).await;
    let ran = batonctl(&folder, &[&cut_off.address], &["resume"]).await;
    assert!(ran.exit == 4 && ran.err.contains("it knows no leader"), "{ran:?}");
    let node = Node::start(&folder, status("healthy")).await;
    assert_eq!(batonctl(&folder, &[&cut_off.address, &node.address], &["resume"]).await.exit, 0);
    assert!(!cut_off.asked().iter().any(|asked| asked.starts_with("Resume")));
}

#[tokio::test]
async fn nobody_there_is_4_and_says_what_to_do() {
    let folder = Folder::new("nobody", "shop");
    let dead = closed_port().await;
    let ran = batonctl(&folder, &[&dead], &["status", "--json"]).await;
    assert_eq!(ran.exit, 4);
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert_eq!(ran.json()["error"], format!("no node answers: {dead}: connection refused"));
    assert!(ran.json()["mend"].as_str().unwrap().contains("start baton-node"), "{ran:?}");
}

#[tokio::test]
async fn a_refusal_passes_through_and_is_5() {
    let folder = Folder::new("refused", "shop");
    let words = "db3 lags 41 s; wait, or name another with --to";
    let error = Some(("Failover", Status::failed_precondition(words)));
    let node = Node::start(&folder, Script { error, ..status("degraded") }).await;
    let args = ["failover", "--force", "--yes", "--reason", "db1's rack burns", "--to", "db3"];
    let ran = batonctl(&folder, &[&node.address], &args).await;
    assert_eq!(ran.exit, 5);
    assert_eq!(ran.err, "error: db3 lags 41 s; wait, or name another with --to\n");
}

#[tokio::test]
async fn a_failover_asks_before_and_says_who_and_why() {
    let folder = Folder::new("failover", "shop");
    let node = Node::start(&folder, status("healthy")).await;
    let args = ["failover", "--force", "--reason", "test"];
    let ran = batonctl(&folder, &[&node.address], &args).await;
    assert_eq!(ran.exit, 3, "nobody is at the terminal: {ran:?}");
    assert_eq!(node.asked(), Vec::<String>::new());

    let ran = batonctl(&folder, &[&node.address], &[&args[..], &["--yes"]].concat()).await;
    assert_eq!((ran.exit, ran.out.as_str()), (0, "done\n  one more thing\n"));
    let asked = node.asked().concat();
    assert!(asked.contains("force: true") && asked.contains("\"test\"") && asked.contains("ada@"), "{asked}");
}

#[tokio::test]
async fn a_switchover_that_moved_nothing_is_a_refusal_and_a_dry_run_is_not() {
    let folder = Folder::new("switchover", "shop");
    let plan = SwitchoverReply { from: "db1".into(), to: "db2".into(), ..SwitchoverReply::default() };
    let node = Node::start(&folder, Script { switchover: plan.clone(), ..status("healthy") }).await;
    let args = ["switchover", "--to", "db2", "--dry-run"];
    let ran = batonctl(&folder, &[&node.address], &args).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let asked = node.asked().concat();
    assert!(asked.contains("dry_run: true, max_pause_ms: 500") && asked.contains("\"db2\""), "{asked}");

    let stays = SwitchoverReply { tried: true, ..plan.clone() };
    let moves = SwitchoverReply { tried: true, moved: true, ..plan.clone() };
    for (reply, exit) in [(plan, 5), (stays, 5), (moves, 0)] {
        let node = Node::start(&folder, Script { switchover: reply, ..status("healthy") }).await;
        let ran = batonctl(&folder, &[&node.address], &["switchover", "--kill-blockers", "--json"]).await;
        assert_eq!(ran.exit, exit, "{ran:?}");
        assert_eq!(ran.json()["moved"], exit == 0);
        assert!(node.asked().concat().contains("kill_blockers: true"));
    }
}

#[tokio::test]
async fn every_change_arrives() {
    let folder = Folder::new("changes", "shop");
    let node = Node::start(&folder, status("healthy")).await;
    let cases: [(&[&str], &str); 8] = [
        (&["pause", "--for", "30m"], "PauseRequest { for_ms: 1800000"),
        (&["maintenance", "db2", "--for", "2h"], "MaintenanceRequest { node: \"db2\", for_ms: 7200000"),
        (&["maintenance", "db2", "--end"], "MaintenanceRequest { node: \"db2\", for_ms: 0"),
        (&["resume"], "ResumeRequest"),
        (&["release"], "ReleaseRequest"),
        (
            &["node", "add", "db4", "--peer", "10.0.0.4:7400"],
            "AddNodeRequest { name: \"db4\", peer: \"10.0.0.4:7400\"",
        ),
        (&["node", "remove", "db4"], "RemoveNodeRequest { name: \"db4\""),
        (
            &["quarantine", "release", "db1", "--reason", "replayed"],
            "QuarantineReleaseRequest { node: \"db1\", reason: \"replayed\"",
        ),
    ];
    for (args, expected) in cases {
        let ran = batonctl(&folder, &[&node.address], args).await;
        assert_eq!(ran.exit, 0, "{args:?}: {ran:?}");
        let asked = node.asked().pop().unwrap();
        assert!(asked.starts_with(expected), "{asked}");
    }
}

#[tokio::test]
async fn adoption_is_0_when_it_would_be_or_was_and_5_otherwise() {
    let folder = Folder::new("adopt", "shop");
    let finding = Finding { level: "error".into(), what: "db2 is open".into(), ..Finding::default() };
    let refused = AdoptReply { findings: vec![finding], ..AdoptReply::default() };
    let adopted = AdoptReply { adopted: true, ..AdoptReply::default() };
    let cases = [
        (refused.clone(), true, 5),
        (refused, false, 5),
        (AdoptReply::default(), true, 0),
        (AdoptReply::default(), false, 5),
        (adopted, false, 0),
    ];
    for (adopt, dry_run, exit) in cases {
        let node = Node::start(&folder, Script { adopt, ..status("healthy") }).await;
        let args: &[&str] = if dry_run { &["adopt", "--dry-run"] } else { &["adopt"] };
        let ran = batonctl(&folder, &[&node.address], args).await;
        assert_eq!(ran.exit, exit, "dry run {dry_run}: {ran:?}");
        assert!(node.asked().concat().contains(&format!("dry_run: {dry_run}")));
    }
}

#[tokio::test]
async fn check_is_1_when_an_error_was_found() {
    let folder = Folder::new("check", "shop");
    for (level, exit) in [("ok", 0), ("warning", 0), ("error", 1)] {
        let check = CheckReply { findings: vec![Finding { level: level.into(), ..Finding::default() }] };
        let node = Node::start(&folder, Script { check, ..Script::default() }).await;
        assert_eq!(batonctl(&folder, &[&node.address], &["check"]).await.exit, exit, "{level}");
    }
}

#[tokio::test]
async fn a_node_of_another_ca_is_named() {
    let (ours, theirs) = (Folder::new("ca", "shop"), Folder::new("ca-other", "shop"));
    let node = Node::start(&theirs, status("healthy")).await;
    let ran = batonctl(&ours, &[&node.address], &["status"]).await;
    assert_eq!(ran.exit, 4);
    assert!(ran.err.contains("from another CA than ours"), "{ran:?}");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_named() {
    let folder = Folder::new("cluster", "shop");
    let node = Node::start(&folder, status("healthy")).await;
    let ran = batonctl_of(&folder, "warehouse", &[&node.address], &["status"]).await;
    assert_eq!(ran.exit, 4);
    assert!(ran.err.contains("its certificate is for another cluster"), "{ran:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_clusters_is_not_even_shown() {
    let (ours, theirs) = (Folder::new("client", "shop"), Folder::new("client-other", "shop"));
    std::fs::write(theirs.path().join("ca.pem"), ours.read("ca.pem")).unwrap();
    let ran = batonctl(&theirs, &["127.0.0.1:1"], &["status"]).await;
    assert!(ran.exit == 3 && ran.err.contains("was not issued by"), "{ran:?}");
}

#[tokio::test]
async fn a_node_that_takes_other_certificates_gets_no_change_through() {
    let (ours, theirs) = (Folder::new("taken", "shop"), Folder::new("taken-other", "shop"));
    // Our CA issued the node's certificate, but it trusts the clients of another.
    std::fs::write(theirs.path().join("db1.pem"), ours.read("db1.pem")).unwrap();
    std::fs::write(theirs.path().join("db1.key"), ours.read("db1.key")).unwrap();
    let node = Node::start(&theirs, status("healthy")).await;
    for command in ["status", "resume"] {
        // Whether the node's reason arrives before the end of the connection is a matter of timing.
        let ran = batonctl(&ours, &[&node.address], &[command]).await;
        let said = ran.err.contains("does not take our certificate (from another CA)");
        assert!(ran.exit == 4 && (said || ran.err.contains("closed the connection")), "{ran:?}");
    }
    assert_eq!(node.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_expired_certificate_is_named_on_either_side() {
    let folder = Folder::new("expired", "shop");
    let now = jiff::Timestamp::now();
    let long_ago = now - jiff::SignedDuration::from_hours(24 * 900);
    batonctl::certs::make_all("shop", &["db1".to_owned()], "admin", folder.path(), true, long_ago).unwrap();
    let ran = batonctl(&folder, &["127.0.0.1:1"], &["status"]).await;
    assert!(ran.exit == 3 && ran.err.contains("admin.client.pem: the certificate has expired"), "{ran:?}");

    batonctl::certs::make_client("admin", folder.path(), true, now).unwrap();
    let node = Node::start(&folder, status("healthy")).await;
    let ran = batonctl(&folder, &[&node.address], &["status"]).await;
    assert!(ran.exit == 4 && ran.err.contains("its certificate has expired"), "{ran:?}");
}

#[tokio::test]
async fn what_is_wrong_on_this_side_is_3() {
    let folder = Folder::new("usage", "shop");
    let cases: [(&[&str], &str); 6] = [
        (&["statu"], "statu"),
        (&["status", "--config", "/nowhere/batonctl.toml"], "/nowhere/batonctl.toml"),
        (&["status", "--node", "https://db1:7400"], "is not a node's address"),
        (&["pause", "--for", "soon"], "soon"),
        (&["pause", "--for", "0s"], "--for 30m"),
        (&["failover", "--yes", "--reason", " "], "--reason"),
    ];
    for (args, expected) in cases {
        let ran = batonctl(&folder, &["127.0.0.1:1"], args).await;
        assert!(ran.exit == 3 && ran.err.contains(expected), "{args:?}: {ran:?}");
    }
    std::fs::remove_file(folder.path().join("admin.client.key")).unwrap();
    let ran = batonctl(&folder, &["127.0.0.1:1"], &["status", "--json"]).await;
    assert!(ran.exit == 3 && ran.err.contains("client key"), "{ran:?}");
    assert!(ran.json()["error"].as_str().unwrap().contains("admin.client.key"));
}

#[tokio::test]
async fn a_key_that_is_none_is_named() {
    let folder = Folder::new("key", "shop");
    std::fs::write(folder.path().join("admin.client.key"), "not a key").unwrap();
    let ran = batonctl(&folder, &["127.0.0.1:1"], &["status"]).await;
    assert!(ran.exit == 3 && ran.err.contains("batonctl certs"), "{ran:?}");
}

#[tokio::test]
async fn colour_only_where_it_is_wanted() {
    let folder = Folder::new("colour", "shop");
    let node = Node::start(&folder, status("no_writer")).await;
    let ran = batonctl(&folder, &[&node.address], &["status"]).await;
    assert!(!ran.out.contains('\x1b'), "a pipe is no terminal: {ran:?}");
    let ran = batonctl(&folder, &[&node.address], &["status", "--color", "always"]).await;
    assert!(ran.out.contains('\x1b'), "{ran:?}");
}

#[tokio::test]
async fn grants_and_certs_need_no_cluster() {
    let folder = Folder::new("local", "shop");
    let bare = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batonctl"));
        command.env_clear().current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let ran = run(bare().args(["grants", "mariadb", "--json"])).await;
    assert!(ran.exit == 0 && ran.json()["sql"].as_str().unwrap().contains("READ ONLY ADMIN"), "{ran:?}");
    let ran = run(bare().args(["certs", "init", "--cluster", "shop", "--dir", "new", "db1", "--json"])).await;
    assert!(ran.exit == 0 && ran.json()["made"].is_array(), "{ran:?}");
    let ran = run(bare().args(["certs", "init", "--cluster", "shop", "--dir", "new", "db1"])).await;
    assert!(ran.exit == 3 && ran.err.contains("--force"), "{ran:?}");
}

#[tokio::test]
async fn a_failover_takes_the_clusters_name_and_nothing_else_for_a_yes() {
    let folder = Folder::new("confirm", "shop");
    let args = ["failover", "--force", "--reason", "test"];
    for (typed, exit) in [("shop\n", 0), ("yes\n", 3), ("\n", 3), ("\u{4}", 3)] {
        let node = Node::start(&folder, status("healthy")).await;
        let ran = at_a_terminal(&folder, &node.address, &args, typed).await;
        assert_eq!(ran.exit, exit, "{typed:?}: {ran:?}");
        assert!(ran.err.contains("Type the cluster's name to go on:"), "{ran:?}");
        let asked = node.asked();
        assert_eq!(asked.iter().any(|asked| asked.starts_with("Failover")), exit == 0, "{asked:?}");
    }
}

#[tokio::test]
async fn an_adoption_shows_its_plan_before_it_asks() {
    let folder = Folder::new("plan", "shop");
    let change = Change { node: "db1".into(), statement: "SET GLOBAL x = 1;".into(), ..Change::default() };
    let adopt = AdoptReply { writer: "db1".into(), changes: vec![change], ..AdoptReply::default() };
    let node = Node::start(&folder, Script { adopt, ..status("healthy") }).await;
    let ran = at_a_terminal(&folder, &node.address, &["adopt"], "no\n").await;
    assert!(ran.exit == 3 && ran.err.contains("SET GLOBAL x = 1;"), "{ran:?}");
    assert!(node.asked().iter().all(|asked| asked.contains("dry_run: true")), "{:?}", node.asked());
}

#[tokio::test]
async fn a_wait_of_over_two_seconds_is_explained() {
    let folder = Folder::new("progress", "shop");
    let silent = Node::start(&folder, Script { silent_to: Some(""), ..Script::default() }).await;
    let args = ["status", "--timeout", "2500ms"];
    let ran = at_a_terminal(&folder, &silent.address, &args, "").await;
    assert!(ran.exit == 4 && ran.err.contains("asking the nodes … 2 s"), "{ran:?}");
    let piped = batonctl(&folder, &[&silent.address], &args).await;
    assert_eq!(piped.err.lines().count(), 1, "only the error, into a pipe: {piped:?}");
}

#[tokio::test]
async fn a_switchover_is_followed_live_on_a_terminal_alone() {
    let folder = Folder::new("live", "shop");
    let slow_to = Some(("SwitchoverRequest", Duration::from_millis(1200)));
    let switchover = SwitchoverReply { tried: true, moved: true, ..SwitchoverReply::default() };
    let operation = "switchover of epoch 1, away from db1: freeze".to_owned();
    let mut script = Script { switchover, slow_to, ..status("healthy") };
    script.status.operation = operation.clone();
    let node = Node::start(&folder, script).await;
    let args = ["switchover"];
    let ran = at_a_terminal(&folder, &node.address, &args, "").await;
    assert!(ran.exit == 0 && ran.err.contains("looking at the servers …"), "{ran:?}");
    assert!(ran.err.contains(&operation) && ran.err.ends_with("\r\x1b[K"), "{ran:?}");
    let piped = batonctl(&folder, &[&node.address], &args).await;
    assert!(piped.exit == 0 && piped.err.is_empty(), "{piped:?}");
}

/// A script gets all the SQL that a node gives, a person the beginning.
#[tokio::test]
async fn an_archive_is_shown_by_its_name() {
    let folder = Folder::new("quarantine", "shop");
    let quarantine = QuarantineShowReply { sql: "COMMIT;\n".into(), sql_left: 7, ..Default::default() };
    let node = Node::start(&folder, Script { quarantine, ..status("degraded") }).await;
    let ran = batonctl(&folder, &[&node.address], &["quarantine", "show", "db1-e2-aa", "--json"]).await;
    assert_eq!((ran.exit, ran.json()["sql_left"].as_u64()), (0, Some(7)), "{ran:?}");
    let asked = node.asked().pop().unwrap();
    assert!(asked.contains("id: \"db1-e2-aa\", sql_max: 18446744073709551615"), "{asked}");
    let ran = batonctl(&folder, &[&node.address], &["quarantine", "show", "db1", "--sql"]).await;
    assert!(ran.exit == 0 && ran.out.starts_with("COMMIT;\n"), "{ran:?}");
    // Nobody gives transactions up without saying why.
    let ran = batonctl(&folder, &[&node.address], &["quarantine", "release", "db1"]).await;
    assert_eq!(ran.exit, 3, "{ran:?}");
}

/// A list of clusters, each with the certificates of cluster shop.
fn listed(folder: &Folder, clusters: &[(String, &str)]) -> std::path::PathBuf {
    let tls = "[tls]\nca = \"ca.pem\"\ncert = \"admin.client.pem\"\nkey = \"admin.client.key\"\n";
    let entry =
        |(name, node): &(String, &str)| format!("[[cluster]]\nname = \"{name}\"\nnodes = [\"{node}\"]\n");
    let path = folder.path().join("clusters.toml");
    std::fs::write(&path, clusters.iter().map(entry).collect::<String>() + tls).unwrap();
    path
}

async fn fleet(folder: &Folder, file: &std::path::Path, more: &[&str]) -> support::Ran {
    let file = file.to_str().unwrap();
    let args: Vec<&str> = ["fleet", "--file", file].iter().chain(more).copied().collect();
    let program = env!("CARGO_BIN_EXE_batonctl");
    run(Command::new(program).env_clear().args(args).stderr(Stdio::piped()).current_dir(folder.path())).await
}

/// A build for tests optimises nothing, and the hundred nodes share the processors with who asks them.
const STRETCH: u128 = 4;

/// Certificates carry the cluster's name: each has its own.
#[tokio::test]
async fn a_hundred_clusters_are_there_in_two_seconds_the_worst_first() {
    let home = Folder::new("fleet", "home");
    let (mut nodes, mut folders, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..100 {
        let name = format!("shop-{number:02}");
        let folder = Folder::of(home.path().join(&name), &name);
        let health = if number == 60 { "no_writer" } else { "healthy" };
        // One never answers, and one is not there.
        let script =
            if number == 61 { Script { silent_to: Some(""), ..status(health) } } else { status(health) };
        let node = Node::start(&folder, script).await;
        let address = if number == 62 { closed_port().await } else { node.address.clone() };
        nodes.push(node);
        folders.push(folder);
        clusters.push(format!("[[cluster]]\nname = \"{name}\"\nnodes = [\"{address}\"]\n"));
    }
    let file = home.path().join("clusters.toml");
    std::fs::write(&file, clusters.concat()).unwrap();
    let began = std::time::Instant::now();
    let ran = fleet(&home, &file, &[]).await;
    let took = began.elapsed();
    println!("100 clusters in {took:?}");
    assert_eq!((ran.exit, ran.err.as_str()), (2, ""), "{ran:?}");
    assert!(ran.out.starts_with("100 clusters: 1 without a writer, 2 without an answer, 97 well"), "{ran:?}");
    let names: Vec<&str> = ran.out.lines().skip(2).filter_map(|l| l.split_whitespace().nth(1)).collect();
    assert_eq!(
        names.iter().filter(|n| n.starts_with("shop-")).take(4).collect::<Vec<_>>(),
        [&"shop-60", &"shop-61", &"shop-62", &"shop-00"]
    );
    assert!(took.as_millis() < 2_000 * STRETCH, "{took:?}");
    let json = fleet(&home, &file, &["--json"]).await.json();
    assert_eq!(json["clusters"].as_array().map(Vec::len), Some(100));
    assert_eq!(json["clusters"][0]["standing"], "no_writer");
    assert_eq!(json["clusters"][3]["status"]["health"], "healthy");
}

#[tokio::test]
async fn a_list_of_clusters_that_is_wrong_is_named() {
    let folder = Folder::new("fleet-wrong", "shop");
    let file = folder.path().join("clusters.toml");
    let cases = [
        ("", "it names no cluster"),
        ("[[cluster]]\nname = \"a\"\nnodes = []\n", "cluster \"a\" has no node"),
        ("[[cluster]]\nname = \"a\"\nnode = []\n", "line 3: unknown field `node`"),
    ];
    for (text, said) in cases {
        std::fs::write(&file, text).unwrap();
        let ran = fleet(&folder, &file, &[]).await;
        assert_eq!((ran.exit, ran.out.as_str()), (3, ""), "{ran:?}");
        assert!(ran.err.contains("clusters.toml") && ran.err.contains(said), "{ran:?}");
    }
    let twice = listed(&folder, &[("a".into(), "db1"), ("a".into(), "db2")]);
    assert!(fleet(&folder, &twice, &[]).await.err.contains("cluster \"a\" is there twice"));
    let absent = fleet(&folder, std::path::Path::new("none.toml"), &[]).await;
    assert!(absent.exit == 3 && absent.err.contains("none.toml"), "{absent:?}");
}
