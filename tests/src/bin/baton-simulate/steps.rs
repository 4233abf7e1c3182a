//! `--steps`: every operation, cut off at every step. Not every world takes every step, but some world must.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};
use baton_tests::sim::run::steps::{Cut, run};

/// Seeds whose worlds are taken: two and three servers, of both dialects, with and without witnesses.
pub(crate) const WORLDS: u64 = 10;

/// Runs every cut in the worlds of these seeds; exit status 0 only if all held.
pub(crate) fn run_all(seeds: std::ops::Range<u64>, jobs: usize, shown: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let all: Vec<(u64, Cut)> =
        seeds.flat_map(|seed| Cut::all().into_iter().map(move |cut| (seed, cut))).collect();
    let (next, broken, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
    let reached = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((seed, cut)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(*seed, *cut, shown) {
                        Ok((report, _)) if report.broken.is_some() => push(&broken, (*cut, report)),
                        Ok((_, true)) => push(&reached, *cut),
                        Ok((_, false)) => {}
                        Err(error) => {
                            if let Ok(mut failed) = failed.lock() {
                                *failed = Some(format!("seed {seed}, {cut:?}: {error}"));
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().map_err(|_| anyhow!("a run panicked"))? {
        return Err(anyhow!("the simulation itself failed: {error}"));
    }
    let broken = broken.into_inner().map_err(|_| anyhow!("a run panicked"))?;
    for (cut, report) in &broken {
        let trace = &report.trace[report.trace.len().saturating_sub(40)..];
        trace.iter().for_each(|line| println!("  {line}"));
        println!("seed {}, {cut:?}: {}", report.seed, report.broken.as_deref().unwrap_or_default());
    }
    let reached = reached.into_inner().map_err(|_| anyhow!("a run panicked"))?;
    let broken_in = |cut: &Cut| broken.iter().any(|(other, _)| other == cut);
    let missed: Vec<Cut> =
        Cut::all().into_iter().filter(|cut| !reached.contains(cut) && !broken_in(cut)).collect();
    missed.iter().for_each(|cut| println!("{cut:?}: no world takes this step"));
    let (held, took) = (all.len() - broken.len(), begun.elapsed().as_secs());
    println!(
        "{held} of {} operations held in {took} s, cut off at their step in {} of them",
        all.len(),
        reached.len()
    );
    Ok(if broken.is_empty() && missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn push<T>(to: &Mutex<Vec<T>>, one: T) {
    if let Ok(mut to) = to.lock() {
        to.push(one);
    }
}
