//! One function for each command: ask, and turn the answer into text, JSON and an exit status.

mod alert;
mod backup;
mod care;
mod config;
mod fleet;
mod grants;
mod maintenance;
mod operate;
mod quarantine;
mod rebuild;
mod rehearse;
mod report;
mod switchover;
mod watch;

use jiff::Timestamp;
use serde::Serialize;

use crate::certs;
use crate::cli::{
    AlertAction, BackupAction, Cli, Command, ConfigAction, Global, NodeAction, QuarantineAction,
};
use crate::connect::Group;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Style;
use crate::settings::{self, Settings};
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
        Command::Status { watch: true } => {
            let context = context()?;
            watch::again(context.json, async || report::status(&context).await).await
        }
        Command::Status { watch: false } => report::status(&context()?).await,
        Command::Fleet { file, watch } => {
            let clusters = settings::fleet::gather(file.as_deref(), &global)?;
            let look = async || fleet::fleet(&clusters, style).await;
            if watch { watch::again(global.json, look).await } else { look().await }
        }
        Command::Events { limit, follow: true } => watch::events(&context()?, limit).await,
        Command::Events { limit, follow: false } => report::events(&context()?, limit).await,
        Command::History { limit, epoch, steps } => report::history(&context()?, limit, epoch, steps).await,
        Command::Why { epoch } => report::why(&context()?, epoch).await,
        Command::Check => report::check(&context()?).await,
        Command::Routing => report::routing(&context()?).await,
        Command::Pause { length, reason } => operate::pause(&context()?, length, reason).await,
        Command::Mute { length, reason, .. } => alert::mute(&context()?, length, reason).await,
        Command::Alert { action: AlertAction::Test } => alert::test(&context()?).await,
        Command::Resume => operate::resume(&context()?).await,
        Command::Failover { force, reason, to, yes } => {
            operate::failover(&context()?, force, reason, to, yes).await
        }
        Command::Switchover { cancel: true, .. } => switchover::cancel(&context()?).await,
        Command::Switchover { to, dry_run, max_pause, kill_blockers, at, cancel: false } => {
            let at_ms = at.map_or(0, |at| at.unix_ms(Timestamp::now()));
            let options = switchover::Options { to, dry_run, max_pause, kill_blockers, at_ms };
            switchover::switchover(&context()?, options).await
        }
        Command::Maintenance { name, end: true, .. } => maintenance::end(&context()?, name).await,
        Command::Maintenance { name, length, reason, switchover, end: false } => {
            let length = length.unwrap_or_default();
            maintenance::begin(&context()?, name, length, reason, switchover).await
        }
        Command::Restart { name, reason, switchover } => {
            maintenance::restart(&context()?, name, reason, switchover).await
        }
        Command::Rehearse { junit, yes } => rehearse::rehearse(&context()?, junit, yes).await,
        Command::Adopt { writer, dry_run, yes } => care::adopt(&context()?, writer, dry_run, yes).await,
        Command::Release { reason } => care::release(&context()?, reason).await,
        Command::Rebuild { name, from, dry_run, cancel, yes } => {
            let options = rebuild::Options { node: name, from, dry_run, cancel, yes };
            rebuild::rebuild(&context()?, options).await
        }
        Command::Backup { action } => backup(&context()?, action).await,
        Command::Recovery => report::recovery(&context()?).await,
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

async fn backup(context: &Context<'_>, action: BackupAction) -> Result<Outcome, Error> {
    match action {
        BackupAction::Now { name, kind, allow_writer, full_speed, follow } => {
            let options = backup::Options { node: name, kind, allow_writer, full_speed, follow };
            backup::now(context, options).await
        }
        BackupAction::List => backup::list(context).await,
        BackupAction::Show { id } => backup::show(context, id).await,
        BackupAction::Verify { id, follow } => backup::verify(context, id, follow).await,
        BackupAction::Scan { name, follow } => backup::scan(context, name, follow).await,
        BackupAction::Cancel => backup::cancel(context).await,
        BackupAction::Pin { id } => backup::pin(context, id, true).await,
        BackupAction::Unpin { id } => backup::pin(context, id, false).await,
        BackupAction::Delete { id } => backup::delete(context, id).await,
        BackupAction::Prune { dry_run } => backup::prune(context, dry_run).await,
    }
}
