//! Deliberate breakages of the protocol, for the simulation to show that it would find them. One at a time can be
//! switched on, for a thread; without the feature `simulation` there is none.

/// Whether this breakage is switched on.
#[cfg(feature = "simulation")]
macro_rules! mutate {
    ($name:ident) => {
        $crate::mutation::is_on($crate::mutation::Mutation::$name)
    };
}
#[cfg(not(feature = "simulation"))]
macro_rules! mutate {
    ($name:ident) => {
        false
    };
}
pub(crate) use mutate;

#[cfg(feature = "simulation")]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// What is broken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Mutation {
        /// A failover waits for no proof.
        SkipProof,
        /// A guard counts its lease one renewal longer than the voters do.
        LeaseTooLong,
        /// The next writer is chosen by what it has applied.
        ChooseByApplied,
        /// The next writer is opened before it has applied what it received.
        OpenBeforeApplied,
        /// A server that was closed under its epoch is opened again under it.
        ReopenSameEpoch,
        /// A server that somebody else closed is opened again.
        ReopenAfterForeignClose,
        /// A voter grants an epoch that is over, whoever asks for it.
        AcceptOldEpoch,
        /// A voter says that its grants have run out before they have.
        ExpiredTooEarly,
        /// A voter grants an epoch whose revocation it has applied.
        GrantAfterRevocation,
        /// A voter counts only what it remembers: not what it may have granted before it was started, nor what the voters
        /// of an earlier membership may have.
        ForgetGrants,
        /// Whose grants count, and which voters may give them, goes by the membership that was applied last, not by the
        /// newest in the log.
        JudgeAppliedMembership,
        /// The ackers are read before the proof, while they still receive.
        ReadBeforeProof,
        /// The writer goes on without its ackers before the group has committed it.
        DegradeWithoutCommit,
        /// A keeper lets a server live whose lease has ended.
        KeeperSleeps,
    }

    impl Mutation {
        /// All of them.
        pub const ALL: [Self; 14] = [
            Self::SkipProof,
            Self::LeaseTooLong,
            Self::ChooseByApplied,
            Self::OpenBeforeApplied,
            Self::ReopenSameEpoch,
            Self::ReopenAfterForeignClose,
            Self::AcceptOldEpoch,
            Self::ExpiredTooEarly,
            Self::GrantAfterRevocation,
            Self::ForgetGrants,
            Self::JudgeAppliedMembership,
            Self::ReadBeforeProof,
            Self::DegradeWithoutCommit,
            Self::KeeperSleeps,
        ];
    }

    /// Breaks this on this thread, or mends everything.
    pub fn switch(mutation: Option<Mutation>) {
        ON.set(mutation);
    }

    /// Whether this is broken on this thread.
    pub fn is_on(mutation: Mutation) -> bool {
        ON.get() == Some(mutation)
    }
}

#[cfg(feature = "simulation")]
pub use switch::{Mutation, is_on, switch};
