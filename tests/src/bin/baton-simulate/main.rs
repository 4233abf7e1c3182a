//! `script/simulate`: runs seeds of the simulation, on every processor.

mod breakages;
mod seeds;
mod steps;
mod summary;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use baton_node::mutation::Mutation;
use baton_tests::sim::run::{Options, Report, run};
use clap::Parser;

use self::seeds::Seeds;

/// Seeds within which a breakage of the protocol must be found.
const FOUND_WITHIN: u64 = 500;
/// Seeds of an ordinary run.
const ORDINARY: u64 = 100;

/// Runs Baton's own code against servers, networks, disks and clocks in memory, on virtual time.
///
/// Exit status 0 only if every seed held. The last line is a summary.
#[derive(Parser)]
#[command(name = "script/simulate")]
struct Arguments {
    /// How many seeds to run (default: 100, with --mutations 500 for each, with --steps 10).
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begins no seed after so many minutes; the summary says how many were run.
    #[arg(long, value_name = "MINUTES")]
    within: Option<u64>,
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
    let names: Vec<_> = Mutation::ALL.iter().map(|m| format!("{m:?}")).collect();
    let found = Mutation::ALL.into_iter().find(|m| format!("{m:?}") == name);
    found.ok_or_else(|| format!("one of {}", names.join(", ")))
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
    let seeds = Seeds {
        from: arguments.from,
        count: arguments.seeds.unwrap_or(if arguments.mutations { FOUND_WITHIN } else { ORDINARY }),
        jobs: arguments.jobs.or(std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1),
        end: arguments.within.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes)),
        keep_going: arguments.keep_going,
        mutation: arguments.mutation,
        shown: arguments.show,
    };
    if arguments.steps {
        let worlds = seeds.from..seeds.from.saturating_add(arguments.seeds.unwrap_or(steps::WORLDS));
        return steps::run_all(worlds, seeds.jobs, seeds.shown);
    }
    if arguments.mutations { breakages::find_all(&seeds) } else { hold(&seeds) }
}

/// Runs the seeds, and wants each to hold.
fn hold(seeds: &Seeds) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    if !seeds.shown {
        let first = once(seeds, seeds.from)?;
        if !is_same_again(seeds, &first)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    let sum = seeds.run()?;
    let mut same = true;
    for report in &sum.broken {
        summary::tell(report, seeds.mutation);
        same &= seeds.shown || is_same_again(seeds, report)?;
    }
    println!("{}", summary::line(&sum, seeds.count, begun.elapsed()));
    Ok(if sum.broken.is_empty() && same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn once(seeds: &Seeds, seed: u64) -> anyhow::Result<Report> {
    run(Options { seed, mutation: seeds.mutation, shown: false }).map_err(|e| anyhow!("seed {seed}: {e}"))
}

/// Whether the same seed gives the same run, to the letter: without that no failure could be replayed.
fn is_same_again(seeds: &Seeds, first: &Report) -> anyhow::Result<bool> {
    let second = once(seeds, first.seed)?;
    if first.digest == second.digest && first.writes == second.writes {
        return Ok(true);
    }
    for (a, b) in first.trace.iter().zip(&second.trace).filter(|(a, b)| a != b).take(1) {
        println!("  {a}\n  {b}");
    }
    println!("seed {} gave two runs: {:?} and {:?}", first.seed, first.digest, second.digest);
    Ok(false)
}
