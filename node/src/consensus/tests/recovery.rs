//! One of three is left, and goes on by itself.

use std::sync::Arc;

use super::cluster::{Host, Node, WITHIN, leader_of, start_all, three};
use super::sample::sample;
use super::until;
use crate::consensus::{AtRest, FormationStatus, RecoveryError};
use crate::state::{
    Change, Cluster, Command, CommandId, Forced, Member, NodeName, OperationId, Recover, Refusal, Safety,
};

fn form(hosts: &[Host]) -> Command {
    let member = |host: &Host| (host.name.clone(), Member { server: Some("s".into()), ..Member::default() });
    let change = Change::Form {
        cluster: Cluster { name: "test".into(), id: "1".into() },
        members: hosts.iter().map(member).collect(),
        safety: Safety::default(),
    };
    Command { id: CommandId("form".into()), by: "db1".into(), at_ms: 5, change }
}

fn recovery(generation: u64, keep: &NodeName) -> Command {
    let change = Change::Recover(Recover {
        generation,
        keep: keep.clone(),
        operation: OperationId("r".into()),
        word: Forced { by: "ada".into(), reason: "burnt".into() },
        accepts_loss: false,
        evidence: vec![],
    });
    Command { id: CommandId(format!("recover-{generation}")), by: keep.clone(), at_ms: 9, change }
}

fn at_rest(host: &Host) -> AtRest {
    AtRest::open(&host.scratch.file(), &format!("machine of {}", host.name)).unwrap()
}

/// Three that have formed and agreed on something, and then all ended.
async fn lost() -> Vec<Host> {
    let hosts = three();
    let nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes.iter().collect::<Vec<&Node>>()).await;
    leader.group.propose(form(&hosts), WITHIN).await.unwrap().into_result().unwrap();
    leader.group.propose(sample(7), WITHIN).await.unwrap();
    let index = leader.index();
    until("all have applied", || nodes.iter().all(|node| node.index() >= index)).await;
    for node in &nodes {
        node.kill().await;
    }
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_is_left_leads_alone_and_the_others_learn_of_it() {
    let hosts = lost().await;
    let all: Vec<&Host> = hosts.iter().collect();
    let store = at_rest(all[1]);
    let before = store.survey().await.unwrap();
    assert_eq!((before.binding.generation, before.membership.members.len()), (1, 3));
    assert_eq!(before.last_command, Some((0, NodeName::from("db1"))));
    store.recover("db2".into(), 2, recovery(2, &"db2".into())).await.unwrap();
    let after = store.survey().await.unwrap();
    assert_eq!((after.binding.generation, after.membership.members.len(), after.unapplied), (2, 1, 0));
    assert!(after.last_index > before.last_index && after.last_term > before.last_term);
    store.close().await;

    let kept = all[1].start(&all).await;
    let leader = leader_of(&[&kept]).await;
    leader.group.propose(sample(8), WITHIN).await.unwrap();

    // Both of the others: together they are a majority of the old generation.
    let others = [all[0].start(&all).await, all[2].start(&all).await];
    until("left behind", || others.iter().all(|node| node.group.left_behind().is_some())).await;
    for node in &others {
        assert_eq!(node.group.with_applied(|_, _| ()), None, "nothing is granted any more");
        assert!(matches!(*node.group.formation().borrow(), FormationStatus::LeftBehind(_)));
        node.group.propose(sample(9), std::time::Duration::from_millis(300)).await.unwrap_err();
        node.kill().await;
    }
    leader.group.confirm_leadership(WITHIN).await.unwrap();
    leader.kill().await;

    // With nobody to tell it, it remembers; and the two elect nobody.
    let others = [all[0].start(&all).await, all[2].start(&all).await];
    assert!(others.iter().all(|node| node.group.left_behind().is_some_and(|left| left.generation == 2)));
    assert!(others.iter().all(|node| !node.group.leadership().borrow().mine));
    for node in &others {
        node.kill().await;
    }

    // The one that went on is lost as well: an old one is all that there is.
    let store = at_rest(all[0]);
    assert_eq!(store.survey().await.unwrap().left_behind_by, Some(2));
    store.recover("db1".into(), 3, recovery(3, &"db1".into())).await.unwrap();
    store.close().await;
    let last = all[0].start(&all).await;
    assert_eq!(last.group.left_behind(), None);
    leader_of(&[&last]).await.kill().await;
}

/// A member that was dropped joins the new generation with a new store.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_joins_the_new_generation() {
    let mut hosts = lost().await;
    let store = at_rest(&hosts[1]);
    store.recover("db2".into(), 2, recovery(2, &"db2".into())).await.unwrap();
    store.close().await;
    let again = Host::new("db1");
    hosts[0] = again;
    let all: Vec<&Host> = hosts.iter().collect();
    let kept = all[1].start(&all).await;
    let blank = all[0].start(&all).await;
    leader_of(&[&kept]).await;
    kept.group.add_node(&"db1".into(), &all[0].address, WITHIN).await.unwrap();
    blank.group.propose(sample(9), WITHIN).await.unwrap();
    assert_eq!(blank.group.binding().map(|binding| binding.generation), Some(2));
    for node in [kept, blank] {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_recovered_from_stays_as_it_was() {
    let hosts = lost().await;
    let store = at_rest(&hosts[0]);
    let before = format!("{:?}", store.survey().await.unwrap());
    let stranger = store.recover("db9".into(), 2, recovery(2, &"db9".into())).await;
    assert!(matches!(stranger, Err(RecoveryError::Refused(Refusal::NoSuchNode(_)))), "{stranger:?}");
    let other = store.recover("db2".into(), 2, recovery(2, &"db2".into())).await;
    assert!(
        matches!(other, Err(RecoveryError::Refused(Refusal::NoSuchNode(_)))),
        "not this store: {other:?}"
    );
    assert_eq!(format!("{:?}", store.survey().await.unwrap()), before);
    store.close().await;

    let nowhere = hosts[0].scratch.file().with_file_name("none.db");
    assert!(matches!(AtRest::open(&nowhere, "m"), Err(RecoveryError::None(_))) && !nowhere.exists());
    let blank = Arc::new(Host::new("db4"));
    blank.start(&[&blank, &hosts[0]]).await.kill().await;
    let store = at_rest(&blank);
    assert!(matches!(store.survey().await, Err(RecoveryError::Blank(_))));
    store.close().await;
}
