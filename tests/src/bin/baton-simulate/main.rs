//! `script/simulate`: runs seeds of the simulation, on every processor.

mod steps;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow};
use baton_node::mutation::Mutation;
use baton_tests::sim::run::{Options, Report, run};
use clap::Parser;

/// Runs Baton's own code against servers, networks, disks and clocks in memory, on virtual time.
///
/// Exit status 0 only if every seed held. The last line is a summary.
#[derive(Parser)]
#[command(name = "script/simulate")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many at a time; as many as there are processors by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// Goes on after a seed that did not hold.
    #[arg(long)]
    keep_going: bool,
    /// Shows what happens, and Baton's own log.
    #[arg(long)]
    show: bool,
    /// Breaks the protocol on purpose: a name of `baton_node::mutation::Mutation`.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
    /// Breaks the protocol in every way, one after the other, and wants each found within `--seeds`.
    #[arg(long)]
    mutations: bool,
    /// Cuts every operation off at every step instead, in the worlds of the seeds.
    #[arg(long, conflicts_with_all = ["mutation", "mutations"])]
    steps: bool,
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let all = Mutation::ALL.into_iter();
    let names: Vec<_> = Mutation::ALL.iter().map(|m| format!("{m:?}")).collect();
    all.into_iter().find(|m| format!("{m:?}") == name).ok_or(format!("one of {}", names.join(", ")))
}

#[derive(Default)]
struct Sum {
    held: u64,
    faults: u64,
    writes: u64,
    acknowledged: u64,
    epochs: u64,
    virtual_s: u64,
    broken: Vec<Report>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.show {
        tracing_subscriber::fmt()
            .with_env_filter("baton_node=debug")
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    }
    if arguments.steps {
        let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
        return steps::run_all(seeds, jobs(&arguments), arguments.show);
    }
    if !arguments.mutations {
        let begun = Instant::now();
        if !arguments.show && !same_twice(arguments.from, arguments.mutation)? {
            return Ok(ExitCode::FAILURE);
        }
        let sum = run_all(&arguments, arguments.mutation, arguments.keep_going)?;
        for report in &sum.broken {
            tell(report, arguments.mutation);
        }
        println!("{}", summary(&sum, begun));
        return Ok(if sum.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let begun = Instant::now();
        let sum = run_all(&arguments, Some(mutation), false)?;
        match sum.broken.first() {
            Some(report) => {
                let how = report.broken.as_deref().unwrap_or_default();
                println!("{mutation:?}: found after {} seeds, {:?}: {how}", sum.held + 1, begun.elapsed());
            }
            None => {
                println!("{mutation:?}: NOT found in {} seeds", sum.held);
                missed.push(format!("{mutation:?}"));
            }
        }
    }
    println!("{} of {} breakages found", Mutation::ALL.len() - missed.len(), Mutation::ALL.len());
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many runs at a time.
fn jobs(arguments: &Arguments) -> usize {
    arguments.jobs.or(std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1)
}

/// Whether the same seed gives the same run, to the letter: without that no failure could be replayed.
fn same_twice(seed: u64, mutation: Option<Mutation>) -> anyhow::Result<bool> {
    let once = || run(Options { seed, mutation, shown: false }).map_err(|e| anyhow!("seed {seed}: {e}"));
    let (first, second) = (once()?, once()?);
    if first.digest == second.digest && first.writes == second.writes {
        return Ok(true);
    }
    for (a, b) in first.trace.iter().zip(&second.trace).filter(|(a, b)| a != b).take(1) {
        println!("  {a}\n  {b}");
    }
    println!("seed {seed} gave two runs: {:?} and {:?}", first.digest, second.digest);
    Ok(false)
}

/// Runs the seeds; without `keep_going` no new one is begun after the first that did not hold.
fn run_all(arguments: &Arguments, mutation: Option<Mutation>, keep_going: bool) -> anyhow::Result<Sum> {
    let (next, stop) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let (sum, failed) = (Mutex::new(Sum::default()), Mutex::new(None));
    let jobs = jobs(arguments);
    let end = arguments.from.saturating_add(arguments.seeds);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match run(Options { seed, mutation, shown: arguments.show }) {
                        Ok(report) => {
                            if report.broken.is_some() && !keep_going {
                                stop.store(true, Ordering::Relaxed);
                            }
                            take(&sum, report);
                        }
                        Err(error) => {
                            stop.store(true, Ordering::Relaxed);
                            if let Ok(mut failed) = failed.lock() {
                                *failed = Some(format!("seed {seed}: {error}"));
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
    sum.into_inner().ok().context("a run panicked")
}

fn take(sum: &Mutex<Sum>, report: Report) {
    let Ok(mut sum) = sum.lock() else { return };
    sum.faults += report.faults;
    sum.writes += report.writes.0;
    sum.acknowledged += report.writes.1;
    sum.epochs += report.epochs;
    sum.virtual_s += report.length.as_secs();
    match report.broken {
        Some(_) => sum.broken.push(report),
        None => sum.held += 1,
    }
}

fn tell(report: &Report, mutation: Option<Mutation>) {
    for line in report.trace.iter().rev().take(60).rev() {
        println!("  {line}");
    }
    let seed = report.seed;
    let broken = mutation.map(|m| format!(" --mutation {m:?}")).unwrap_or_default();
    println!("seed {seed}: {}", report.broken.as_deref().unwrap_or_default());
    println!("replay: script/simulate --seeds 1 --from {seed} --show{broken}");
}

fn summary(sum: &Sum, begun: Instant) -> String {
    let runs = sum.held + u64::try_from(sum.broken.len()).unwrap_or(0);
    let took = begun.elapsed().as_secs_f64();
    format!(
        "{} of {runs} seeds held in {took:.0} s ({:.0} a minute): {} virtual minutes, {} faults, {} epochs, {} writes, {} \
         acknowledged",
        sum.held,
        f64::from(u32::try_from(runs).unwrap_or(u32::MAX)) * 60.0 / took.max(0.001),
        sum.virtual_s / 60,
        sum.faults,
        sum.epochs,
        sum.writes,
        sum.acknowledged,
    )
}
