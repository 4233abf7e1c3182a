//! One function for each command: ask, and turn the answer into text, JSON and an exit status.

mod care;
mod config;
mod grants;
mod operate;
mod quarantine;
mod rebuild;
mod report;
mod switchover;

use jiff::Timestamp;
use serde::Serialize;

use crate::certs;
use crate::cli::{Cli, Command, ConfigAction, Global, NodeAction, QuarantineAction};
use crate::connect::Group;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Style;
use crate::settings::Settings;
use crate::terminal;

/// What a command has to say.
#[derive(Debug)]
pub struct Outcome {
    /// For a person.
    pub text: String,
    /// For a script: the same answer, whole.
    pub json: serde_json::Value,
    /// The exit status.
    pub exit: Exit,
}

impl Outcome {
    /// The reply as JSON beside its rendering.
    ///
    /// # Errors
    /// [`Error::Write`] for a reply that JSON cannot hold.
    pub fn new(reply: &impl Serialize, text: String, exit: Exit) -> Result<Self, Error> {
        let json = serde_json::to_value(reply).map_err(|error| Error::Write(error.into()))?;
        Ok(Self { text, json, exit })
    }
}

/// What every command that speaks to the cluster is given.
pub(crate) struct Context<'a> {
    group: Group,
    settings: Settings,
    style: &'a Style,
    json: bool,
    /// Who is asking, for the history.
    by: String,
}

impl<'a> Context<'a> {
    fn gather(global: &Global, style: &'a Style) -> Result<Self, Error> {
        let settings = Settings::gather(global)?;
        let group = Group::new(&settings)?;
        Ok(Self { group, settings, style, json: global.json, by: terminal::operator() })
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever kept it from its answer.
pub async fn run(cli: Cli, style: &Style) -> Result<Outcome, Error> {
    let Cli { global, command } = cli;
    // Not gathered for what needs no cluster: there may be none yet.
    let context = || Context::gather(&global, style);
    match command {
        Command::Status => report::status(&context()?).await,
        Command::History { limit, epoch, steps } => report::history(&context()?, limit, epoch, steps).await,
        Command::Why { epoch } => report::why(&context()?, epoch).await,
        Command::Check => report::check(&context()?).await,
        Command::Pause { length, reason } => operate::pause(&context()?, length, reason).await,
        Command::Resume => operate::resume(&context()?).await,
        Command::Failover { force, reason, to, yes } => {
            operate::failover(&context()?, force, reason, to, yes).await
        }
        Command::Switchover { to, dry_run, max_pause, kill_blockers } => {
            let options = switchover::Options { to, dry_run, max_pause, kill_blockers };
            switchover::switchover(&context()?, options).await
        }
        Command::Adopt { writer, dry_run, yes } => care::adopt(&context()?, writer, dry_run, yes).await,
        Command::Release { reason } => care::release(&context()?, reason).await,
        Command::Rebuild { name, from, dry_run, cancel, yes } => {
            let options = rebuild::Options { node: name, from, dry_run, cancel, yes };
            rebuild::rebuild(&context()?, options).await
        }
        Command::Config { action: ConfigAction::Show } => config::show(&context()?).await,
        Command::Config { action: ConfigAction::Apply { file, dry_run } } => {
            config::apply(&context()?, &file, dry_run).await
        }
        Command::Quarantine { action: QuarantineAction::List } => quarantine::list(&context()?).await,
        Command::Quarantine { action: QuarantineAction::Show { id, sql } } => {
            quarantine::show(&context()?, id, sql).await
        }
        Command::Quarantine { action: QuarantineAction::Release { name, reason, without_archive } } => {
            quarantine::release(&context()?, name, reason, without_archive).await
        }
        Command::Node { action: NodeAction::Add { name, peer, server, zone } } => {
            care::add_node(&context()?, name, peer, server, zone).await
        }
        Command::Node { action: NodeAction::Remove { name } } => care::remove_node(&context()?, name).await,
        Command::Grants(options) => grants::grants(&options),
        Command::Certs(options) => {
            let text = certs::run(&options, global.json, Timestamp::now())?;
            // With --json the text is one object.
            let json = serde_json::from_str(&text).unwrap_or_default();
            Ok(Outcome { text, json, exit: Exit::Ok })
        }
    }
}
