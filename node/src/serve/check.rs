//! The lint of servers, nodes and the group, each finding with what mends it. Pure.

use baton_proto::control as proto;

use super::View;
use super::words::{list, named, why_not_lossless};
use crate::decide::diagnosis::{Trouble, Writer};
use crate::decide::finding::{Finding, Level, of_nodes};
use crate::observe::lint_fleet;

/// Everything that is wrong, the worst first, and what is right.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = group(view);
    let writer = view.state.grant.as_ref().map(|g| &g.node);
    let mut of_servers = of_nodes(view.state, view.seen, writer);
    findings.append(&mut of_servers);
    findings.extend(fleet(view));
    findings.extend(writes(view));
    findings.extend(troubles(view));
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// As `batonctl` gets it.
pub(super) fn to_wire(finding: Finding) -> proto::Finding {
    proto::Finding {
        level: finding.level.as_str().into(),
        node: finding.node.map(|n| n.to_string()).unwrap_or_default(),
        what: finding.what,
        mend: finding.mend,
    }
}

fn group(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let (all, answer) = view.voters();
    if answer * 2 <= all {
        let what = format!("{answer} of {all} voters answer: nothing is promoted until a majority is back");
        found.push(Finding::cluster(Level::Error, what, "systemctl start baton-node, on the others"));
    }
    match all {
        0..=2 => {
            let what = format!("the group has {all} voters: it does not survive the loss of one");
            let mend = "add a witness: batonctl node add NAME --peer HOST:PORT";
            found.push(Finding::cluster(Level::Warning, what, mend));
        }
        _ if all % 2 == 0 => {
            let what = format!("{all} voters survive the loss of no more than {} would", all - 1);
            let mend = "add a witness, or remove one node";
            found.push(Finding::cluster(Level::Warning, what, mend));
        }
        _ => found.push(Finding::cluster(Level::Ok, format!("{all} voters"), "")),
    }
    if view.membership.is_joint() {
        let what = "a change of the membership is half done";
        found.push(Finding::cluster(Level::Warning, what, "give the same batonctl node command again"));
    }
    // A voter that the state does not know cannot be counted on for a diagnosis, nor can the reverse vote.
    let voters = view.membership.voter_names();
    for stranger in voters.iter().filter(|v| !view.state.members.contains_key(*v)) {
        let mend = format!("batonctl node add {stranger} …, or batonctl node remove {stranger}");
        found.push(Finding::of(Level::Warning, stranger, "votes, but the cluster does not list it", mend));
    }
    found
}

fn fleet(view: &View<'_>) -> Vec<Finding> {
    let nodes = view.state.data_nodes().map(|(node, _)| node);
    let servers: Vec<_> = nodes.filter_map(|n| Some((n, view.seen.own(n)?.about.as_ref()?))).collect();
    let level = |error: bool| if error { Level::Error } else { Level::Warning };
    let found = lint_fleet(&servers).into_iter().map(|f| Finding::cluster(level(f.error), f.what, f.mend));
    let found: Vec<_> = found.collect();
    match servers.len() {
        0 | 1 => found,
        _ if found.is_empty() => vec![Finding::cluster(Level::Ok, "the servers fit together", "")],
        _ => found,
    }
}

/// What is wrong just now, by the names of `batonctl status` and `why`. What is found by itself above is not said again.
fn troubles(view: &View<'_>) -> Vec<Finding> {
    let diagnosis = view.diagnosis();
    let told = diagnosis.troubles.iter().filter_map(|trouble| {
        let (level, mend) = of_trouble(trouble)?;
        Some(Finding::cluster(level, named(trouble), mend))
    });
    let lost = match &diagnosis.writer {
        Writer::Lost(lost) | Writer::Suspected(lost, _) => {
            let what = format!("{}: {}", lost.kind, lost.evidence.join("; "));
            Some(Finding::cluster(
                Level::Error,
                what,
                "batonctl why shows what speaks for and against a failover",
            ))
        }
        _ => None,
    };
    told.chain(lost).collect()
}

