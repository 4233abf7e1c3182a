//! Finding a server for a new connection, and holding the connection while there is none.

use std::{future::pending, time::Duration};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Routes, Shared,
    counters::Raised,
    socket,
    target::{Port, Target, candidates},
};

/// The pause before a server that did not answer is tried again; it doubles up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// How long an accepted connection may take to bring the greeting. A server that looks up the client's name first can
/// need seconds; MySQL itself gives a client 10 s for its part.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that has begun to greet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stream: TcpStream,
    pub(super) target: Target,
}

/// Why a connection gets no server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// The client went away while it was held.
    ClientGone,
    /// As many as may wait are waiting.
    TooManyHeld,
    /// The time to wait is over.
    NoServer,
}

/// Finds the server for `client`, waiting for it until `until`. The greeting is not consumed: nothing has been said to
/// the client when this returns, so a server that dies before its greeting costs the client only time.
pub(super) async fn find(
    client: &TcpStream,
    port: Port,
    shared: &Shared,
    routes: &mut watch::Receiver<Routes>,
    turn: usize,
    until: Instant,
) -> Result<Found, NotFound> {
    tokio::select! {
        found = timeout_at(until, seek(port, shared, routes, turn)) => found.unwrap_or(Err(NotFound::NoServer)),
        () = gone(client) => Err(NotFound::ClientGone),
    }
}

async fn seek(
    port: Port,
    shared: &Shared,
    routes: &mut watch::Receiver<Routes>,
    turn: usize,
) -> Result<Found, NotFound> {
    let mut held = None;
    let mut pause = PAUSE_MIN;
    loop {
        let targets = candidates(port, &routes.borrow_and_update(), turn);
        let found = tokio::select! {
            found = reach_one(&targets, shared.options.connect_timeout) => found,
            () = targets_differ(routes, port, turn, &targets) => {
                pause = PAUSE_MIN;
                continue;
            }
        };
        if let Some(found) = found {
            return Ok(found);
        }
        if held.is_none() {
            held = Some(Held::begin(shared)?);
        }
        tokio::select! {
            () = sleep(pause), if !targets.is_empty() => pause = (pause * 2).min(PAUSE_MAX),
            () = targets_differ(routes, port, turn, &targets) => pause = PAUSE_MIN,
        }
    }
}

/// The first of `targets` that greets.
async fn reach_one(targets: &[Target], connect_timeout: Duration) -> Option<Found> {
    for &target in targets {
        if let Some(stream) = reach(target, connect_timeout).await {
            return Some(Found { stream, target });
        }
    }
    None
}

/// A connection to `target` on which the first byte of the greeting waits to be read. Why it failed is not kept: the
/// caller tries again whatever it was, and what is wrong with a server is for the observers to say.
async fn reach(target: Target, connect_timeout: Duration) -> Option<TcpStream> {
    let stream = timeout(connect_timeout, TcpStream::connect(target.address)).await.ok()?.ok()?;
    if socket::is_to_itself(&stream) {
        return None;
    }
    socket::prepare(&stream).ok()?;
    let greeting = timeout(GREETING_TIMEOUT, stream.peek(&mut [0])).await.ok()?.ok()?;
    (greeting > 0).then_some(stream)
}

/// Returns once the routes offer something other than `targets`.
async fn targets_differ(routes: &mut watch::Receiver<Routes>, port: Port, turn: usize, targets: &[Target]) {
    while routes.changed().await.is_ok() {
        if candidates(port, &routes.borrow_and_update(), turn) != targets {
            return;
        }
    }
    // Nobody will publish routes any more: the last ones stay in force.
    pending().await
}

/// Returns once the client has closed. A client that speaks before it is greeted cannot be watched for that, because
/// its end comes after what it said.
async fn gone(client: &TcpStream) {
    if let Ok(1..) = client.peek(&mut [0]).await {
        pending().await
    }
}

/// A place among those that wait.
struct Held<'a> {
    _place: tokio::sync::SemaphorePermit<'a>,
    _gauge: Raised,
}

impl<'a> Held<'a> {
    fn begin(shared: &'a Shared) -> Result<Self, NotFound> {
        let place = shared.held.try_acquire().map_err(|_| NotFound::TooManyHeld)?;
        shared.counters.count(|c| &c.held_total);
        Ok(Self { _place: place, _gauge: shared.counters.raise(|c| &c.held) })
    }
}
