//! Shows Baton's main job on real servers: `script/demo` builds it and runs it.
//!
//! A person gets a transcript, 80 columns wide; `--json` gives one object on stdout and nothing else there.

mod acts;
mod paper;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_tests::sandbox::Dialect;
use clap::{Parser, ValueEnum};
use tokio::time::timeout;

use acts::Play;
use paper::Paper;

/// The demo ends by itself; should something hang, it ends all the same.
const WHOLE: Duration = Duration::from_secs(115);

/// Kills a primary, brings it back, then cuts the next one off, while a client writes.
#[derive(Debug, Parser)]
#[command(name = "script/demo", version)]
struct Cli {
    /// Which servers
    #[arg(long, value_enum, default_value = "mysql")]
    server: Which,
    /// Leave everything up until Ctrl-C, and say how to look around
    #[arg(long, conflicts_with = "json")]
    keep: bool,
    /// Print one JSON object on stdout, and nothing else there
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Mysql,
    Mariadb,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let dialect = match cli.server {
        Which::Mysql => Dialect::MySql,
        Which::Mariadb => Dialect::MariaDb,
    };
    let mut play = Play::new(dialect, if cli.json { Paper::none() } else { Paper::stdout() });
    let played = timeout(WHOLE, play.run()).await;
    played.with_context(|| format!("not at its end after {} s", WHOLE.as_secs()))??;
    if cli.json {
        println!("{}", play.told());
    }
    if cli.keep {
        play.how_to_look_around()?;
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    // Ends everything, and returns when it has ended.
    drop(play);
    Ok(())
}
