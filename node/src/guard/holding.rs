//! The keeper, and that it holds nothing, remembered for a moment: a server that stays closed is settled several times a
//! second, and each time its keeper would be asked for a hold to let go.
//!
//! A hold comes about by [`Holding::arm`] alone, which forgets first. One that an earlier daemon armed is found by the first
//! question, which is always put. What is remembered can only let a hold stand for longer, never end one: at worst the
//! keeper kills a closed server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock::{Boottime, Clock};
use super::ports::{KeeperHolds, KeeperPort};
use crate::state::Epoch;

/// How long "nothing" is remembered. Less than any lease: a hold that came about in a way that nobody thought of is found,
/// and let go for a closed server, before its deadline.
const REMEMBERED: Duration = Duration::from_secs(1);

/// All that the guard says to its keeper.
pub(super) struct Holding {
    keeper: Arc<dyn KeeperPort>,
    clock: Arc<dyn Clock>,
    /// When it was asked, if it held nothing then and was not told anything since.
    nothing: Mutex<Option<Boottime>>,
}

impl Holding {
    /// Remembers nothing yet.
    pub(super) fn new(keeper: Arc<dyn KeeperPort>, clock: Arc<dyn Clock>) -> Self {
        Self { keeper, clock, nothing: Mutex::default() }
    }

    /// As [`KeeperPort::arm`].
    pub(super) async fn arm(
        &self,
        epoch: Epoch,
        process: (i32, u64),
        deadline: Option<Boottime>,
    ) -> Result<(), String> {
        // Before the call: one that fails, or is given up, may have armed all the same.
        self.remember(None);
        self.keeper.arm(epoch, process, deadline).await
    }

    /// As [`KeeperPort::extend`].
    pub(super) async fn extend(&self, epoch: Epoch, pid: i32, deadline: Boottime) -> Result<(), String> {
        self.remember(None);
        self.keeper.extend(epoch, pid, deadline).await
    }

    /// As [`KeeperPort::disarm`].
    pub(super) async fn disarm(&self, epoch: Epoch, pid: i32) -> Result<(), String> {
        self.remember(None);
        self.keeper.disarm(epoch, pid).await
    }

    /// As [`KeeperPort::closed`].
    pub(super) async fn closed(&self, epoch: Epoch, pid: i32) -> Result<(), String> {
        self.remember(None);
        self.keeper.closed(epoch, pid).await
    }

    /// As [`KeeperPort::holding`]: asks, whatever is remembered.
    pub(super) async fn holding(&self) -> Result<Option<KeeperHolds>, String> {
        self.remember(None);
        let asked = self.clock.now();
        let holds = self.keeper.holding().await?;
        if holds.is_none() {
            self.remember(Some(asked));
        }
        Ok(holds)
    }

    /// Whether it was asked within the last second, held nothing, and has been told nothing since.
    pub(super) fn held_nothing_lately(&self) -> bool {
        let nothing = *self.nothing.lock().unwrap_or_else(PoisonError::into_inner);
        nothing.is_some_and(|asked| self.clock.now().saturating_since(asked) < REMEMBERED)
    }

