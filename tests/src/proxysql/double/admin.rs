//! The admin interface: what each command of the protocol is answered, as it was measured.

use std::sync::Arc;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};

use super::answer::Answer;
use super::wire::Wire;
use super::{Shared, commands, session};
use crate::proxysql::ADMIN;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    session::take(listener, shared, |stream, id, shared| async move {
        // A client that went away is no concern of anybody.
        let _gone = converse(stream, id, &shared).await;
    })
    .await;
}

async fn converse(stream: TcpStream, id: u32, shared: &Shared) -> Result<()> {
    shared.answers().await;
    let from = stream.peer_addr()?.ip();
    let mut wire = Wire::new(stream);
    let guest = wire.greet(id).await?;
    shared.answers().await;
    if guest.user == "admin" && !from.is_loopback() {
        let refusal = Answer::Error {
            code: 1040,
            state: "42000".into(),
            message: "User 'admin' can only connect locally".into(),
        };
        return wire.answer(&refusal).await;
    }
    if guest.user != ADMIN.0 || !guest.knows(ADMIN.1) {
        let with = if guest.proof.is_empty() { "NO" } else { "YES" };
        let message = format!(
            "ProxySQL Error: Access denied for user '{}'@'{from}' (using password: {with})",
            guest.user
        );
        return wire.answer(&Answer::error(1045, message)).await;
    }
    wire.answer(&Answer::done(0)).await?;
    while let Some(packet) = wire.read().await? {
        shared.answers().await;
        let Some((command, body)) = packet.split_first() else { return Ok(()) };
        if !answer(&mut wire, shared, *command, body).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Answers one command. Says whether the connection goes on.
async fn answer(wire: &mut Wire, shared: &Shared, command: u8, body: &[u8]) -> Result<bool> {
    match command {
        3 => {
            let statement = String::from_utf8_lossy(body);
            shared.tables.note(&statement);
            let answer = commands::answer(shared, &statement);
            wire.answer(&answer).await?;
            return Ok(answer != Answer::Crash);
        }
        // INIT_DB with any name, PING, STMT_RESET.
        2 | 14 | 26 => wire.answer(&Answer::done(0)).await?,
        27 => wire.end_of_data().await?,
        9 => wire.plain("Uptime: 132 Threads: 0  Questions: 0  Slow queries: 0").await?,
        // FIELD_LIST, STMT_PREPARE, STMT_EXECUTE.
        4 | 22 | 23 => wire.answer(&Answer::error(1045, "Command not supported")).await?,
        12 => wire.answer(&Answer::error(9003, "Command not supported")).await?,
        31 => {
            wire.skip();
            let message =
                "Received unsupported 'COM_RESET_CONNECTION' for session type 'PROXYSQL_SESSION_ADMIN'";
            wire.answer(&Answer::error(1047, message)).await?;
        }
        // SEND_LONG_DATA without a body.
        24 if body.is_empty() => {
            shared.crash();
            return Ok(false);
        }
        // STMT_CLOSE and SEND_LONG_DATA have no answer; CHANGE_USER, BINLOG_DUMP and REGISTER_SLAVE should have one.
        24 | 25 | 17 | 18 | 21 | 30 => {}
        _ => return Ok(false),
    }
    Ok(true)
}
