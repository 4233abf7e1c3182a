//! Servers with transactions that the writer lacks: what they are, where they are kept, and what may become of them.

use serde::{Deserialize, Serialize};

use super::{ClusterState, Epoch, Forced, NodeName, OutReason, Refusal, UnixMillis};
use crate::gtid::GtidSet;

/// How many archives the group remembers; the folders of older ones stay on their node.
pub(super) const ARCHIVES_KEPT: usize = 100;
/// Bytes of a node's word on why it could not archive.
const WHY_MAX: usize = 500;

/// A server is out because it has transactions that the writer lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Which.
    pub extra: GtidSet,
    /// The epoch whose writer lacks them.
    #[serde(default)]
    pub epoch: Epoch,
    /// Id of the archive that has all of [`Self::extra`].
    #[serde(default)]
    pub archive: Option<String>,
    /// Why they are not archived yet, as the node said last.
    #[serde(default)]
    pub trouble: Option<String>,
    /// An operator has said that they may be discarded.
    #[serde(default)]
    pub released: Option<Forced>,
}

/// The folder on one node that holds extra transactions as a binlog file and as SQL. Its manifest says more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Name of the folder, unique in the cluster.
    pub id: String,
    /// Whose transactions, and on whose disk.
    pub node: NodeName,
    /// The epoch whose writer lacked them.
    pub epoch: Epoch,
    /// Which.
    pub gtids: GtidSet,
    /// Bytes of all its files.
    pub bytes: u64,
    /// The folder's path on that node.
    pub path: String,
    /// When it was written, by its manifest.
    pub at_ms: UnixMillis,
}

impl Quarantine {
    /// Of `extra`, not archived yet.
    pub fn of(extra: GtidSet, epoch: Epoch) -> Self {
        Self { extra, epoch, archive: None, trouble: None, released: None }
    }
}

impl ClusterState {
    /// Why `node` is quarantined, if it is.
    pub fn quarantine(&self, node: &NodeName) -> Option<&Quarantine> {
        match &self.out.get(node)?.reason {
            OutReason::Quarantine(quarantine) => Some(quarantine),
            _ => None,
        }
    }

    /// Whether what `node` has and the writer lacks may be thrown away, as far as keeping it goes. `extra` is that set,
    /// read immediately before.
    ///
    /// # Errors
    /// [`Refusal::NotArchived`] when some of it is not in the quarantine of this node, or that is neither archived nor
    /// given up by an operator.
    pub fn may_discard(&self, node: &NodeName, extra: &GtidSet) -> Result<(), Refusal> {
        // An older archive of the same name proves nothing: MariaDB numbers the transactions of a server that lost its
        // tail again from where the tail began.
        let settled = |q: &Quarantine| {
            (q.archive.is_some() || q.released.is_some()) && q.extra.contains(extra).unwrap_or(false)
        };
        if extra.is_empty() || self.quarantine(node).is_some_and(settled) {
            return Ok(());
        }
        Err(Refusal::NotArchived(node.clone()))
    }

    fn quarantined(&mut self, node: &NodeName) -> Result<&mut Quarantine, Refusal> {
        match self.out.get_mut(node).map(|out| &mut out.reason) {
            Some(OutReason::Quarantine(quarantine)) => Ok(quarantine),
            _ => Err(Refusal::NotQuarantined(node.clone())),
        }
    }
}

/// The node has written an archive. One of a smaller set than is now in quarantine is kept in the list and settles nothing.
pub(super) fn archived(state: &mut ClusterState, archive: &Archive) -> Result<(), Refusal> {
    let quarantine = state.quarantined(&archive.node)?;
    if archive.gtids.contains(&quarantine.extra).unwrap_or(false) {
        quarantine.archive = Some(archive.id.clone());
        quarantine.trouble = None;
    }
    let what = format!("the extra transactions of {} are archived", archive.node);
    state.note(archive.at_ms, &what, format!("{}, in {}", archive.gtids.amount(), archive.path));
    state.archives.retain(|a| a.id != archive.id);
    state.archives.push_back(archive.clone());
    super::trim(&mut state.archives, ARCHIVES_KEPT);
    Ok(())
}

/// The node could not archive.
pub(super) fn not_archived(state: &mut ClusterState, node: &NodeName, why: &str) -> Result<(), Refusal> {
    let quarantine = state.quarantined(node)?;
    if quarantine.archive.is_none() {
        let end =
            why.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= WHY_MAX).last();
        quarantine.trouble = Some(why[..end.unwrap_or(0)].to_owned());
    }
    Ok(())
}

/// An operator gives the extra transactions up.
pub(super) fn give_up(
    state: &mut ClusterState,
    at: UnixMillis,
    node: &NodeName,
    seen: &GtidSet,
    without_archive: bool,
    word: &Forced,
) -> Result<(), Refusal> {
    super::apply::member(state, node)?;
    let quarantine = state.quarantined(node)?;
    if quarantine.extra != *seen {
        return Err(Refusal::OtherExtra(node.clone()));
    }
    if quarantine.archive.is_none() && !without_archive {
        return Err(Refusal::NotArchived(node.clone()));
    }
    quarantine.released = Some(word.clone());
    let archived = if quarantine.archive.is_some() { "archived" } else { "not archived" };
    let why = format!("{}: {} ({}, {archived})", word.by, word.reason, quarantine.extra.amount());
    state.note(at, &format!("the extra transactions of {node} may be discarded"), why);
    Ok(())
}
