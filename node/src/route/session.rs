//! One session: a client and the server that greeted it, until one of them ends it or its server may no longer have it.

use std::{
    future::pending,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Routes,
    conversation::{Conversation, Parting},
    pump::{Broken, Pump},
    target::{self, Port},
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

/// Runs the session. `cut` says when it must end and with what words.
pub(super) async fn run(
    client: &mut TcpStream,
    server: TcpStream,
    cut: impl Future<Output = ServerError>,
) -> Ending {
    let conversation = Mutex::new(Conversation::default());
    let tell = |to: fn(&mut Conversation, &[u8]), bytes: &[u8]| {
        to(&mut conversation.lock().unwrap_or_else(PoisonError::into_inner), bytes);
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
    let mut conversation = conversation.into_inner().unwrap_or_else(PoisonError::into_inner);
    if conversation.parting() == Parting::Greeting && !matches!(event, Event::ClientGone) {
        return Ending::Ungreeted;
    }
    let (ending, error) = match event {
        Event::ClientGone => return Ending::ClientGone,
        Event::ServerGone | Event::ServerUnwritable => (Ending::ServerGone, server_gone()),
        Event::Cut(error) => (Ending::Cut, error),
    };
    // At the latest here the server is let go, before anything that depends on the client's pace.
    let drained = timeout(DRAIN_TIME, drain(&mut down, client, &server, &mut conversation)).await;
    drop(server);
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
    found: target::Target,
    port: Port,
    mut routes: watch::Receiver<Routes>,
    shutdown: CancellationToken,
) -> ServerError {
    let role_lost = async {
        loop {
            let (stays, epoch) = {
                let now = routes.borrow_and_update();
                (target::may_stay(found, &now), now.epoch)
            };
            if !stays {
                return epoch;
            }
            if routes.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    };
    tokio::select! {
        epoch = role_lost => ServerError::not_here(format!(
            "Baton: this server is no longer a {} (epoch {epoch}); reconnect. \
             A statement under way may or may not have taken effect.",
            port.name(),
        )),
        () = shutdown.cancelled() => ServerError::not_here(
            "Baton: the router is stopping; reconnect. \
             A statement under way may or may not have taken effect.".into(),
        ),
    }
}

fn server_gone() -> ServerError {
    ServerError::not_here(
        "Baton: the server closed the connection; reconnect. \
         A statement under way may or may not have taken effect."
            .into(),
    )
}