/// How bad it is and what mends it.
fn of_trouble(trouble: &Trouble) -> Option<(Level, &'static str)> {
    Some(match trouble {
        Trouble::TwoWritersSeen(_) => {
            (Level::Error, "batonctl status shows whose epoch it is; close the other one")
        }
        Trouble::LeftBehindOpen(_) => {
            (Level::Error, "power its host off or close it by hand; then batonctl node add, or node remove")
        }
        Trouble::ReplicaOpen(_) => (Level::Error, "its guard closes it; if not, set it read_only by hand"),
        Trouble::NoWriter => (Level::Error, "batonctl why says what is waited for"),
        Trouble::WriterCannotWrite(..) => (Level::Error, "make room on its disk, or look at its error log"),
        Trouble::SemiSyncBlocked(_) => (Level::Error, "batonctl status shows which replica is missing"),
        Trouble::WriterClosedByHand(_) => (
            Level::Warning,
            "batonctl failover --force --reason … ends it now; [failover] on_closed_by_hand what follows",
        ),
        Trouble::WriterOutOfConnections(_) => (Level::Warning, "end sessions, or raise max_connections"),
        Trouble::WriterUnreachableButReplicating { .. } => {
            (Level::Warning, "look at the network between the nodes and the writer's server")
        }
        Trouble::DiskNearlyFull(..) => {
            (Level::Warning, "make room: binlogs and relay logs grow when a replica is away")
        }
        Trouble::ClockSkew(..) => (Level::Warning, "let a time service run on every host"),
        Trouble::CertificateExpires(..) => (
            Level::Warning,
            "batonctl certs node NODE --force makes a new one; it counts after a restart of the node",
        ),
        Trouble::BackupFailed(..) | Trouble::BackupWaits(..) | Trouble::BackupStale { .. } => {
            (Level::Warning, "batonctl backup list shows what failed; batonctl backup now makes one")
        }
        Trouble::ArchiveStalled(_) => {
            (Level::Warning, "look at the store and at the node's log; it goes on by itself")
        }
        Trouble::ArchiveHole(_) => (
            Level::Warning,
            "batonctl backup now makes a backup that has them: what follows can be restored from there",
        ),
        Trouble::RoutingDiverged(..) => {
            (Level::Warning, "batonctl routing shows what it has and what it should have")
        }
        Trouble::ErrantTransactions(..) => {
            (Level::Warning, "look at them in its binlog, then rebuild it from the writer")
        }
        Trouble::ReplicaStopped(..) | Trouble::ReplicaOfWrongSource(..) => {
            (Level::Warning, "its node mends it; if it stays, look at the node's log")
        }
        Trouble::ReplicaLagging(..) => (Level::Warning, "wait until it has caught up"),
        Trouble::ServerOut(..) => {
            (Level::Warning, "where it is quarantined, `batonctl quarantine list` says what to do")
        }
        // Found with its node, its settings or the group.
        Trouble::QuorumLost { .. }
        | Trouble::NotLossless(_)
        | Trouble::NodeDown(_)
        | Trouble::NodeDownServerUp(_)
        | Trouble::ReplicaDown(_)
        | Trouble::ServerUnusable(..)
        | Trouble::GuardTrouble(..)
        | Trouble::ReplicationUserRejected(..)
        | Trouble::ConfigDiverged(..)
        | Trouble::UnsafeSettings(..) => return None,
    })
}

/// What keeps writes from being safe on two servers.
fn writes(view: &View<'_>) -> Vec<Finding> {
    let (replicas, wait) =
        (view.state.data_nodes().count().saturating_sub(1), view.state.safety.wait_count as usize);
    let mut found = Vec::new();
    if replicas < wait {
        let what = format!("commits shall wait for {wait} ackers, but there are {replicas} replicas");
        let mend = "add a replica: batonctl node add NAME --peer HOST:PORT --server HOST:PORT";
        found.push(Finding::cluster(Level::Error, what, mend));
    }
    if !view.is_managed() {
        return found;
    }
    match why_not_lossless(view.state) {
        None => {
            let what = format!("lossless, acked by {}", list(&view.state.ackers));
            found.push(Finding::cluster(Level::Ok, what, ""));
        }
        Some(why) => {
            let mend =
                "batonctl status shows which replica is missing; it becomes an acker once it has caught up";
            found.push(Finding::cluster(Level::Warning, format!("not lossless: {why}"), mend));
        }
    }
    if !view.state.safety.live.automatic {
        let what = "automatic failover is switched off";
        found.push(Finding::cluster(
            Level::Warning,
            what,
            "automatic = true in [failover] of the configuration",
        ));
    }
    found
}
