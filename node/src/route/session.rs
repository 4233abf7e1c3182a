//! One session: a client and the server that greeted it, until one of them ends it or its server may no longer have it.

use std::{
    future::pending,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Routes,
    conversation::{Conversation, Parting},
    leaving::Entered,
    pump::{Broken, Pump},
    target::{self, Fate, Port},
    wire::ServerError,
};

/// How long a cut waits for the rest of a packet that has begun to arrive.
const DRAIN_TIME: Duration = Duration::from_millis(50);
/// How much that has arrived already is still delivered at a cut, beyond the packet under way.
const DRAIN_BYTES: usize = 256 * 1024;
/// How long a client that has been told the end is given to read it. Closing at once, while it still sends, would make
/// its kernel throw the error packet away.
const LINGER: Duration = Duration::from_secs(1);

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    ClientGone,
    ServerGone,
    Cut,
    /// Its server was lost before anything was said: the client can still be given another one.
    Ungreeted,
}

enum Event {
    ClientGone,
    ServerGone,
    ServerUnwritable,
    Cut(ServerError),
}

/// What is said in one session, for those who pass it on and for whoever waits for its end.
#[derive(Default)]
pub(super) struct Talk {
    conversation: Mutex<Conversation>,
    /// Told when a reply may have come to its end.
    moved: Notify,
}

impl Talk {
    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the session stands between two statements. One that cannot be followed does so at once where
    /// `opaque_at_once`, and never otherwise.
    async fn between_statements(&self, opaque_at_once: bool) {
        loop {
            {
                let conversation = self.conversation();
                if conversation.is_between_statements() || (opaque_at_once && conversation.is_opaque()) {
                    return;
                }
            }
            self.moved.notified().await;
        }
    }
}

/// Runs the session. `cut` says when it must end and with what words. `entered` goes with the server.
pub(super) async fn run(
    client: &mut TcpStream,
    (server, entered): (TcpStream, Option<Entered>),
    talk: &Talk,
    cut: impl Future<Output = ServerError>,
) -> Ending {
    let tell = |to: fn(&mut Conversation, &[u8]), bytes: &[u8]| {
        to(&mut talk.conversation(), bytes);
        talk.moved.notify_one();
    };
    let (mut down, mut up) = (Pump::default(), Pump::default());
    let event = tokio::select! {
        why = cut => Event::Cut(why),
        broken = down.run(&server, client, |bytes| tell(Conversation::on_server, bytes)) => match broken {
            Broken::From => Event::ServerGone,
            Broken::To => Event::ClientGone,
        },
        broken = up.run(client, &server, |bytes| tell(Conversation::on_client, bytes)) => match broken {
            Broken::From => Event::ClientGone,
            Broken::To => Event::ServerUnwritable,
        },
    };
    // Nobody else looks at it from here on.
    let mut conversation = std::mem::take(&mut *talk.conversation());
    if conversation.parting() == Parting::Greeting && !matches!(event, Event::ClientGone) {
        return Ending::Ungreeted;
    }
    let (ending, error) = match event {
        Event::ClientGone => return Ending::ClientGone,
        Event::ServerGone | Event::ServerUnwritable => (Ending::ServerGone, server_gone()),
        Event::Cut(error) => (Ending::Cut, error),
    };
    // At the latest here the server is let go, before anything that depends on the client's pace.
    // Between two statements the server is not held up, and the client may take its time with the last reply.
    let (within, entered) = match conversation.is_between_statements() {
        // Nothing more of this client reaches the server, however slowly it reads.
        true => (LINGER, None),
        false => (DRAIN_TIME, entered),
    };
    let drained = timeout(within, drain(&mut down, client, &server, &mut conversation)).await;
    drop((server, entered));
    if matches!(drained, Ok(Ok(()))) && down.is_empty() {
        part(client, conversation.parting(), &ending, &error).await;
    }
    ending
}

