//! Why a command changed nothing.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Epoch, NodeName, OperationId, ProofKind};

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant's text says what it is")]
pub enum Refusal {
    #[error("the group has formed already")]
    Formed,
    #[error("epoch is {have}, the command is for epoch {given}")]
    OtherEpoch { have: Epoch, given: Epoch },
    #[error("epoch {0} is being revoked")]
    Revoked(Epoch),
    #[error("epoch {0} has not been revoked")]
    NotRevoked(Epoch),
    #[error("operation {0} is under way; wait for it, see `batonctl status`")]
    UnderWay(OperationId),
    #[error("operation {0} is not the one under way")]
    NotUnderWay(OperationId),
    #[error(
        "a switchover is appointed already; see `batonctl status`, or end it with `batonctl switchover --cancel`"
    )]
    Appointed(OperationId),
    #[error("no switchover is appointed")]
    NotAppointed,
    #[error("{0} is not a member; see `batonctl status`")]
    NoSuchNode(NodeName),
    #[error("{0} is a member already")]
    Member(NodeName),
    #[error("{0} has no server beside it")]
    Witness(NodeName),
    #[error("{0} is out: not fit to be writer, candidate or acker")]
    IsOut(NodeName),
    #[error("{0} is excluded from being the writer")]
    Excluded(NodeName),
    #[error("{0} is an acker and may alone have an acknowledged write; take it off the list first")]
    IsAcker(NodeName),
    #[error("the list has fewer ackers than a commit waits for; commit that the cluster is degraded first")]
    TooFewAckers,
    #[error("the cluster is lossless: say up to which set, read while commits still waited")]
    UptoMissing,
    #[error(
        "epoch {0} was adopted and never had a lease, so no end of one proves anything; another proof is needed"
    )]
    Unleased(Epoch),
    #[error(
        "the group was recovered without a majority, which may have gone on meanwhile: {0} proves nothing; another proof \
         is needed"
    )]
    OtherGeneration(ProofKind),
    #[error("generation {given} is not newer than {have}")]
    OldGeneration { have: u64, given: u64 },
    #[error("{0} holds the grant and is not open under a lease yet; wait for that, see `batonctl status`")]
    NotOpen(NodeName),
    #[error("no operator has forced the end of epoch {0}")]
    NotForced(Epoch),
    #[error("{0} holds the grant; move the writer first")]
    HoldsGrant(NodeName),
    #[error("no notice {0} is kept any more")]
    NoSuchNotice(String),
    #[error("nothing is muted; see `batonctl status`")]
    NotMuted,
    #[error("no cluster is managed here; run `batonctl adopt` first")]
    Observing,
    #[error("the cluster is managed already")]
    Managed,
    #[error("the settings have changed since; look at the difference again")]
    SettingsChanged,
    #[error(
        "wait_count decides what an acknowledged write has survived, so it stays while Baton is in charge: run \
         `batonctl release`, then `batonctl config apply`, then `batonctl adopt`; the writer stays open throughout"
    )]
    WaitCountInUse,
    #[error("durability has changed since")]
    DurabilityChanged,
    #[error("automatic failover is paused; run `batonctl resume` first")]
    Paused,
    #[error("{0} is not in quarantine; see `batonctl quarantine list`")]
    NotQuarantined(NodeName),
    #[error("{0} has other extra transactions by now; look at `batonctl quarantine list` again")]
    OtherExtra(NodeName),
    #[error("the extra transactions of {0} are not archived; `batonctl quarantine list` says why")]
    NotArchived(NodeName),
    #[error("{0} is in maintenance; `batonctl maintenance {0} --end` ends that")]
    InMaintenance(NodeName),
    #[error("{0} is not in maintenance; see `batonctl status`")]
    NotInMaintenance(NodeName),
    #[error("no pause to end")]
    NotPaused,
    #[error("{0} is the writer, and a writer is never rebuilt; move the writer first")]
    IsWriter(NodeName),
    #[error("{0} is being rebuilt; wait for it, or end that with `batonctl rebuild {0} --cancel`")]
    Rebuilding(NodeName),
    #[error("{0} cannot be rebuilt from itself")]
    FromItself(NodeName),
    #[error("the rebuild has moved on")]
    RebuildMoved,
    #[error("{0} is not out, so its data stays")]
    NotOut(NodeName),
    #[error("what {0} has and the writer lacks is not known, so its data stays")]
    ExtraUnknown(NodeName),
    #[error(
        "{0} is at a backup; wait for it, see `batonctl backup list`, or end that with `batonctl backup cancel`"
    )]
    BackupUnderWay(NodeName),
    #[error("{0} is the writer, which is not read for a backup unless that is asked for with --allow-writer")]
    BackupOfWriter(NodeName),
    #[error("there is a backup {0} already")]
    BackupExists(String),
    #[error("there is no backup {0}; see `batonctl backup list`")]
    NoSuchBackup(String),
    #[error("the task was begun before")]
    BackupBegun,
    #[error("the task is over")]
    BackupMoved,
    #[error("backup {0} is pinned; `batonctl backup unpin {0}` ends that")]
    BackupPinned(String),
    #[error("backup {0} stays in store {1}: no newer one that is good is kept there")]
    LastBackup(String, String),
    #[error(
        "backup {0} stays in store {1}: {2} would be worth nothing without it; delete what adds to it first"
    )]
    BackupNeeded(String, String, String),
    #[error(
        "the removal of backup {0} from store {1} has begun, and what is left there may be no backup any more"
    )]
    RemovalBegun(String, String),
    #[error("backup {0} is not to leave store {1}, or not yet")]
    NotLeaving(String, String),
    #[error("there is no schedule {0}; see `batonctl backup list`")]
    NoSuchSchedule(String),
    #[error("that slot of schedule {0} is taken")]
    SlotTaken(String),
}
