//! Does what was planned: the data, what it goes on with, a look at the result, and its place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::plan::{self, Target};
use super::replay::{Applying, Ready, Sending, is_at};
use super::sandbox::{Trial, try_out, with_server};
use super::text::{self, Done, Plan};
use super::work::{self, Work};
use super::{Restore, look, steps};
use crate::backup::manifest::Manifest;
use crate::gtid::{Dialect, GtidSet};
use crate::sql::Connector;

impl Restore<'_> {
    fn last(&self) -> Result<&Manifest, String> {
        self.chain.last().ok_or_else(|| "there is no backup".to_owned())
    }

    pub(super) async fn act(&self, plan: &Plan) -> Result<Done, String> {
        match &self.target {
            Target::Directory(path) => self.directory(path, plan).await,
            Target::Output(path) => {
                steps::file(path, self.last()?, &self.source, self.owner.as_ref(), &self.progress).await?;
                Ok(Done { gtids: plan.gtids.clone(), ..Done::default() })
            }
            Target::Server(_) => {
                let (account, connector) =
                    self.server.as_ref().ok_or("no account is known for the server")?;
                let scratch = Scratch::make()?;
                let (server, folder) = ((account, connector), &scratch.0);
                let then = async |client: &[OsString]| self.send(folder, client, connector).await;
                let (last, facts, source) = (self.last()?, &self.facts, &self.source);
                steps::sql(folder, last, facts, source, server, &self.progress, then).await?;
                let next = text::next(plan, false, plan.ends_at(), true);
                Ok(Done { gtids: plan.ends_at().to_owned(), next, ..Done::default() })
            }
        }
    }

    async fn directory(&self, path: &Path, plan: &Plan) -> Result<Done, String> {
        let work = Work::begin(path, &plan.backup)?;
        steps::files(&work, &self.chain, self.way, &self.facts, &self.source, &self.progress).await?;
        let mut done = Done { gtids: plan.ends_at().to_owned(), ..Done::default() };
        for table in steps::elsewhere(&work.data()) {
            let text = "its link file names the place that it had at the old server; it has to be put there, or the link removed";
            done.warnings.push(format!("{table}: {text}"));
        }
        let mut goal = None;
        if let Some(ready) = &self.ready {
            goal = Some(self.replay(&work, ready, plan).await?);
        }
        let has_looked = self.args.sandbox || goal.is_some();
        if has_looked {
            self.try_out(&work, goal.as_ref(), &mut done).await?;
        }
        if let Some(owner) = &self.owner {
            self.progress.stage("giving the files to their owner");
            owner.give_all(&work.data())?;
        }
        // It may be long since that was asked.
        if let Some(process) = look::user_of_other(path, work::FOLDER) {
            return Err(format!("{process} has begun to work in {} meanwhile", path.display()));
        }
        self.progress.stage("on the disk");
        work.complete(self.owner.as_ref())?;
        done.next = text::next(plan, true, &done.gtids, has_looked);
        Ok(done)
    }

    /// Its server can be started with `data`.
    fn trial<'t>(&'t self, work: &Work, data: &'t Path) -> Result<Trial<'t>, String> {
        let (program, _) = self.facts.server.as_ref().ok_or("the server's program is not there")?;
        if let Some(owner) = &self.owner {
            work.let_in(owner)?;
            owner.give_all(data)?;
        }
        let (dialect, options) = (self.last()?.server.dialect, self.args.options.as_deref());
        Ok(Trial { dialect, program, data, options, owner: self.owner.as_ref(), relays: None })
    }

    /// Has the restored server go on from the backup. What it has then, as numbers.
    async fn replay(&self, work: &Work, ready: &Ready, plan: &Plan) -> Result<GtidSet, String> {
        let (data, folder) = (work.data(), work.beside("replay"));
        let trial = Trial { relays: Some(&folder), ..self.trial(work, &data)? };
        fs::create_dir(&folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        if let Some(owner) = &self.owner {
            owner.give(&folder)?;
        }
        let applying = Applying {
            ready,
            source: &self.source,
            folder: &folder,
            owner: self.owner.as_ref(),
            noted: &plan.gtids,
        };
        let run = async |connector: &Connector| applying.run(connector, &self.progress).await;
        let goal = with_server(&trial, &self.progress, run).await?;
        fs::remove_dir_all(&folder).map_err(|e| format!("{} cannot be removed: {e}", folder.display()))?;
        Ok(goal)
    }

    /// Sends a running server, which has the dump, what follows it.
    async fn send(&self, scratch: &Path, client: &[OsString], connector: &Connector) -> Result<(), String> {
        let Some(ready) = &self.ready else { return Ok(()) };
        let last = self.last()?;
        let reader = plan::reader_of(last.server.dialect).0;
        let reader =
            self.facts.tools.iter().find(|tool| tool.name == reader).and_then(|tool| tool.found.as_ref());
        let (reader, _) = reader.ok_or("there is no program that reads binlogs")?;
        let client: Vec<OsString> = client.iter().cloned().chain(["--binary-mode".into()]).collect();
        let sending = Sending { ready, source: &self.source, scratch, reader, client: &client };
        sending.run(last, connector, &self.progress).await
    }

    /// `goal`: what it is to have, as numbers, where that is known.
    async fn try_out(&self, work: &Work, goal: Option<&GtidSet>, done: &mut Done) -> Result<(), String> {
        let data = work.data();
        let trial = self.trial(work, &data)?;
        let dialect = trial.dialect;
        let looked = try_out(&trial, &self.progress).await?;
        if !looked.faults.is_empty() {
            return Err(format!(
                "the restored server starts, but CHECK TABLE says: {}",
                looked.faults.join("; ")
            ));
        }
        if looked.prepared > 0 {
            done.warnings.push(format!(
                "{} XA transactions are prepared and wait for a decision: XA RECOVER",
                looked.prepared
            ));
        }
        if let Some(goal) = goal {
            let ends = match dialect {
                Dialect::Mysql => GtidSet::parse_mysql(&looked.gtids),
                Dialect::Mariadb => GtidSet::parse_mariadb_pos(&looked.gtids),
            };
            is_at(&ends.map_err(|e| e.to_string())?, goal)?;
        }
        done.gtids = match dialect {
            Dialect::Mysql => looked.gtids,
            Dialect::Mariadb => text::later(&done.gtids, &looked.gtids),
        };
        (done.tables_checked, done.xa_prepared) = (Some(looked.tables), Some(looked.prepared));
        Ok(())
    }
}

/// A folder for this user alone, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, String> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("baton-restore-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| format!("{} cannot be made: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
