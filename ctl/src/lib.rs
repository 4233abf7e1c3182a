//! `batonctl`: asks and steers a Baton cluster.
//!
//! Every command becomes one [`commands::Outcome`], text and JSON of the same answer, which [`run`] prints. All
//! rendering is pure (`render`), everything about reaching a node is in `connect`.

pub mod at;
pub mod certs;
pub mod cli;
pub mod commands;
pub mod connect;
pub mod error;
pub mod exit;
pub mod grants;
pub mod render;
pub mod settings;
pub mod terminal;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser as _;

use cli::Cli;
use commands::Outcome;
use error::Error;
use exit::Exit;
use render::Style;

/// Runs one command line (the first argument is the program's name) and returns its exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, args.iter().any(|arg| arg == "--json")),
    };
    // The one provider; a second call, from a test in the same process, finds it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let json = cli.global.json;
    let colour = cli.global.color;
    let style = Style::of_stdout(colour);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Write)
        .and_then(|runtime| runtime.block_on(commands::run(cli, &style)));
    match outcome.and_then(|outcome| print(&outcome, json)) {
        Ok(exit) => exit,
        Err(error) => fail(&error, json, &Style::of_stderr(colour)),
    }
}

fn print(outcome: &Outcome, json: bool) -> Result<Exit, Error> {
    let text = if json { format!("{:#}\n", outcome.json) } else { outcome.text.clone() };
    match std::io::stdout().write_all(text.as_bytes()) {
        // `batonctl history 1000 | head` is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(outcome.exit),
        result => result.map(|()| outcome.exit).map_err(Error::Write),
    }
}

/// One line on stderr that says what is wrong and what to do; with `--json` an object on stdout as well.
fn fail(error: &Error, json: bool, style: &Style) -> Exit {
    let mend = error.mend();
    // Nothing is left to report to when stderr itself is gone.
    let _ = std::io::stderr().write_all(render::error_line(&error.to_string(), &mend, style).as_bytes());
    if json {
        let object = serde_json::json!({ "error": error.to_string(), "mend": mend });
        let _ = std::io::stdout().write_all(format!("{object:#}\n").as_bytes());
    }
    error.exit()
}

/// clap's own words, but not its exit status 2, which means "no writer" here.
fn not_understood(error: &clap::Error, json: bool) -> Exit {
    let asked_for = !error.use_stderr();
    if json && !asked_for {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let object = serde_json::json!({ "error": what, "mend": "see `batonctl --help`" });
        let _ = std::io::stdout().write_all(format!("{object:#}\n").as_bytes());
    }
    let _ = error.print();
    if asked_for { Exit::Ok } else { Exit::Usage }
}
