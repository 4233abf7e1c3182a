//! Random faults on real servers for as long as asked: `script/chaos` builds it and runs it.
//!
//! It goes from episode to episode. Each has a cluster of its own, an application that writes through the routers and
//! clients that write straight to every server; faults come one after another, some while the one before lasts. At the
//! end everything is undone, the cluster has to settle, every acknowledged row has to be there, and no two servers may
//! have acknowledged at once.

mod episode;
mod fault;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use baton_tests::sandbox::Dialect;
use clap::{Parser, ValueEnum};
use rand::SeedableRng;
use rand::rngs::StdRng;

use report::Report;

/// Random faults on real servers, with a ledger of every acknowledged write.
#[derive(Debug, Parser)]
#[command(name = "script/chaos", version)]
struct Cli {
    /// For how long; the episode that runs then is finished
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// What the faults are drawn from; another one each time where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// Which servers; in turn, where none is named
    #[arg(long, value_enum)]
    server: Option<Which>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Mysql,
    Mariadb,
}

impl Cli {
    fn dialect(&self, episode: u64) -> Dialect {
        match self.server {
            Some(Which::Mysql) => Dialect::MySql,
            Some(Which::Mariadb) => Dialect::MariaDb,
            None if episode.is_multiple_of(2) => Dialect::MySql,
            None => Dialect::MariaDb,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let ends = Instant::now() + Duration::from_secs(60 * cli.minutes);
    let mut report = Report::default();
    for number in 0.. {
        if Instant::now() >= ends {
            break;
        }
        let dialect = cli.dialect(number);
        // Each episode by itself can be had again: with the same server, `--seed` of its own number.
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        match episode::run(dialect, &mut random, &mut report).await {
            Ok(()) => println!("episode {} ({}): held", number + 1, dialect.name()),
            Err(error) => {
                let again = seed.wrapping_add(number);
                println!("episode {} ({}): FAILED: {error:#}", number + 1, dialect.name());
                println!("once more: script/chaos --seed {again} --server {}", word(dialect));
                report.failed += 1;
            }
        }
        report.episodes += 1;
    }
    print!("{report}");
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => "mysql",
        Dialect::MariaDb => "mariadb",
    }
}
