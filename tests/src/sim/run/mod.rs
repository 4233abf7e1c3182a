//! One run: a cluster is adopted, clients write, faults come and go, and every invariant is asked all the time; then
//! there are no faults any more, and it must come to rest.

mod clients;
mod faults;
pub mod liveness;
mod planned;
pub mod steps;
mod watch;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_node::mutation::{Mutation, switch};
use baton_node::state::{Change, OperationId};
use tokio::runtime::Builder;
use tokio::time::Instant;

use self::clients::Ledger;
use self::faults::Faults;
use self::planned::Planned;
use self::watch::Watch;
use super::world::World;

/// How long a cluster may take to form and to be adopted.
const FORMS_WITHIN: Duration = Duration::from_secs(60);
/// A run is at least so long.
const LENGTH: Duration = Duration::from_secs(120);
/// And clients try so many writes.
const WRITES: u64 = 1000;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// A breakage of the protocol, to see it found.
    pub mutation: Option<Mutation>,
    /// Shows the trace while it goes on.
    pub shown: bool,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub broken: Option<String>,
    /// The end of the trace.
    pub trace: Vec<String>,
    /// Lines of the trace and their digest.
    pub digest: (u64, u64),
    /// Virtual time.
    pub length: Duration,
    /// Faults.
    pub faults: u64,
    /// Writes that clients tried, and those that were acknowledged to them.
    pub writes: (u64, u64),
    /// The last epoch.
    pub epochs: u64,
}

/// Runs a seed on this thread.
///
/// # Errors
/// When the simulation itself cannot run.
pub fn run(options: Options) -> Result<Report, super::world::WorldError> {
    let runtime = seeded(options.seed).enable_time().start_paused(true).build()?;
    switch(options.mutation);
    let report = runtime.block_on(play(options));
    drop(runtime);
    switch(None);
    baton_node::cut::watch(None);
    report
}

/// A runtime whose `select!` draws from the seed.
#[cfg(tokio_unstable)]
fn seeded(seed: u64) -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()));
    builder
}

/// Built without the flag that `script/simulate` sets, the same seed does not give the same run.
#[cfg(not(tokio_unstable))]
fn seeded(_: u64) -> Builder {
    Builder::new_current_thread()
}

async fn play(options: Options) -> Result<Report, super::world::WorldError> {
    let begun = Instant::now();
    let world = Arc::new(World::new(options.seed, options.shown).await?);
    let (ledger, made) = (Arc::new(Ledger::default()), Arc::new(AtomicU64::new(0)));
    let played = scenes(&world, begun, &ledger, &made).await;
    Ok(Report {
        seed: options.seed,
        broken: played.err(),
        trace: world.trace.tail(),
        digest: world.trace.digest(),
        length: begun.elapsed(),
        faults: made.load(Ordering::Relaxed),
        writes: (ledger.tried(), ledger.acknowledged()),
        epochs: world.newest().0.epoch().0,
    })
}

async fn scenes(
    world: &Arc<World>,
    begun: Instant,
    ledger: &Arc<Ledger>,
    made: &Arc<AtomicU64>,
) -> Result<(), String> {
    tokio::spawn(faults::servers_start_again(Arc::clone(world)));
    let mut watch = Watch::new(Arc::clone(world));
    adopt(world).await?;
    clients::start(world, ledger);
    let faults = Faults::new(Arc::clone(world), world.draw.fork(), Arc::clone(made));
    let breaking = tokio::spawn(faults.run(begun + LENGTH));
    let (changed, enough) = (Cell::new(false), || ledger.tried() >= WRITES);
    let planned = async {
        Planned::make(world, &world.draw.fork()).await?;
        changed.set(true);
        Ok(())
    };
    let watched = async {
        while !(breaking.is_finished() && changed.get() && enough()) {
            watch.run(Duration::from_millis(500)).await?;
        }
        Ok::<_, String>(())
    };
    tokio::try_join!(planned, watched)?;
    let rests = tokio::spawn({
        let world = Arc::clone(world);
        async move { liveness::comes_to_rest(&world).await }
    });
    while !rests.is_finished() {
        watch.run(Duration::from_millis(100)).await?;
    }
    rests.await.map_err(|e| e.to_string())?
}

async fn adopt(world: &Arc<World>) -> Result<(), String> {
    let formed = |w: &World| w.leader().is_some() && w.newest().0.cluster.is_some();
    if !world.until(FORMS_WITHIN, formed).await {
        return Err("the group has not formed".into());
    }
    let leader = world.leader().ok_or("nobody leads")?;
    leader.propose(Change::Adopt {
        operation: OperationId("adopt".into()),
        node: "db1".into(),
        by: "the simulation".into(),
    });
    let adopted = |w: &World| w.newest().0.live_grant().is_some_and(|g| !g.unleased);
    if world.until(FORMS_WITHIN, adopted).await {
        return Ok(());
    }
    Err("the writer was not adopted".into())
}
