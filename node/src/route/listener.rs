//! Accepting connections on one port and seeing each to its end.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Routes, Shared,
    hold::{self, NotFound},
    session::{self, Ending, Talk},
    socket,
    target::Port,
    wire::ServerError,
};

/// The pause after the system could not give us a connection, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long sessions get to end when the router stops.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Serves one port until `shutdown`, and returns when its sessions have ended or [`STOP_TIME`] has passed.
pub(super) async fn serve(
    listener: TcpListener,
    port: Port,
    shared: Arc<Shared>,
    routes: watch::Receiver<Routes>,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut turn = 0_usize;
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((client, _)) => {
                failing = false;
                turn = turn.wrapping_add(1);
                let connection =
                    Connection { port, turn, shared: Arc::clone(&shared), routes: routes.clone() };
                connections.spawn(connection.run(client, shutdown.clone()));
            }
            Err(error) => refused_by_system(port, &error, &mut failing).await,
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_TIME, all_ended).await.is_err() {
        tracing::warn!(port = port.name(), "sessions did not end in time and are dropped");
    }
}

/// Logs the first of a row of failures to accept, and waits before the next try.
async fn refused_by_system(port: Port, error: &io::Error, failing: &mut bool) {
    if !*failing {
        tracing::warn!(port = port.name(), %error, "cannot accept connections; is LimitNOFILE high enough?");
    }
    *failing = true;
    sleep(ACCEPT_PAUSE).await;
}

/// One client's connection.
struct Connection {
    port: Port,
    /// Its number on this port, which picks its reader.
    turn: usize,
    shared: Arc<Shared>,
    routes: watch::Receiver<Routes>,
}

impl Connection {
    async fn run(mut self, mut client: TcpStream, shutdown: CancellationToken) {
        // A socket that cannot be set has lost its client already.
        if socket::prepare(&client).is_err() {
            return;
        }
        let sessions = Arc::clone(&self.shared.sessions);
        let Ok(_place) = sessions.try_acquire() else {
            return self.refuse(&mut client, self.too_many_sessions()).await;
        };
        let until = Instant::now() + self.shared.options.hold_for;
        loop {
            let found = tokio::select! {
                found = self.find(&client, until) => found,
                () = shutdown.cancelled() => {
                    let error = ServerError::not_here("Baton: the router is stopping; reconnect.".into());
                    return self.refuse(&mut client, error).await;
                }
            };
            let found = match found {
                Ok(found) => found,
                Err(NotFound::ClientGone) => return,
                Err(NotFound::TooManyHeld) => return self.refuse(&mut client, self.too_many_held()).await,
                Err(NotFound::NoServer) => return self.refuse(&mut client, self.no_server()).await,
            };
            if self.session(&mut client, found, shutdown.clone()).await != Ending::Ungreeted {
                return;
            }
        }
    }

    async fn find(&mut self, client: &TcpStream, until: Instant) -> Result<hold::Found, NotFound> {
        hold::find(client, self.port, &self.shared, &mut self.routes, self.turn, until).await
    }

    async fn session(
        &self,
        client: &mut TcpStream,
        found: hold::Found,
        shutdown: CancellationToken,
    ) -> Ending {
        let counters = &self.shared.counters;
        counters.count(|c| &c.sessions_total);
        let _gauge = counters.raise(match self.port {
            Port::Writer => |c| &c.writer_sessions,
            Port::Reader => |c| &c.reader_sessions,
        });
        let talk = Talk::default();
        let at_writer = found.target.writer_epoch().filter(|_| self.port == Port::Writer);
        let entered = at_writer.map(|epoch| self.shared.leaving.enter(epoch));
        let within = self.shared.options.leave_within;
        let cut = session::must_end(&talk, found.target, self.port, within, self.routes.clone(), shutdown);
        let ending = session::run(client, (found.stream, entered), &talk, cut).await;
        match ending {
            Ending::Cut => counters.count(|c| &c.cut_total),
            Ending::ServerGone => counters.count(|c| &c.server_gone_total),
            Ending::ClientGone | Ending::Ungreeted => {}
        }
        ending
    }

    /// Says why there will be no session, in place of the greeting.
    async fn refuse(&self, client: &mut TcpStream, error: ServerError) {
        self.shared.counters.count(|c| &c.refused_total);
        session::farewell(client, &error.as_greeting()).await;
    }

    fn too_many_sessions(&self) -> ServerError {
        ServerError::too_many(format!(
            "Baton: the router has its {} sessions; raise its limit or use fewer connections.",
            self.shared.options.sessions_max,
        ))
    }

    fn too_many_held(&self) -> ServerError {
        ServerError::too_many(format!(
            "Baton: no {} now, and {} connections already wait for one; try again later.",
            self.port.name(),
            self.shared.options.held_max,
        ))
    }

    fn no_server(&self) -> ServerError {
        ServerError::not_here(format!(
            "Baton: no {} for {} (epoch {}); see `batonctl status`, or try again later.",
            self.port.name(),
            humantime::format_duration(self.shared.options.hold_for),
            self.routes.borrow().epoch,
        ))
    }
}
