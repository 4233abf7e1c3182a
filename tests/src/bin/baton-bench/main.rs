//! Measures what `docs/benchmarks.md` shows: `script/bench` builds it and runs it.

mod backup;
mod failover;
mod fault;
mod load;
mod obstacle;
mod refused;
mod reopen;
mod rest;
mod routing;
mod rows;
mod switchover;
mod unrest;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use baton_tests::sandbox::Dialect;
use clap::{Args, Parser, Subcommand, ValueEnum};

use failover::How;
use fault::Fault;
use obstacle::Obstacle;
use rows::Rows;

/// How long writes are out, and what a node takes at rest.
#[derive(Debug, Parser)]
#[command(name = "script/bench", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The client-visible write outage of a fault at a random moment, under load, through the embedded router
    Failover {
        /// How often
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        runs: u32,
        /// Which fault
        #[arg(long, value_enum, default_value = "kill")]
        fault: Fault,
        /// Sessions write as fast as answers come, instead of a row every 20 ms
        #[arg(long)]
        unpaced: bool,
        /// The next fault does not wait until a replica whose host was away has what it missed
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        common: Common,
    },
    /// The write gap of planned switchovers back and forth, under load, through the embedded router
    Switchover {
        /// How often
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        runs: u32,
        /// Sessions write as fast as answers come, instead of a row every 20 ms
        #[arg(long)]
        unpaced: bool,
        /// A session holds a lock that the close waits for: each is taken back after --max-pause 500ms
        #[arg(long)]
        undone: bool,
        /// The next writer cannot apply what is written right before the close: each is taken back after --max-pause
        /// 500ms, by opening the closed writer again
        #[arg(long, conflicts_with = "undone")]
        reopened: bool,
        /// The next writer applies nothing: the preflight refuses each
        #[arg(long, conflicts_with_all = ["undone", "reopened"])]
        refused: bool,
        #[command(flatten)]
        common: Common,
    },
    /// 20 ProxySQL (doubles): how soon they lead to a new writer, how soon a wiped one is right again, and what clients
    /// notice of a switchover
    Routing {
        /// How often
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        runs: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Memory and processor time of one node with nothing to do, three servers watched
    Rest {
        /// How often
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        runs: u32,
        #[command(flatten)]
        common: Common,
    },
    /// A backup beside the raw pipe that makes the same stream, its memory, and writes beside a polite one; of MariaDB
    Backup {
        /// How often
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        runs: u32,
        /// Of how many GiB; three times that has to be free, and more
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        size_gib: u64,
        /// Print one JSON object on stdout, and nothing else there
        #[arg(long)]
        json: bool,
    },
    /// Lost packets on every link, busy processors and a busy disk: nothing may move
    Unrest {
        /// How often
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
        runs: u32,
        /// For how long each time
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        minutes: u64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Which servers; both, one after the other, where none is named
    #[arg(long, value_enum)]
    server: Option<Which>,
    /// Print one JSON object on stdout, and nothing else there
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Mysql,
    Mariadb,
    All,
}

impl Common {
    fn dialects(&self) -> &'static [Dialect] {
        match self.server {
            Some(Which::Mysql) => &[Dialect::MySql],
            Some(Which::Mariadb) => &[Dialect::MariaDb],
            Some(Which::All) | None => &Dialect::ALL,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut rows = Rows::default();
    let (result, json) = match &cli.what {
        What::Failover { runs, fault, unpaced, at_once, common } => {
            let how = How { runs: *runs, unpaced: *unpaced, at_once: *at_once };
            let mut result = Ok(());
            for dialect in common.dialects() {
                result = result.and(failover::measure(&mut rows, *dialect, *fault, how).await);
            }
            (result, common.json)
        }
        What::Switchover { runs, unpaced, refused: true, common, .. } => {
            let mut result = Ok(());
            for dialect in common.dialects() {
                result = result.and(refused::measure(&mut rows, *dialect, *runs, *unpaced).await);
            }
            (result, common.json)
        }
        What::Switchover { runs, unpaced, undone, reopened, common, .. } => {
            let obstacle = undone.then_some(Obstacle::Lock).or(reopened.then_some(Obstacle::Write));
            let how = switchover::How { runs: *runs, unpaced: *unpaced, obstacle };
            let mut result = Ok(());
            for dialect in common.dialects() {
                result = result.and(switchover::measure(&mut rows, *dialect, how).await);
            }
            (result, common.json)
        }
        What::Routing { runs, common } => {
            let mut result = Ok(());
            for dialect in common.dialects() {
                result = result.and(routing::measure(&mut rows, *dialect, *runs).await);
            }
            (result, common.json)
        }
        What::Rest { runs, common } => (measure_rest(&mut rows, common.dialects(), *runs).await, common.json),
        What::Backup { runs, size_gib, json } => (backup::measure(&mut rows, *runs, *size_gib).await, *json),
        What::Unrest { runs, minutes, common } => {
            let mut result = Ok(());
            for dialect in common.dialects() {
                let length = Duration::from_secs(*minutes * 60);
                result = result.and(unrest::measure(&mut rows, *dialect, *runs, length).await);
            }
            (result, common.json)
        }
    };
    if json {
        println!("{}", rows.json());
    } else {
        print!("{}", rows.table());
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}\nThe rows above are of the runs before.");
            ExitCode::FAILURE
        }
    }
}

async fn measure_rest(rows: &mut Rows, dialects: &[Dialect], runs: u32) -> Result<()> {
    for dialect in dialects {
        rest::measure(rows, *dialect, runs).await?;
    }
    Ok(())
}
