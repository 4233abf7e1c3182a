//! Replication, semi-sync, and a writer that moves.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_node::sql::{CloseOptions, Glance, ManagedServer, Permit, SqlError};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions, Server, StallMeter, until};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::managed::{BOUND, Managed, SOON, insert};

/// Three servers: the writer goes from one to another and back, nothing received is lost, and the last acker dies.
pub(crate) async fn moves_the_writer(dialect: Dialect) -> Result<()> {
    let options = SandboxOptions { kind: Some(Hosts::Loopback), ..SandboxOptions::new(dialect) };
    let sandbox = Sandbox::new(options).await?;
    let servers = sandbox.servers().await?;
    let mut managed = Vec::new();
    for server in &servers {
        managed.push(Managed::new(server).await?);
    }
    let [a, b, c] = &managed[..] else { unreachable!("three servers") };
    let permit = Permit::unconditional();

    // The beginning: b and c follow a, acknowledging.
    for replica in [b, c] {
        replica.sql.set_acker(true, &permit).await?;
        replica.sql.follow(&a.as_source(), &permit).await?;
    }
    let mut pin = a.pin().await?;
    pin.make_source_wait(1, &permit, BOUND).await?;
    ackers(a, 2).await?;
    pin.open(&permit, BOUND).await?;
    let mut client = a.client().await?;
    for seq in 0..20 {
        client.query_drop(insert(1, seq)).await?;
    }
    let everything = a.sql.executed().await?;
    for replica in [b, c] {
        ensure!(replica.sql.wait_applied(&everything, SOON).await?, "not applied");
        let seen = replica.sql.pulse().await?;
        ensure!(
            seen.executed == everything && seen.all_applied() && seen.semi_sync.replica_acking,
            "{seen:?}"
        );
        let channel = seen.replication.context("no channel")?;
        ensure!(channel.io_running && channel.sql_running && channel.auto_position, "{channel:?}");
        ensure!(channel.source_id == Some(1) && channel.events_marker > 0, "{channel:?}");
        heartbeats_rise(replica).await?;
    }
    glances_show_what_pulses_do(a, b).await.context("glances")?;
    let refused = a.sql.follow(&b.as_source(), &permit).await;
    ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "an open server follows: {refused:?}");
    receivers_starve_and_feed(a, [b, c], &mut client).await.context("starve")?;
    received_is_not_thrown_away(c, &mut client).await.context("received")?;
    an_acker_comes_and_goes(a, c).await.context("acker")?;
    a_commit_that_nobody_acknowledged_is_no_obstacle(a, [b, c]).await.context("prove")?;

    move_to(b, a, &[c]).await.context("there")?;
    move_to(a, b, &[c]).await.context("and back")?;
    let last = a.sql.executed().await?;
    for replica in [b, c] {
        ensure!(replica.sql.wait_applied(&last, SOON).await?, "not applied");
        ensure!(replica.sql.executed().await? == last);
    }
    // An ending: forgetting twice is as good as once.
    b.sql.forget_source(&permit).await?;
    b.sql.forget_source(&permit).await?;
    ensure!(b.sql.pulse().await?.replication.is_none());
    lets_go_of_a_dead_acker(a, c.server).await.context("let go")
}

