//! The voter's side of the lease: what it grants, and when it can say that nothing of it is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::{Boottime, Clock};
use super::ports::{Electorate, LeaseAnswer, LeaseRequest, Notes};
use crate::mutation::mutate;
use crate::state::{ClusterState, Epoch, NodeName, OPEN_ENDED};

/// Key of the longest length that a grant of this voter may still run for, in milliseconds.
const LONGEST: &str = "voter.longest_grant_ms";
/// Key of the epoch that this voter has granted an open-ended lease of, for a pause.
const OPEN_ENDED_EPOCH: &str = "voter.open_ended_epoch";

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
    /// Held while a note is changed.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Memory {
    /// When this process began; before it, grants may have been given that it does not remember.
    started: Boottime,
    /// The longest length on disk when this process began, in milliseconds; `None` when none was.
    before_ms: Option<u64>,
    /// The longest length on disk, in milliseconds.
    longest_ms: u64,
    /// The epoch on disk that an open-ended lease was granted of.
    open_ended: Option<Epoch>,
    /// The latest grant of each epoch.
    latest: BTreeMap<Epoch, Latest>,
    /// The guard of this epoch has said that it holds an ordinary lease alone, under the membership of this index.
    settled: Option<(Epoch, u64)>,
}

/// What is remembered of the grants of one epoch.
#[derive(Clone, Copy, Debug)]
struct Latest {
    /// When the last of them ends, already stretched.
    end: Boottime,
    /// The round of the latest that was longer than an ordinary one.
    long: Option<Boottime>,
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
        let before_ms: Option<u64> = number(&*notes, LONGEST).await?;
        let open_ended = number(&*notes, OPEN_ENDED_EPOCH).await?.filter(|epoch| *epoch > 0).map(Epoch);
        let longest_ms = before_ms.unwrap_or(0);
        let mut latest = BTreeMap::new();
        if let Some(epoch) = open_ended {
            latest.insert(epoch, Latest { end: Boottime::NEVER, long: Some(Boottime::BOOT) });
        }
        let started = clock.now();
        let memory = Memory { started, before_ms, longest_ms, open_ended, latest, settled: None };
        Ok(Self { clock, applied, notes, memory: Mutex::new(memory), writing: tokio::sync::Mutex::default() })
    }

    /// Answers a guard.
    pub async fn grant(&self, node: &NodeName, request: &LeaseRequest) -> LeaseAnswer {
        if let Err(error) = self.note_what_is_longer(node, request).await {
            return refused(error);
        }
        let mut answer = refused("a snapshot is being installed".to_owned());
        let judged = self.applied.with(&mut |Judged { state, electorate, .. }| {
            answer = judge(state, electorate, node, request);
            if answer == LeaseAnswer::Granted {
                answer = self.memory().remember(self.clock.now(), state, electorate, request);
            }
        });
        let answer =
            if judged.is_none() { refused("a snapshot is being installed".to_owned()) } else { answer };
        if answer == LeaseAnswer::Granted && request.settled {
            // One that stays longer than needed on the disk makes nothing unsafe, and the next request tries again.
            let _stays = self.forget_what_was_longer(request).await;
        }
        answer
    }

    /// A longer length, or an open end, must be on disk before it is first granted. Asked for only when it would be
    /// granted.
    async fn note_what_is_longer(&self, node: &NodeName, request: &LeaseRequest) -> Result<(), String> {
        let noted = |memory: &Memory| {
            if request.length == OPEN_ENDED {
                memory.open_ended == Some(request.epoch)
            } else {
                millis(request.length) <= memory.longest_ms
            }
        };
        if noted(&self.memory()) {
            return Ok(());
        }
        let mut would = false;
        self.applied.with(&mut |Judged { state, electorate, .. }| {
            would = judge(state, electorate, node, request) == LeaseAnswer::Granted;
        });
        if !would {
            return Ok(());
        }
        let _alone = self.writing.lock().await;
        if noted(&self.memory()) {
            return Ok(());
        }
        if request.length == OPEN_ENDED {
            self.notes.put(OPEN_ENDED_EPOCH, request.epoch.0.to_string()).await?;
            self.memory().open_ended = Some(request.epoch);
        } else {
            let ms = millis(request.length);
            self.notes.put(LONGEST, ms.to_string()).await?;
            self.memory().longest_ms = ms;
        }
        Ok(())
    }

    /// Takes off the disk what no grant needs any more: the memory goes first, so that a longer one granted meanwhile is
    /// noted again.
    async fn forget_what_was_longer(&self, request: &LeaseRequest) -> Result<(), String> {
        let longer = |memory: &Memory| {
            let any_long = memory.latest.values().any(|latest| latest.long.is_some());
            !any_long && (memory.open_ended.is_some() || memory.longest_ms > millis(request.length))
        };
        if !longer(&self.memory()) {
            return Ok(());
        }
        let _alone = self.writing.lock().await;
        let (ms, open_ended) = {
            let mut memory = self.memory();
            if !longer(&memory) {
                return Ok(());
            }
            memory.longest_ms = memory.longest_ms.min(millis(request.length));
            (memory.longest_ms, memory.open_ended.take())
        };
        self.notes.put(LONGEST, ms.to_string()).await?;
        if open_ended.is_some() {
            self.notes.put(OPEN_ENDED_EPOCH, "0".to_owned()).await?;
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
                let left = self.left(judged, epoch);
                answer = if left.is_zero() { ExpiryAnswer::Expired } else { ExpiryAnswer::Left(left) };
            }
        });
        answer
    }

    /// The end of what it remembers; of what it may have granted before it was started; and of what the voters of an
    /// earlier membership may have granted before it applied the present one. Of those it knows nothing: a voter that has
    /// just joined has never granted anything itself, and counts the length that they may grant. What the guard itself
    /// has said since, that its lease is an ordinary one, is better than either.
    fn left(&self, judged: Judged<'_>, epoch: Epoch) -> Duration {
        let (now, safety) = (self.clock.now(), &judged.state.safety);
        let memory = self.memory();
        let mut end = memory.latest.get(&epoch).map_or(Boottime::BOOT, |latest| latest.end);
        if mutate!(ForgetGrants) {
            return end.saturating_since(now);
        }
        let settled = memory.settled.filter(|(of, _)| *of == epoch).map(|(_, membership)| membership);
        if let (Some(ms), None) = (memory.before_ms, settled) {
            end = end.max(memory.started + safety.stretched(Duration::from_millis(ms)));
        }
        let newest = judged.electorate.index;
        if settled.is_some_and(|membership| membership >= newest) {
            end = end.max(judged.membership_since + safety.stretched(safety.lease_ttl()));
        } else {
            let longest = safety.longest_grant(true).max(judged.state.longest_lease());
            end = end.max(judged.membership_since + safety.stretched(longest));
            let paused = judged.state.grant.as_ref().filter(|g| g.epoch == epoch).and_then(|g| g.paused_at);
            if paused.is_some_and(|index| index < newest) {
                // Voters that have left may have granted it an open end.
                end = Boottime::NEVER;
            }
        }
        if mutate!(ExpiredTooEarly) { Duration::ZERO } else { end.saturating_since(now) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Remembers the end of a grant before it is given. A request that says so takes back what was longer, unless it was
    /// sent before that, or a pause still wants it.
    fn remember(
        &mut self,
        now: Boottime,
        state: &ClusterState,
        electorate: &Electorate,
        request: &LeaseRequest,
    ) -> LeaseAnswer {
        let open_ended = request.length == OPEN_ENDED;
        let noted = if open_ended {
            self.open_ended == Some(request.epoch)
        } else {
            millis(request.length) <= self.longest_ms
        };
        if !noted {
            return refused("a longer lease than noted".to_owned());
        }
        let end = if open_ended { Boottime::NEVER } else { now + state.safety.stretched(request.length) };
        let latest = self.latest.entry(request.epoch).or_insert(Latest { end, long: None });
        let over = state.pause.is_none() || latest.end != Boottime::NEVER;
        if open_ended || request.length > state.safety.lease_ttl() {
            latest.end = latest.end.max(end);
            latest.long = latest.long.max(Some(request.round));
        } else if request.settled && over && latest.long.is_none_or(|long| long < request.round) {
            // An ordinary grant before this one may have been longer, when the length has just been changed.
            latest.end = if latest.long.take().is_some() { end } else { latest.end.max(end) };
            self.settled = Some((request.epoch, electorate.index));
        } else {
            latest.end = latest.end.max(end);
        }
        LeaseAnswer::Granted
    }
}

async fn number(notes: &dyn Notes, key: &'static str) -> Result<Option<u64>, String> {
    let text = notes.get(key).await?;
    text.map(|text| text.parse().map_err(|_| format!("note {key} is not a number: {text}"))).transpose()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
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
    let accepts_old = mutate!(AcceptOldEpoch) && request.epoch <= grant.epoch;
    if state.is_revoked(request.epoch) && !accepts_old && !mutate!(GrantAfterRevocation) {
        return refused(format!("epoch {} is revoked", request.epoch));
    }
    if (grant.epoch != request.epoch || grant.node != *node) && !accepts_old {
        return refused(format!("epoch {} is {}'s", grant.epoch, grant.node));
    }
    if request.length == OPEN_ENDED {
        // It has no end that a keeper could wait for.
        return match state.pause {
            Some(_) => LeaseAnswer::Granted,
            None => refused("an open end is granted in a pause alone".to_owned()),
        };
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
