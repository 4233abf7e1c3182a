//! Extra transactions: what is in quarantine, what is archived, and an operator's word that they may be discarded.

use baton_proto::control::{
    ArchivedFile, Done, QuarantineEntry, QuarantineListReply, QuarantineReleaseRequest, QuarantineShowReply,
    QuarantineShowRequest,
};
use tonic::{Response, Status};

use super::Control;
use super::forward::Caller;
use super::orders::word;
use super::refusal::{by_state, refused};
use crate::quarantine::Shown;
use crate::state::{Archive, Change, ClusterState, Forced, NodeName, Out, OutReason, Quarantine, Refusal};

/// The most SQL in one answer; the rest is in the file.
const SQL_MAX: u64 = 1 << 20;

impl Control {
    /// Answered from the archive's folder: by this node, or by the one that has it.
    pub(super) async fn show_quarantine(
        &self,
        request: QuarantineShowRequest,
        caller: &Caller,
    ) -> Result<Response<QuarantineShowReply>, Status> {
        let state = self.state();
        let entry = find(&state, &request.id).ok_or_else(|| unknown(&request.id))?;
        if entry.id.is_empty() {
            return Ok(Response::new(QuarantineShowReply { entry: Some(entry), ..Default::default() }));
        }
        let node = NodeName::from(entry.node.as_str());
        if node != self.me {
            let there = self.node(&node).filter(|_| !caller.forwarded);
            let gone = || {
                Status::unavailable(format!(
                    "{node} has this archive, in {}, and is no member now",
                    entry.path
                ))
            };
            let there = there.ok_or_else(gone)?;
            return self.ask(&there, request, async |mut c, q| c.quarantine_show(q).await).await;
        }
        let archiver = self.archiver.as_ref().ok_or_else(|| unknown(&request.id))?;
        let max = request.sql_max.min(SQL_MAX);
        let shown = archiver.show(&entry.id, max).await.map_err(refused)?;
        let moved = || Status::not_found(format!("{} is not in {} any more", entry.id, entry.path));
        let shown = shown.ok_or_else(moved)?;
        Ok(Response::new(reply(entry, shown)))
    }

    pub(super) async fn release_quarantine(&self, request: QuarantineReleaseRequest) -> Result<Done, Status> {
        if request.reason.trim().is_empty() {
            return Err(Status::invalid_argument(
                "say why these transactions may be discarded: --reason TEXT",
            ));
        }
        let (state, node) = (self.state(), NodeName::from(request.node.as_str()));
        let known = state.members.contains_key(&node);
        let quarantine = state.quarantine(&node).ok_or_else(|| {
            by_state(if known {
                Refusal::NotQuarantined(node.clone())
            } else {
                Refusal::NoSuchNode(node.clone())
            })
        })?;
        let (extra, archived) = (quarantine.extra.clone(), quarantine.archive.clone());
        let change = Change::GiveUp {
            node: node.clone(),
            extra: extra.clone(),
            without_archive: request.without_archive,
            word: word(request.by, request.reason),
        };
        self.commit(change).await?;
        let kept = match archived {
            Some(id) => format!("they stay in the archive {id}"),
            None => "they are NOT archived: once the server is rebuilt nobody has them".to_owned(),
        };
        Ok(Done {
            message: format!("the {} that {node} alone has may be discarded", extra.amount()),
            details: vec![kept, format!("{node} stays out until it is rebuilt")],
        })
    }
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!(
        "{id} is neither an archive nor a node in quarantine; see `batonctl quarantine list`"
    ))
}

/// Quarantines first, in the order of their nodes; then archives that no quarantine refers to, the newest first.
pub(super) fn list(state: &ClusterState) -> QuarantineListReply {
    let now = state.out.iter().filter_map(|(node, out)| in_quarantine(state, node, out));
    let mut entries: Vec<QuarantineEntry> = now.collect();
    let past = state.archives.iter().rev().filter(|a| !entries.iter().any(|e| e.id == a.id));
    let past: Vec<QuarantineEntry> = past.map(archived).collect();
    entries.extend(past);
    QuarantineListReply { entries }
}

/// By the archive's name, or by the node's that is in quarantine.
fn find(state: &ClusterState, id: &str) -> Option<QuarantineEntry> {
    list(state).entries.into_iter().find(|e| e.id == id || (e.quarantined && e.node == id))
}

fn in_quarantine(state: &ClusterState, node: &NodeName, out: &Out) -> Option<QuarantineEntry> {
    let OutReason::Quarantine(quarantine) = &out.reason else { return None };
    let archive = quarantine.archive.as_ref();
    let archive = archive.and_then(|id| state.archives.iter().find(|a| a.id == *id));
    let entry = archive.map(archived).unwrap_or_default();
    Some(QuarantineEntry {
        id: quarantine.archive.clone().unwrap_or_default(),
        node: node.to_string(),
        epoch: quarantine.epoch.0,
        gtids: quarantine.extra.to_string(),
        transactions: quarantine.extra.count(),
        state: progress(quarantine).into(),
        quarantined: true,
        since_ms: out.since_ms,
        note: quarantine.trouble.clone().unwrap_or_default(),
        released: quarantine.released.as_ref().map(said).unwrap_or_default(),
        ..entry
    })
}

fn progress(quarantine: &Quarantine) -> &'static str {
    match quarantine {
        Quarantine { archive: Some(_), .. } => "archived",
        Quarantine { trouble: Some(_), .. } => "failed",
        _ => "waiting",
    }
}

fn said(word: &Forced) -> String {
    format!("{}: {}", word.by, word.reason)
}

fn archived(archive: &Archive) -> QuarantineEntry {
    QuarantineEntry {
        id: archive.id.clone(),
        node: archive.node.to_string(),
        epoch: archive.epoch.0,
        gtids: archive.gtids.to_string(),
        transactions: archive.gtids.count(),
        state: "archived".into(),
        archived_ms: archive.at_ms,
        bytes: archive.bytes,
        path: archive.path.clone(),
        ..QuarantineEntry::default()
    }
}

fn reply(entry: QuarantineEntry, shown: Shown) -> QuarantineShowReply {
    let Shown { manifest, sql, sql_left, .. } = shown;
    let file = |file: crate::quarantine::Kept| ArchivedFile {
        name: file.name,
        bytes: file.bytes,
        sha256: file.sha256,
        from: file.from.unwrap_or_default(),
    };
    QuarantineShowReply {
        entry: Some(entry),
        why: manifest.why,
        transactions: manifest.transactions,
        server_version: manifest.server_version,
        files: manifest.files.into_iter().map(file).collect(),
        sql,
        sql_left,
    }
}