    fn remember(&self, nothing: Option<Boottime>) {
        *self.nothing.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;
    use futures::future::{BoxFuture, pending};

    use super::super::clock::ManualClock;
    use super::*;

    /// Counts the questions, and fails each call where it is told to.
    #[derive(Default)]
    struct Keeper {
        held: Mutex<Option<KeeperHolds>>,
        asked: Mutex<u32>,
        fails: Mutex<bool>,
        hangs: Mutex<bool>,
    }

    impl Keeper {
        fn answer<T>(&self, answer: T) -> BoxFuture<'static, Result<T, String>>
        where
            T: Send + 'static,
        {
            if *self.hangs.lock().unwrap() {
                return pending().boxed();
            }
            let fails = *self.fails.lock().unwrap();
            async move { if fails { Err("no answer".to_owned()) } else { Ok(answer) } }.boxed()
        }
    }

    impl KeeperPort for Keeper {
        fn arm(
            &self,
            epoch: Epoch,
            process: (i32, u64),
            deadline: Option<Boottime>,
        ) -> BoxFuture<'_, Result<(), String>> {
            *self.held.lock().unwrap() = Some(KeeperHolds { epoch, process, deadline });
            self.answer(())
        }
        fn extend(&self, _: Epoch, _: i32, _: Boottime) -> BoxFuture<'_, Result<(), String>> {
            self.answer(())
        }
        fn disarm(&self, _: Epoch, _: i32) -> BoxFuture<'_, Result<(), String>> {
            self.answer(())
        }
        fn closed(&self, _: Epoch, _: i32) -> BoxFuture<'_, Result<(), String>> {
            *self.held.lock().unwrap() = None;
            self.answer(())
        }
        fn holding(&self) -> BoxFuture<'_, Result<Option<KeeperHolds>, String>> {
            *self.asked.lock().unwrap() += 1;
            self.answer(*self.held.lock().unwrap())
        }
        fn died(&self) -> BoxFuture<'_, ()> {
            pending().boxed()
        }
    }

    fn bench() -> (Arc<Keeper>, Arc<ManualClock>, Holding) {
        let (keeper, clock) = (Arc::<Keeper>::default(), Arc::new(ManualClock::at(Boottime::from_nanos(7))));
        let holding = Holding::new(Arc::<Keeper>::clone(&keeper), Arc::<ManualClock>::clone(&clock));
        (keeper, clock, holding)
    }

    #[tokio::test]
    async fn nothing_is_remembered_for_a_second_and_only_after_a_question() {
        let (_keeper, clock, holding) = bench();
        assert!(!holding.held_nothing_lately(), "an earlier daemon may have armed it");
        assert_eq!(holding.holding().await, Ok(None));
        assert!(holding.held_nothing_lately());
        clock.advance(REMEMBERED - Duration::from_nanos(1));
        assert!(holding.held_nothing_lately());
        clock.advance(Duration::from_nanos(1));
        assert!(!holding.held_nothing_lately());
    }

    #[tokio::test]
    async fn what_is_held_is_never_taken_for_nothing() {
        let (keeper, _clock, holding) = bench();
        let held = KeeperHolds { epoch: Epoch(3), process: (7, 70), deadline: None };
        *keeper.held.lock().unwrap() = Some(held);
        assert_eq!(holding.holding().await, Ok(Some(held)));
        assert!(!holding.held_nothing_lately());
    }

    #[tokio::test]
    async fn every_call_forgets_also_one_that_fails() {
        for fails in [false, true] {
            for call in 0..5 {
                let (keeper, _clock, holding) = bench();
                holding.holding().await.unwrap();
                assert!(holding.held_nothing_lately());
                *keeper.fails.lock().unwrap() = fails;
                let (epoch, end) = (Epoch(3), Boottime::from_nanos(9));
                let failed = match call {
                    0 => holding.arm(epoch, (7, 70), None).await.is_err(),
                    1 => holding.extend(epoch, 7, end).await.is_err(),
                    2 => holding.disarm(epoch, 7).await.is_err(),
                    3 => holding.closed(epoch, 7).await.is_err(),
                    _ if !fails => continue,
                    _ => holding.holding().await.is_err(),
                };
                assert_eq!(failed, fails, "call {call}");
                assert!(!holding.held_nothing_lately(), "call {call}, fails: {fails}");
            }
        }
    }

    #[tokio::test]
    async fn a_question_is_put_whatever_is_remembered() {
        let (keeper, _clock, holding) = bench();
        for asked in 1..=3 {
            assert_eq!(holding.holding().await, Ok(None));
            assert_eq!(*keeper.asked.lock().unwrap(), asked);
        }
    }

    #[tokio::test]
    async fn an_arming_that_is_given_up_counts_as_one() {
        let (keeper, _clock, holding) = bench();
        holding.holding().await.unwrap();
        *keeper.hangs.lock().unwrap() = true;
        let arming = holding.arm(Epoch(3), (7, 70), None);
        assert_eq!(arming.now_or_never(), None);
        assert!(!holding.held_nothing_lately());
    }
}
