//! The data port: each autocommit statement goes to whoever is ONLINE in the user's hostgroup then, and waits while nobody
//! is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, Value};
use rand::seq::IteratorRandom as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Answer;
use super::pool::Used;
use super::wire::Wire;
use super::{Shared, session};
use crate::proxysql::placed::Placed;

/// mysql-connect_timeout_server_max: how long a statement waits for a server.
const WAITS: Duration = Duration::from_secs(10);
/// Between two attempts to reach a server that does not take connections.
const AGAIN: Duration = Duration::from_millis(10);

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    session::take(listener, shared, |stream, id, shared| async move {
        let _gone = converse(stream, id, &shared).await;
    })
    .await;
}

/// mysql-auto_increment_delay_multiplex: for how many more statements a session stays where it was given an id.
const STAYS: u8 = 5;

/// A client's session.
struct Client<'a> {
    shared: &'a Shared,
    user: String,
    password: String,
    group: u32,
    /// Where its next statement goes in any case.
    stays: Option<Held<'a>>,
}

/// A connection in use.
struct Held<'a> {
    server: Placed,
    address: SocketAddr,
    connection: Conn,
    /// For how many more statements it stays the session's.
    left: u8,
    _used: Used<'a>,
}

async fn converse(stream: TcpStream, id: u32, shared: &Shared) -> Result<()> {
    shared.answers().await;
    let mut wire = Wire::new(stream);
    let guest = wire.greet(id).await?;
    let known = shared.tables.user(&guest.user).filter(|(password, _)| guest.knows(password));
    let Some((password, group)) = known else {
        let message = format!("ProxySQL Error: Access denied for user '{}'", guest.user);
        return wire.answer(&Answer::error(1045, message)).await;
    };
    wire.answer(&Answer::done(0)).await?;
    let mut client = Client { shared, user: guest.user, password, group, stays: None };
    while let Some(packet) = wire.read().await? {
        shared.answers().await;
        let answer = match packet.split_first() {
            Some((3, statement)) => client.route(&String::from_utf8_lossy(statement)).await,
            // INIT_DB, PING, RESET_CONNECTION.
            Some((2 | 14 | 31, _)) => Answer::done(0),
            Some((1, _)) | None => return Ok(()),
            Some(_) => Answer::error(1047, "the double speaks the text protocol only"),
        };
        shared.answers().await;
        wire.answer(&answer).await?;
    }
    Ok(())
}

impl<'a> Client<'a> {
    async fn route(&mut self, statement: &str) -> Answer {
        if let Some(held) = self.stays.take() {
            return self.send(held, statement).await;
        }
        let deadline = Instant::now() + WAITS;
        let mut runtime = self.shared.runtime.subscribe();
        loop {
            let somebody = runtime.wait_for(|runtime| runtime.online(self.group).next().is_some());
            let server = match timeout_at(deadline, somebody).await {
                Ok(Ok(runtime)) => runtime.online(self.group).choose(&mut rand::rng()).cloned(),
                _ => None,
            };
            let Some((server, address)) = server.and_then(|server| Some((server.clone(), server.address()?)))
            else {
                let waited = WAITS.as_millis();
                let group = self.group;
                return Answer::Error {
                    code: 9001,
                    state: "HY000".into(),
                    message: format!(
                        "Max connect timeout reached while reaching hostgroup {group} after {waited}ms"
                    ),
                };
            };
            match self.shared.pool.take(self.group, address, &self.user, &self.password).await {
                Ok(connection) => {
                    // Counted first: whoever drains the server sees it, or it sees that.
                    let used = self.shared.pool.using(self.group, address);
                    if self.shared.runtime.borrow().online(self.group).any(|online| *online == server) {
                        let held = Held { server, address, connection, left: 0, _used: used };
                        return self.send(held, statement).await;
                    }
                }
                Err(_) if Instant::now() < deadline => sleep(AGAIN).await,
                Err(error) => return Answer::error(9001, error.to_string()),
            }
        }
    }

    /// A statement whose server is taken out under it loses its connection.
    async fn send(&mut self, mut held: Held<'a>, statement: &str) -> Answer {
        let mut runtime = self.shared.runtime.subscribe();
        let answered = tokio::select! {
            biased;
            answered = run(&mut held.connection, statement) => answered,
            _ = runtime.wait_for(|runtime| !runtime.has(&held.server)) => Err(None),
        };
        held.left = held.left.saturating_sub(1);
        match answered {
            Ok((answer, gave_id)) => {
                if gave_id && self.shared.stays_for_ids {
                    held.left = STAYS;
                }
                self.give_back(held);
                answer
            }
            Err(Some(Error::Server(error))) => {
                self.give_back(held);
                Answer::Error { code: error.code, state: error.state, message: error.message }
            }
            Err(_) => Answer::error(2013, "Lost connection to MySQL server during query"),
        }
    }

    /// Whoever is taken out meanwhile is seen here or there.
    fn give_back(&mut self, held: Held<'a>) {
        if held.left > 0 {
            self.stays = Some(held);
            return;
        }
        let Held { server, address, connection, .. } = held;
        self.shared.pool.give_back(self.group, address, &self.user, connection);
        if !self.shared.runtime.borrow().online(self.group).any(|online| *online == server) {
            self.shared.drop_idle();
        }
    }
}

/// The answer, and whether the statement gave an AUTO_INCREMENT value.
async fn run(connection: &mut Conn, statement: &str) -> Result<(Answer, bool), Option<Error>> {
    let mut result = connection.query_iter(statement).await.map_err(Some)?;
    let columns: Vec<String> =
        result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    let rows: Vec<Row> = result.collect().await.map_err(Some)?;
    let (affected, id) = (result.affected_rows(), result.last_insert_id());
    drop(result);
    if columns.is_empty() {
        return Ok((Answer::done(affected), id.is_some_and(|id| id > 0)));
    }
    let text = |value: Value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => Some(other.as_sql(true).into_bytes()),
    };
    let rows = rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect();
    Ok((Answer::Rows { columns, rows }, false))
}
