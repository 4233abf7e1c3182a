//! What must be so before and after each fault. Pure.

use baton_proto::control::{NodeStatus, Operation, StatusReply};

/// The cluster is whole: a writer, every replica follows it, every commit waits for an acker.
pub(super) fn is_whole(status: &StatusReply) -> bool {
    why_not_whole(status).is_none()
}

/// What it lacks, the first thing.
pub(super) fn why_not_whole(status: &StatusReply) -> Option<String> {
    if status.phase != "managed" || !status.writer_open {
        return Some("there is no open writer under Baton's care".into());
    }
    if !status.operation.is_empty() {
        return Some(format!("something is under way: {}", status.operation));
    }
    if status.automation != "automatic" {
        return Some(format!("failover is not automatic: {}", status.automation));
    }
    let servers = status.nodes.iter().filter(|node| !matches!(node.role.as_str(), "witness" | "left behind"));
    for node in servers.filter(|node| node.name != status.writer) {
        if node.role != "replica" || !node.replicating || node.follows != status.writer {
            return Some(format!(
                "{} does not follow {}: {} {}",
                node.name, status.writer, node.role, node.note
            ));
        }
    }
    // One that came back counts on nobody's list before it is known to have all that it ever acknowledged: a writer lost by
    // then would be waited for.
    if let Some(node) = status.nodes.iter().find(|node| node.candidate && !node.acker) {
        return Some(format!("{} is no acker yet", node.name));
    }
    if status.durability != "lossless" {
        return Some(format!("it is not lossless: {}", status.durability_reason));
    }
    if !status.nodes.iter().any(|node| node.candidate) {
        return Some("no replica could become the writer".into());
    }
    None
}

/// Every server but the writer is closed.
pub(super) fn one_is_open(status: &StatusReply) -> Result<String, String> {
    let open: Vec<&str> =
        status.nodes.iter().filter(|node| node.open).map(|node| node.name.as_str()).collect();
    match open.as_slice() {
        [one] if *one == status.writer => Ok(format!("{one} alone accepts writes")),
        _ => Err(format!("open: {}; the writer is {}", open.join(", "), status.writer)),
    }
}

/// The old writer could acknowledge nothing more before the next one was opened.
pub(super) fn was_fenced(operation: &Operation, proofs: &[&str]) -> Result<String, String> {
    let proven = proofs.iter().any(|proof| operation.proof.starts_with(proof));
    let said = format!("epoch {} ended with the proof: {}", operation.from_epoch, operation.proof);
    if proven { Ok(said) } else { Err(said) }
}

/// Nothing that was acknowledged is missing.
pub(super) fn lost_nothing(operation: &Operation) -> Result<String, String> {
    let said = operation.loss.clone();
    if said.starts_with("nothing lost") { Ok(said) } else { Err(said) }
}

/// Why a server that came back is kept out for what it alone has.
pub(super) fn apart(status: &StatusReply, node: &str) -> Option<String> {
    let node = status.nodes.iter().find(|n| n.name == node && n.role == "out")?;
    node.note.contains("quarantined").then(|| node.note.clone())
}

/// A replica, the one that would be the next writer last.
pub(super) fn a_replica(status: &StatusReply) -> Option<&NodeStatus> {
    status.nodes.iter().filter(|node| node.role == "replica").min_by_key(|node| node.candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures::healthy;

    #[test]
    fn a_whole_cluster_is_whole_and_each_gap_is_named() {
        assert_eq!(why_not_whole(&healthy()), None);
        let spoiled = |spoil: fn(&mut StatusReply)| {
            let mut status = healthy();
            spoil(&mut status);
            why_not_whole(&status).unwrap_or_default()
        };
        assert!(spoiled(|s| s.writer_open = false).contains("no open writer"));
        assert!(spoiled(|s| s.automation = "paused".into()).contains("paused"));
        assert!(spoiled(|s| s.nodes[1].replicating = false).contains("db2 does not follow db1"));
        assert!(spoiled(|s| s.nodes[1].acker = false).contains("db2 is no acker yet"));
        assert!(spoiled(|s| s.durability = "degraded".into()).contains("not lossless"));
        assert!(spoiled(|s| s.nodes.iter_mut().for_each(|n| n.candidate = false)).contains("no replica"));
    }

    #[test]
    fn only_a_quarantined_server_is_where_it_should_be() {
        let mut status = healthy();
        assert_eq!(apart(&status, "db2"), None);
        status.nodes[1].role = "out".into();
        status.nodes[1].note = "in maintenance".into();
        assert_eq!(apart(&status, "db2"), None);
        status.nodes[1].note = "quarantined, 1 transaction that the writer lacks".into();
        assert!(apart(&status, "db2").is_some() && apart(&status, "db1").is_none());
    }

    #[test]
    fn two_open_servers_and_a_missing_proof_are_found() {
        let mut status = healthy();
        assert!(one_is_open(&status).is_ok());
        status.nodes[1].open = true;
        assert!(one_is_open(&status).is_err());
        let ended = Operation {
            proof: "closed (db1: …)".into(),
            loss: "nothing lost".into(),
            ..Operation::default()
        };
        assert!(was_fenced(&ended, &["closed"]).is_ok() && lost_nothing(&ended).is_ok());
        assert!(was_fenced(&Operation::default(), &["closed"]).is_err());
        assert!(lost_nothing(&Operation { loss: "3 transactions lost: …".into(), ..ended }).is_err());
    }
}
