//! The voter's side of the lease: what it grants, and when it can say that nothing of it is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::{Boottime, Clock};
use super::ports::{Electorate, LeaseAnswer, LeaseRequest, Notes};
use crate::state::{ClusterState, Epoch, NodeName};

/// Key of the longest length this voter has ever granted, in milliseconds.
const LONGEST: &str = "voter.longest_grant_ms";

/// What a voter judges by.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its applied state.
    pub state: &'a ClusterState,
    /// The newest membership in its log, applied or not.
    pub electorate: &'a Electorate,
    /// When it applied the last membership that it has applied; its start, for one it started with.
    pub membership_since: Boottime,
}

/// The log of this node, as far as a voter needs it.
pub trait Applied: Send + Sync {
    /// Runs `judge` so that nothing is applied meanwhile. `None` while a snapshot is being installed.
    fn with(&self, judge: &mut dyn FnMut(Judged<'_>)) -> Option<()>;
}

/// A voter. It remembers the end of its latest grant of each epoch before it answers.
pub struct Voter {
    clock: Arc<dyn Clock>,
    applied: Arc<dyn Applied>,
    notes: Arc<dyn Notes>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    /// When this process began; before it, grants may have been given that it does not remember.
    started: Boottime,
    /// The longest length on disk, in milliseconds.
    longest_ms: u64,
    /// End of the latest grant of each epoch, already stretched.
    ends: BTreeMap<Epoch, Boottime>,
    /// Whether `longest_ms` was there before this process began.
    granted_before: bool,
}

/// Whether a revoked epoch can still be held by anybody, as far as this voter is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpiryAnswer {
    /// Nothing of it is left.
    Expired,
    /// It has still so long to run.
    Left(Duration),
    /// This voter has not applied the revocation.
    NotRevoked,
}

impl Voter {
    /// A voter whose process has just begun.
    ///
    /// # Errors
    /// When its notes cannot be read.
    pub async fn new(
        clock: Arc<dyn Clock>,
        applied: Arc<dyn Applied>,
        notes: Arc<dyn Notes>,
    ) -> Result<Self, String> {
        let longest = notes.get(LONGEST).await?;
        let longest_ms = match &longest {
            Some(text) => text.parse().map_err(|_| format!("note {LONGEST} is not a number: {text}"))?,
            None => 0,
        };
        let now = clock.now();
        let memory =
            Memory { started: now, longest_ms, ends: BTreeMap::new(), granted_before: longest.is_some() };
        Ok(Self { clock, applied, notes, memory: Mutex::new(memory) })
    }

    /// Answers a guard.
    pub async fn grant(&self, node: &NodeName, request: &LeaseRequest) -> LeaseAnswer {
        let length_ms = u64::try_from(request.length.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = self.note_longest(node, request, length_ms).await {
            return refused(error);
        }
        let mut answer = refused("a snapshot is being installed".to_owned());
        let judged = self.applied.with(&mut |Judged { state, electorate, .. }| {
            answer = judge(state, electorate, node, request);
            let now = self.clock.now();
            let mut memory = self.memory();
            if answer == LeaseAnswer::Granted {
                if length_ms > memory.longest_ms {
                    answer = refused("a longer lease than noted".to_owned());
                    return;
                }
                let end = now + state.safety.stretched(request.length);
                let latest = memory.ends.entry(request.epoch).or_insert(end);
                *latest = (*latest).max(end);
            }
        });
        if judged.is_none() { refused("a snapshot is being installed".to_owned()) } else { answer }
    }

    /// The longest length must be on disk before it is first granted. Asked for only when it would be granted.
    async fn note_longest(&self, node: &NodeName, request: &LeaseRequest, ms: u64) -> Result<(), String> {
        if ms <= self.memory().longest_ms {
            return Ok(());
        }
        let mut would = false;
        self.applied.with(&mut |Judged { state, electorate, .. }| {
            would = judge(state, electorate, node, request) == LeaseAnswer::Granted;
        });
        if would {
            self.notes.put(LONGEST, ms.to_string()).await?;
            let mut memory = self.memory();
            memory.longest_ms = memory.longest_ms.max(ms);
        }
        Ok(())
    }

    /// Whether this voter still grants `epoch`: what an acker's node asks.
    pub fn still_grants(&self, epoch: Epoch) -> bool {
        let mut grants = false;
        self.applied.with(&mut |Judged { state, .. }| {
            grants = state.live_grant().is_some_and(|g| g.epoch == epoch);
        });
        grants
    }

    /// Whether everything this voter ever granted of `epoch` has run out. Only what it says after the time has passed
    /// counts; an earlier answer is not to be extrapolated.
    pub fn expired(&self, epoch: Epoch) -> ExpiryAnswer {
        let mut answer = ExpiryAnswer::NotRevoked;
        self.applied.with(&mut |judged| {
            if judged.state.is_revoked(epoch) {
                answer = self.left(judged, epoch);
            }
        });
        answer
    }

    /// The end of what it remembers; of what it may have granted before it was started; and of what the voters of an
    /// earlier membership may have granted before it applied the present one. Of those it knows nothing: a voter that has
    /// just joined has never granted anything itself, and counts the longest length that they may have granted.
    fn left(&self, judged: Judged<'_>, epoch: Epoch) -> ExpiryAnswer {
        let (now, safety) = (self.clock.now(), &judged.state.safety);
        let memory = self.memory();
        let own = Duration::from_millis(memory.longest_ms);
        let mut end = memory.ends.get(&epoch).copied().unwrap_or(Boottime::BOOT);
        if memory.granted_before {
            end = end.max(memory.started + safety.stretched(own));
        }
        end = end.max(judged.membership_since + safety.stretched(own.max(judged.state.longest_lease())));
        let left = end.saturating_since(now);
        if left.is_zero() { ExpiryAnswer::Expired } else { ExpiryAnswer::Left(left) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: String) -> LeaseAnswer {
    LeaseAnswer::Refused { reason, membership: None }
}

/// The rules of granting. Pure.
fn judge(
    state: &ClusterState,
    electorate: &Electorate,
    node: &NodeName,
    request: &LeaseRequest,
) -> LeaseAnswer {
    if request.membership < electorate.index {
        let reason = "your membership is an older one".to_owned();
        return LeaseAnswer::Refused { reason, membership: Some(electorate.clone()) };
    }
    let Some(grant) = &state.grant else { return refused("no epoch is granted".to_owned()) };
    if state.is_revoked(request.epoch) {
        return refused(format!("epoch {} is revoked", request.epoch));
    }
    if grant.epoch != request.epoch || grant.node != *node {
        return refused(format!("epoch {} is {}'s", grant.epoch, grant.node));
    }
    if !request.keeper_armed {
        return refused("the keeper is not armed".to_owned());
    }
    let longest = state.safety.longest_grant(request.hand_over);
    if request.length > longest {
        return refused(format!("at most {} ms are granted", longest.as_millis()));
    }
    LeaseAnswer::Granted
}
