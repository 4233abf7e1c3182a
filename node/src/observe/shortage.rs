//! For how long the open writer has lacked ackers.

use std::time::Duration;

use tokio::time::Instant;

use super::table::FRESH;
use crate::decide::seen::{Observations, Pulse};
use crate::gtid::GtidSet;
use crate::state::{ClusterState, Epoch};

/// Counts from the pulse that first showed it.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    epoch: Epoch,
    /// What the group promised when it was last looked at.
    lossless: bool,
    /// Fewer ackers are connected than a commit waits for.
    few_since: Option<Instant>,
    /// Commits wait, and this is all the writer has had since. A server counts an acker whose host was cut off as
    /// connected until TCP gives up, which takes minutes.
    stuck_since: Option<(Instant, GtidSet)>,
}

impl Shortage {
    /// Looks at the writer's latest pulse; returns how long the shortage has lasted. A writer that is not heard or not
    /// open ends the count: what its ackers do meanwhile nobody knows.
    pub(super) fn observe_writer(
        &mut self,
        state: &ClusterState,
        seen: &Observations,
        now: Instant,
    ) -> Option<Duration> {
        let grant = state.live_grant();
        let heard = grant.and_then(|grant| seen.pulse(&grant.node));
        let (Some(grant), Some((pulse, age))) = (grant, heard.filter(|(p, age)| *age <= FRESH && p.open))
        else {
            *self = Self::default();
            return None;
        };
        // A promise made anew has just seen a commit acknowledged. The writer's latest pulse may be older than that, and
        // what it goes on showing for a moment would end the promise at once.
        let lossless = state.durability.is_lossless();
        if self.epoch != grant.epoch || (lossless && !self.lossless) {
            *self = Self { epoch: grant.epoch, ..Self::default() };
        }
        self.lossless = lossless;
        self.take(pulse, now.checked_sub(age).unwrap_or(now), state.safety.wait_count);
        let since = [self.few_since, self.stuck_since.as_ref().map(|(since, _)| *since)];
        since.into_iter().flatten().min().map(|since| now.saturating_duration_since(since))
    }

    fn take(&mut self, pulse: &Pulse, at: Instant, wait_count: u32) {
        let few = pulse.ackers < wait_count;
        self.few_since = self.few_since.or(Some(at)).filter(|_| few);
        let stuck = self.stuck_since.take().filter(|(_, executed)| *executed == pulse.executed);
        self.stuck_since = stuck.or_else(|| Some((at, pulse.executed.clone()))).filter(|_| pulse.waiting > 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::time::advance;

    use super::super::fake;
    use super::super::pulse::{Receiving, convert};
    use super::*;
    use crate::decide::seen::{GuardSeen, OwnServer, Process, Report};
    use crate::state::{DegradeReason, Durability, Grant, NodeName};

    const STEP: Duration = Duration::from_millis(200);
    const AGE: Duration = Duration::from_millis(100);

    struct Case {
        shortage: Shortage,
        state: ClusterState,
        pulse: Pulse,
        age: Duration,
    }

    fn case() -> Case {
        let mut state = ClusterState::default();
        let node = NodeName::from("db1");
        state.grant = Some(Grant {
            epoch: Epoch(1),
            node,
            since_ms: 0,
            unleased: false,
            opened_ms: Some(0),
            paused_at: None,
        });
        let mut pulse = convert(&fake::writer(), &mut Receiving::default(), Instant::now());
        (pulse.ackers, pulse.waits) = (1, true);
        Case { shortage: Shortage::default(), state, pulse, age: AGE }
    }

    impl Case {
        /// After a step: the shortage, in milliseconds.
        async fn look(&mut self) -> Option<u128> {
            advance(STEP).await;
            let own = OwnServer {
                process: Process::Running { pid: 7 },
                pulse: Some(self.pulse.clone()),
                pulse_age: self.age,
                error: None,
                guard: GuardSeen::default(),
                about: None,
            };
            let mut seen = Observations::default();
            let report = Report { own: Some(own), ..Report::default() };
            seen.insert(NodeName::from("db1"), report, Duration::ZERO);
            self.shortage.observe_writer(&self.state, &seen, Instant::now()).map(|d| d.as_millis())
        }

        fn commits(&mut self, upto: u32) {
            let set = format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{upto}");
            self.pulse.executed = GtidSet::parse_mysql(&set).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_ackers_are_counted_from_the_first_pulse_that_showed_it() {
        let mut case = case();
        assert_eq!(case.look().await, None);
        case.pulse.ackers = 0;
        assert_eq!(case.look().await, Some(100));
        assert_eq!(case.look().await, Some(300));
        case.pulse.ackers = 1;
        assert_eq!(case.look().await, None);
        case.state.safety.wait_count = 2;
        assert_eq!(case.look().await, Some(100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_acker_that_is_connected_and_acknowledges_nothing_counts_as_missing() {
        let mut case = case();
        case.commits(5);
        case.pulse.waiting = 3;
        assert_eq!(case.look().await, Some(100));
        assert_eq!(case.look().await, Some(300));
        case.commits(6);
        assert_eq!(case.look().await, Some(100), "one was acknowledged");
        assert_eq!(case.look().await, Some(300));
        case.pulse.ackers = 0;
        assert_eq!(case.look().await, Some(500), "the longer one counts");
        (case.pulse.ackers, case.pulse.waiting) = (1, 0);
        assert_eq!(case.look().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_promise_made_anew_is_not_ended_by_what_was_before_it() {
        let mut case = case();
        case.commits(5);
        case.pulse.waiting = 3;
        assert_eq!(case.look().await, Some(100));
        let reason = DegradeReason::AckersUnreachable;
        let since_ms = 0;
        case.state.durability =
            Durability::Degraded { since_ms, reason, upto: None, may_let_go: true, index: 7 };
        assert_eq!(case.look().await, Some(300), "degraded, it goes on counting");
        case.state.durability = Durability::Lossless { since_ms };
        assert_eq!(case.look().await, Some(100), "counted from the pulse in hand");
        assert_eq!(case.look().await, Some(300));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_the_count() {
        type End = (fn(&mut Case), Option<u128>);
        let ends: [End; 5] = [
            (|_| (), Some(300)),
            (|case| case.pulse.open = false, None),
            (|case| case.age = FRESH + AGE, None),
            (|case| case.state.revoked_through = Epoch(1), None),
            (|case| case.state.grant.as_mut().unwrap().epoch = Epoch(2), Some(100)),
        ];
        for (n, (end, lasts)) in ends.into_iter().enumerate() {
            let mut case = case();
            (case.pulse.ackers, case.pulse.waiting) = (0, 1);
            assert_eq!(case.look().await, Some(100));
            end(&mut case);
            assert_eq!(case.look().await, lasts, "end {n}");
        }
    }
}