/// The last acker dies: the writer's commits wait until it is let go, and then neither they nor new connections do.
async fn lets_go_of_a_dead_acker(writer: &Managed<'_>, acker: &Server) -> Result<()> {
    const QUICK: Duration = Duration::from_millis(800);
    let permit = Permit::unconditional();
    let machine = StallMeter::start(writer.server.host().folder())?;
    acker.kill(rustix::process::Signal::KILL)?;
    for _again in 0..2 {
        let mut client = writer.client().await?;
        let commit = tokio::spawn(async move { client.query_drop(insert(6, 1)).await });
        until("the commit to wait", SOON, async || {
            Ok((writer.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
        })
        .await?;
        let begun = Instant::now();
        let (gone, released) = tokio::join!(writer.sql.let_go(&permit), async {
            tokio::time::timeout(SOON, commit).await???;
            anyhow::Ok(begun.elapsed())
        });
        let (released, took) = (released?, begun.elapsed());
        eprintln!("{}: released after {released:?}, all of it took {took:?}", writer.server.dialect());
        ensure!(released < QUICK + machine.since(begun), "released after {released:?}");
        gone?;
        let mut late = writer.client().await?;
        late.query_drop(insert(6, 2)).await?;
        let took = begun.elapsed();
        ensure!(took < Duration::from_secs(2) + machine.since(begun), "{took:?}");
        // And it can be made to wait again.
        let mut pin = writer.pin().await?;
        pin.make_source_wait(1, &permit, BOUND).await?;
    }
    Ok(())
}

/// A glance tells a channel that runs from one that does not, as the pulse does, and shows the same set and switch.
async fn glances_show_what_pulses_do(writer: &Managed<'_>, replica: &Managed<'_>) -> Result<()> {
    let permit = Permit::unconditional();
    let of_writer = writer.sql.glance(false).await?;
    ensure!(of_writer == Glance::of(&writer.sql.pulse().await?), "{of_writer:?}");
    ensure!(!of_writer.switch.is_closed() && !of_writer.replicates, "{of_writer:?}");
    for runs in [true, false, true] {
        if runs {
            replica.sql.start_receiver(&permit).await?;
        } else {
            replica.sql.stop_receiver(&permit).await?;
        }
        until("the channel to run or not", SOON, async || {
            let (pulse, glance) = (replica.sql.pulse().await?, replica.sql.glance(true).await?);
            Ok((Glance::of(&pulse) == glance && glance.replicates == runs).then_some(()))
        })
        .await?;
        ensure!(!replica.sql.glance(false).await?.replicates, "not asked for");
    }
    Ok(())
}

async fn ackers(source: &Managed<'_>, wanted: u32) -> Result<()> {
    until("the ackers to connect", SOON, async || {
        Ok((source.sql.pulse().await?.semi_sync.ackers == wanted).then_some(()))
    })
    .await
}

async fn heartbeats_rise(replica: &Managed<'_>) -> Result<()> {
    let beats =
        async || Ok::<_, SqlError>(replica.sql.pulse().await?.replication.map_or(0, |c| c.heartbeats));
    let before = beats().await?;
    until("a heartbeat", SOON, async || Ok((beats().await? > before).then_some(()))).await
}

/// Without receivers the source's commits wait; with one again they end.
async fn receivers_starve_and_feed(
    a: &Managed<'_>,
    replicas: [&Managed<'_>; 2],
    client: &mut Conn,
) -> Result<()> {
    let permit = Permit::unconditional();
    for replica in replicas {
        replica.sql.stop_receiver(&permit).await?;
        replica.sql.stop_receiver(&permit).await?;
        let channel = replica.sql.pulse().await?.replication.context("no channel")?;
        ensure!(!channel.io_started && channel.sql_running, "{channel:?}");
    }
    let commit = client.query_drop(insert(2, 1));
    let feed = async {
        until("the commit to wait", SOON, async || {
            Ok((a.sql.pulse().await?.semi_sync.waiting_sessions == 1).then_some(()))
        })
        .await?;
        for replica in replicas {
            replica.sql.start_receiver(&permit).await?;
        }
        anyhow::Ok(())
    };
    let (commit, feed) = tokio::time::timeout(SOON, async { tokio::join!(commit, feed) }).await?;
    commit?;
    feed
}

/// The switch takes effect on a running replica, both ways.
async fn an_acker_comes_and_goes(source: &Managed<'_>, replica: &Managed<'_>) -> Result<()> {
    let permit = Permit::unconditional();
    for (on, wanted) in [(false, 1), (true, 2)] {
        replica.sql.set_acker(on, &permit).await?;
        ackers(source, wanted).await?;
        until("the replica to stream", SOON, async || {
            let seen = replica.sql.pulse().await?;
            let streams = seen.replication.is_some_and(|c| c.io_running && c.sql_running);
            Ok((streams && seen.semi_sync.replica_acking == on).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// With the applier stopped and events received, nothing that would lose them is done.
/// A commit that reached replicas while they acknowledged nothing is not acknowledged by them later: a proof that waits
/// on it must not keep the next from being made, which is acknowledged, and the first with it.
async fn a_commit_that_nobody_acknowledged_is_no_obstacle(
    source: &Managed<'_>,
    replicas: [&Managed<'_>; 2],
) -> Result<()> {
    let permit = Permit::unconditional();
    for replica in replicas {
        replica.sql.set_acker(false, &permit).await?;
    }
    ackers(source, 0).await?;
    let before = source.sql.executed().await?;
    let proved = source.sql.prove_commit(Duration::from_millis(500)).await;
    ensure!(matches!(proved, Err(SqlError::TimedOut { .. })), "acknowledged by nobody: {proved:?}");
    for replica in replicas {
        until("the commit to arrive", SOON, async || {
            Ok((!replica.sql.received().await?.subtract(&before)?.is_empty()).then_some(()))
        })
        .await?;
        replica.sql.set_acker(true, &permit).await?;
    }
    ackers(source, 2).await?;
    source.sql.prove_commit(BOUND).await.context("the next proof")?;
    until("nobody to wait", SOON, async || {
        Ok((source.sql.pulse().await?.semi_sync.waiting_sessions == 0).then_some(()))
    })
    .await
}

async fn received_is_not_thrown_away(replica: &Managed<'_>, client: &mut Conn) -> Result<()> {
    let permit = Permit::unconditional();
    let stop = match replica.server.dialect() {
        Dialect::MySql => "STOP REPLICA SQL_THREAD",
        Dialect::MariaDb => "STOP SLAVE SQL_THREAD",
    };
    replica.server.execute([stop]).await?;
    client.query_drop(insert(3, 1)).await?;
    until(
        "the event to arrive",
        SOON,
        async || Ok((!replica.sql.pulse().await?.all_applied()).then_some(())),
    )
    .await?;
    let received = replica.sql.received().await?;
    ensure!(!replica.sql.wait_applied(&received, BOUND).await?, "applied without an applier");
    let refused = replica.sql.forget_source(&permit).await;
    ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "{refused:?}");
    if replica.server.dialect() == Dialect::MariaDb {
        let refused = replica.sql.stop_receiver(&permit).await;
        ensure!(matches!(refused, Err(SqlError::Unsafe(_))), "{refused:?}");
    }
    ensure!(replica.sql.received().await?.contains(&received)?);
    if replica.server.dialect() == Dialect::MariaDb {
        // By hand: from here on a start by GTID would begin with an empty relay log.
        replica.server.execute(&["STOP SLAVE"]).await?;
        replica.sql.start_applier(&permit).await?;
        ensure!(replica.sql.wait_applied(&received, SOON).await?, "the relay log was thrown away");
        let alone = replica.sql.pulse().await?.replication.context("no channel")?;
        ensure!(!alone.io_started, "it was received once more: {alone:?}");
        replica.sql.start_receiver(&permit).await?;
        let channel = replica.sql.pulse().await?.replication.context("no channel")?;
        ensure!(channel.auto_position && channel.io_started && channel.sql_running, "{channel:?}");
        return Ok(());
    }
    replica.sql.start_applier(&permit).await?;
    replica.sql.start_receiver(&permit).await?;
    ensure!(replica.sql.wait_applied(&received, SOON).await?);
    Ok(())
}

/// A planned switchover as the operation will do it, from `old` to `new`, siblings last.
async fn move_to(new: &Managed<'_>, old: &Managed<'_>, siblings: &[&Managed<'_>]) -> Result<()> {
    let permit = Permit::unconditional();
    new.sql.warm_up().await?;
    old.sql.warm_up().await?;
    let mut pin = new.pin().await?;
    let begun = Instant::now();
    let proof = old.sql.close(&CloseOptions::default()).await?;
    ensure!(new.sql.wait_applied(&proof.executed, SOON).await?, "not applied");
    ensure!(new.sql.executed().await? == old.sql.executed().await?, "not equal");
    new.sql.forget_source(&permit).await?;
    new.sql.set_acker(false, &permit).await?;
    let attach = async {
        old.sql.set_acker(true, &permit).await?;
        old.sql.follow(&new.as_source(), &permit).await?;
        pin.make_source_wait(1, &permit, BOUND).await?;
        ackers(new, 1).await?;
        pin.open(&permit, BOUND).await?;
        eprintln!("{}: the SQL of a switchover takes {:?}", new.server.dialect(), begun.elapsed());
        let mut client = new.client().await?;
        tokio::time::timeout(SOON, client.query_drop(insert(5, 1))).await??;
        for sibling in siblings {
            sibling.sql.follow(&new.as_source(), &permit).await?;
        }
        ackers(new, 2).await
    };
    old.sql.stop_waiting(&permit).await?;
    attach.await?;
    until("the source side to be off", SOON, async || {
        old.sql.stop_waiting(&permit).await?;
        Ok((!old.sql.pulse().await?.semi_sync.source_enabled).then_some(()))
    })
    .await
}
