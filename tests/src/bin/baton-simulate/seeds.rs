//! Seeds, a few at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow};
use baton_node::mutation::Mutation;
use baton_tests::sim::run::{Options, Report, run};

/// What to run.
#[derive(Clone)]
pub(crate) struct Seeds {
    /// The first seed.
    pub(crate) from: u64,
    /// How many.
    pub(crate) count: u64,
    /// How many at a time.
    pub(crate) jobs: usize,
    /// No seed is begun after this.
    pub(crate) end: Option<Instant>,
    /// Goes on after a seed that did not hold.
    pub(crate) keep_going: bool,
    /// What is broken on purpose.
    pub(crate) mutation: Option<Mutation>,
    /// Shows what happens.
    pub(crate) shown: bool,
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) held: u64,
    pub(crate) faults: u64,
    pub(crate) writes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) epochs: u64,
    pub(crate) virtual_s: u64,
    pub(crate) broken: Vec<Report>,
}

impl Sum {
    fn take(&mut self, report: Report) {
        self.faults += report.faults;
        self.writes += report.writes.0;
        self.acknowledged += report.writes.1;
        self.epochs += report.epochs;
        self.virtual_s += report.length.as_secs();
        match report.broken {
            Some(_) => self.broken.push(report),
            None => self.held += 1,
        }
    }

    /// All that were run.
    pub(crate) fn runs(&self) -> u64 {
        self.held + u64::try_from(self.broken.len()).unwrap_or(u64::MAX)
    }
}

impl Seeds {
    /// Runs them; unless told to go on, no new one is begun after the first that did not hold.
    pub(crate) fn run(&self) -> anyhow::Result<Sum> {
        let (next, stop) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let (sum, failed) = (Mutex::new(Sum::default()), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(seed) = self.next(&next).filter(|_| !stop.load(Ordering::Relaxed)) {
                        let ran = run(Options { seed, mutation: self.mutation, shown: self.shown });
                        let goes_on = ran.as_ref().is_ok_and(|r| r.broken.is_none() || self.keep_going);
                        stop.fetch_or(!goes_on, Ordering::Relaxed);
                        match (ran, sum.lock(), failed.lock()) {
                            (Ok(report), Ok(mut sum), _) => sum.take(report),
                            (Err(error), _, Ok(mut failed)) => {
                                *failed = Some(format!("seed {seed}: {error}"))
                            }
                            _ => return,
                        }
                    }
                });
            }
        });
        if let Some(error) = failed.into_inner().map_err(|_| anyhow!("a run panicked"))? {
            return Err(anyhow!("the simulation itself failed: {error}"));
        }
        let mut sum = sum.into_inner().ok().context("a run panicked")?;
        sum.broken.sort_by_key(|report| report.seed);
        Ok(sum)
    }

    fn next(&self, next: &AtomicU64) -> Option<u64> {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let in_time = self.end.is_none_or(|end| Instant::now() < end);
        (in_time && seed < self.from.saturating_add(self.count)).then_some(seed)
    }
}
