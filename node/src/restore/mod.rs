//! Restores a backup with nothing but this program, a store and a private key: no daemon, no cluster and no catalogue is asked.
//! That is what is left when everything else is lost.
//!
//! What is asked comes first and changes nothing (`shelf`, `chain`, `look`), then what speaks against it is decided (`judge`),
//! then the plan is shown, and only then something is written: beside what it is to become, under a name that says that it is
//! not whole, until it is (`work`).

mod act;
mod args;
mod chain;
mod find;
mod flow;
mod judge;
mod look;
mod owner;
mod place;
mod plan;
mod progress;
mod replay;
mod sandbox;
mod shelf;
mod steps;
#[cfg(test)]
mod testing;
mod text;
mod work;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

pub use args::{BackupsArgs, FindArgs, RestoreArgs};
pub use find::Search;
pub use place::StoreArgs;

use crate::backup::account::LocalAccount;
use crate::backup::pipeline::Identity;
use crate::backup::store::Store;
use crate::sql::{Address, Connector};
use chain::{Chain, choose};
use flow::Source;
use judge::{Facts, Verdict, judge, needed_bytes};
use owner::Owner;
use plan::{Target, Way, commands};
use progress::Progress;
use replay::{Fit, Ready, gather, more, render_preview};
use shelf::Shelf;
use text::{Done, List, Listed, Plan};

/// A key file has a few lines.
const KEY_BYTES_MAX: u64 = 1 << 20;
/// Manifests that are read at once, of many small ones.
const AT_ONCE: usize = 8;

/// `baton-node restore`: restores a backup, or says why not.
///
/// # Errors
/// In words: nothing is left that could be taken for a restored server.
pub fn restore(args: &RestoreArgs) -> Result<(), String> {
    on_runtime(unless_ended(run(args)))
}

/// `baton-node backups`: what a store holds.
///
/// # Errors
/// In words.
pub fn backups(args: &BackupsArgs) -> Result<(), String> {
    on_runtime(unless_ended(list(args)))
}

/// `baton-node find`: which transactions of the archive did something.
///
/// # Errors
/// In words: nothing was looked through.
pub fn find(args: &FindArgs) -> Result<Search, String> {
    on_runtime(unless_ended(find::run(args)))
}

fn on_runtime<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime cannot start: {e}"))?;
    let done = runtime.block_on(work);
    // A thread that still waits for a store ends with the process.
    runtime.shutdown_background();
    done
}

/// Ends in good order when somebody wants that: what was begun is removed.
async fn unless_ended<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let on = |kind| signal(kind).map_err(|e| format!("signals cannot be received: {e}"));
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut hangup = on(SignalKind::hangup())?;
    tokio::select! {
        done = work => done,
        _ = term.recv() => Err("it was ended before it was done".into()),
        _ = hangup.recv() => Err("its terminal went away before it was done".into()),
        _ = int.recv() => Err("it was interrupted before it was done".into()),
    }
}

fn open(args: &StoreArgs) -> Result<Store, String> {
    args.place(|path| {
        fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
    })?
    .open()
}

async fn list(args: &BackupsArgs) -> Result<(), String> {
    use futures::{StreamExt, stream};
    let shelf = Shelf::look(open(&args.store)?, args.store.cluster.as_deref()).await?;
    let mut list = List {
        store: shelf.store.name().to_owned(),
        cluster: shelf.cluster.clone(),
        cut_off: shelf.cut_off(),
        ..List::default()
    };
    let shelf = &shelf;
    let reads = stream::iter(shelf.ids()).map(async |id| (shelf.read(&id).await, id)).buffered(AT_ONCE);
    let mut reads = std::pin::pin!(reads);
    while let Some((held, id)) = reads.next().await {
        match held {
            Ok(held) => list.backups.push(Listed::of(held)),
            Err(why) => list.unreadable.push((id, why)),
        }
    }
    if args.json {
        return json(&list);
    }
    print!("{}", list.render());
    Ok(())
}

/// What a restore goes by, once it has looked around.
struct Restore<'a> {
    args: &'a RestoreArgs,
    chain: Chain,
    way: Way,
    target: Target,
    source: Source,
    server: Option<(LocalAccount, Connector)>,
    owner: Option<Owner>,
    facts: Facts,
    /// What it goes on with after the backup.
    ready: Option<Ready>,
    progress: Progress,
}