/// Delivers what the server has sent, up to a packet's boundary.
async fn drain(
    down: &mut Pump,
    client: &TcpStream,
    server: &TcpStream,
    conversation: &mut Conversation,
) -> io::Result<()> {
    let mut budget = DRAIN_BYTES;
    loop {
        down.flush(client).await?;
        let missing = conversation.server_missing();
        let most = if missing > 0 { missing } else { budget };
        if most == 0 {
            return Ok(());
        }
        match down.take_arrived(server, most) {
            Ok(bytes) if !bytes.is_empty() => {
                conversation.on_server(bytes);
                budget = budget.saturating_sub(bytes.len());
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && missing > 0 => server.readable().await?,
            // Nothing more has arrived, or nothing more will.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}

/// Tells the client why the session ends, if there is a place for it, and lets it read that.
///
/// A server that closes an idle session needs no words of ours: the end of the connection says it.
async fn part(client: &mut TcpStream, parting: Parting, ending: &Ending, error: &ServerError) {
    let packet = match parting {
        Parting::Close | Parting::Reply { awaited: false, .. } if *ending == Ending::ServerGone => return,
        Parting::Close => return,
        Parting::Greeting => error.as_greeting(),
        Parting::Reply { sequence, .. } => error.as_reply(sequence),
    };
    farewell(client, &packet).await;
}

/// Sends a last packet and closes, after the client has closed or [`LINGER`] has passed.
pub(super) async fn farewell(client: &mut TcpStream, packet: &[u8]) {
    let last_words = async {
        client.write_all(packet).await?;
        client.shutdown().await?;
        let mut ignored = [0; 1024];
        while client.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the client took them is its own affair: the connection ends here either way.
    let _ = timeout(LINGER, last_words).await;
}

/// Waits until the session on `found` must be cut, and says why.
pub(super) async fn must_end(
    talk: &Talk,
    found: target::Target,
    port: Port,
    leave_within: Duration,
    routes: watch::Receiver<Routes>,
    shutdown: CancellationToken,
) -> ServerError {
    tokio::select! {
        (epoch, how) = role_lost(talk, found, port, leave_within, routes) => ServerError::not_here(format!(
            "Baton: this server is no longer a {} (epoch {epoch}); reconnect. {}",
            port.name(),
            match how {
                Left::BetweenStatements => "No statement was under way.",
                Left::AtOnce => "A statement under way may or may not have taken effect.",
            },
        )),
        () = shutdown.cancelled() => ServerError::not_here(
            "Baton: the router is stopping; reconnect. \
             A statement under way may or may not have taken effect.".into(),
        ),
    }
}

/// How a server is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    BetweenStatements,
    AtOnce,
}

/// Waits until the session may not go on, and between two statements where its server still serves. A server that gets its
/// role back before that keeps the session.
async fn role_lost(
    talk: &Talk,
    found: target::Target,
    port: Port,
    leave_within: Duration,
    mut routes: watch::Receiver<Routes>,
) -> (u64, Left) {
    let mut leaves_since = None;
    loop {
        let (fate, epoch) = {
            let now = routes.borrow_and_update();
            (target::fate(found, &now), now.epoch)
        };
        let until = match fate {
            Fate::Ends => return (epoch, Left::AtOnce),
            Fate::Stays => {
                leaves_since = None;
                None
            }
            Fate::Leaves => Some(*leaves_since.get_or_insert_with(Instant::now) + leave_within),
        };
        let overdue = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        let changed = async {
            // Nobody will publish routes any more: the last ones stay in force.
            if routes.changed().await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = talk.between_statements(port == Port::Writer), if until.is_some() => {
                return (epoch, Left::BetweenStatements);
            }
            () = overdue => return (epoch, Left::AtOnce),
            () = changed => {}
        }
    }
}

fn server_gone() -> ServerError {
    ServerError::not_here(
        "Baton: the server closed the connection; reconnect. \
         A statement under way may or may not have taken effect."
            .into(),
    )
}