async fn run(args: &RestoreArgs) -> Result<(), String> {
    let begun = Instant::now();
    let (restore, plan) = prepare(args).await?;
    if !args.json {
        print!("{}", plan.render());
    }
    if args.preview {
        let near = restore.ready.map(|ready| ready.near).unwrap_or_default();
        if args.json {
            return json(&serde_json::json!({ "plan": plan, "transactions": near }));
        }
        print!("\n{}", render_preview(&near));
        return Ok(());
    }
    if !plan.faults.is_empty() {
        if args.json {
            json(&serde_json::json!({ "plan": plan }))?;
        }
        return Err(format!("nothing was done: {}", plan.faults.join("\n            ")));
    }
    if args.dry_run {
        if args.json {
            return json(&serde_json::json!({ "plan": plan }));
        }
        println!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    let done = restore.act(&plan).await;
    restore.progress.end();
    let done = Done { seconds: begun.elapsed().as_secs(), ..done? };
    if args.json {
        return json(&serde_json::json!({ "plan": plan, "restored": done }));
    }
    print!("\n{}", done.render(&plan));
    Ok(())
}

/// Looks at everything and decides.
async fn prepare(args: &RestoreArgs) -> Result<(Restore<'_>, Plan), String> {
    let store = open(&args.store)?;
    let source = Source { store: store.clone(), keys: Arc::new(key(&args.key)?) };
    let shelf = Shelf::look(store, args.store.cluster.as_deref()).await?;
    let target = args.target();
    let backup = args.backup.as_deref();
    let (mut chain, ready) = match args.wanted() {
        None => (choose(&shelf, backup, |_| Ok(Fit::Yes)).await?, None),
        Some(wanted) => {
            let (chain, ready) = gather(&shelf, backup, (&wanted, args.preview), &target, &source).await?;
            (chain, Some(ready))
        }
    };
    if matches!(target, Target::Output(_)) {
        chain.keep_last();
    }
    let Some(last) = chain.last() else { return Err("there is no backup".into()) };
    let way = Way::find(&last.engine, &target)?;
    let server = server(args, &target)?;
    let connector = server.as_ref().map(|(_, connector)| connector);
    let facts = look::look(&chain, way, &target, &source, connector, ready.is_some()).await?;
    let wish = args.wish(ready.as_ref().map(|ready| ready.show.bytes));
    let mut verdict = judge(&chain, way, &target, &facts, wish);
    if ready.is_none() && way != Way::Stream {
        // A restore of the backup alone needs no archive.
        let there = more(&shelf.store, last)
            .await
            .unwrap_or_else(|why| Some(format!("the archive cannot be read: {why}")));
        verdict.warnings.extend(there);
    }
    let owner = match &target {
        Target::Directory(path) | Target::Output(path) => Owner::find(args.owner.as_deref(), path)?,
        Target::Server(_) => None,
    };
    let mut plan = planned(&shelf, &chain, way, &target, &facts, owner.as_ref(), verdict)?;
    plan.needed_bytes = needed_bytes(&chain, way, wish.replayed_bytes);
    plan.replay = ready.as_ref().map(|ready| ready.show.clone());
    let progress = Progress::new(!args.json);
    Ok((Restore { args, chain, way, target, source, server, owner, facts, ready, progress }, plan))
}

fn planned(
    shelf: &Shelf,
    chain: &Chain,
    way: Way,
    target: &Target,
    facts: &Facts,
    owner: Option<&Owner>,
    verdict: Verdict,
) -> Result<Plan, String> {
    let mut plan = Plan::of(chain, shelf.store.name(), verdict).ok_or("there is no backup")?;
    let path = match target {
        Target::Directory(path) | Target::Output(path) | Target::Server(path) => path,
    };
    plan.target = path.display().to_string();
    plan.free_bytes = facts.free_bytes;
    plan.owner = owner.map(|owner| owner.name.clone());
    let work = path.join(work::FOLDER);
    let runs = commands(chain, way, &facts.tools, &work.join("data"), &work.join("increment"));
    plan.runs = runs.iter().map(|words| text::command_line(words)).collect();
    Ok(plan)
}

/// The text of the key file, once it is known to hold keys.
fn key(path: &Path) -> Result<SecretString, String> {
    let failed = |why: &dyn std::fmt::Display| format!("the key file {}: {why}", path.display());
    let size = fs::metadata(path).map_err(|e| failed(&e))?.len();
    if size > KEY_BYTES_MAX {
        return Err(failed(&"it is larger than any key file"));
    }
    let text: SecretString = fs::read_to_string(path).map_err(|e| failed(&e))?.into();
    Identity::read_all(secrecy::ExposeSecret::expose_secret(&text)).map_err(|e| failed(&e))?;
    Ok(text)
}

fn server(args: &RestoreArgs, target: &Target) -> Result<Option<(LocalAccount, Connector)>, String> {
    let Target::Server(socket) = target else { return Ok(None) };
    let password = match &args.password_file {
        None => String::new(),
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
    };
    let password = SecretString::from(password);
    let account =
        LocalAccount { user: args.user.clone(), password: password.clone(), socket: socket.clone() };
    let connector = Connector::new(Address::Socket(socket.clone()), args.user.clone(), password);
    Ok(Some((account, connector)))
}

fn json(what: &impl serde::Serialize) -> Result<(), String> {
    println!("{}", serde_json::to_string_pretty(what).map_err(|e| e.to_string())?);
    Ok(())
}
