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

/// A client's session.
struct Client<'a> {
    shared: &'a Shared,
    user: String,
    password: String,
    group: u32,
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
    let client = Client { shared, user: guest.user, password, group };
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

impl Client<'_> {
    async fn route(&self, statement: &str) -> Answer {
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
                    let _used = self.shared.pool.using(self.group, address);
                    if self.shared.runtime.borrow().online(self.group).any(|online| *online == server) {
                        return self.send(&server, address, connection, statement).await;
                    }
                }
                Err(_) if Instant::now() < deadline => sleep(AGAIN).await,
                Err(error) => return Answer::error(9001, error.to_string()),
            }
        }
    }

    /// A statement whose server is taken out under it loses its connection.
    async fn send(
        &self,
        server: &Placed,
        address: SocketAddr,
        mut connection: Conn,
        statement: &str,
    ) -> Answer {
        let mut runtime = self.shared.runtime.subscribe();
        let answered = tokio::select! {
            biased;
            answered = run(&mut connection, statement) => answered,
            _ = runtime.wait_for(|runtime| !runtime.has(server)) => Err(None),
        };
        match answered {
            Ok(answer) => {
                self.give_back(server, address, connection);
                answer
            }
            Err(Some(Error::Server(error))) => {
                self.give_back(server, address, connection);
                Answer::Error { code: error.code, state: error.state, message: error.message }
            }
            Err(_) => Answer::error(2013, "Lost connection to MySQL server during query"),
        }
    }
}

impl Client<'_> {
    /// Whoever is taken out meanwhile is seen here or there.
    fn give_back(&self, server: &Placed, address: SocketAddr, connection: Conn) {
        self.shared.pool.give_back(self.group, address, &self.user, connection);
        if !self.shared.runtime.borrow().online(self.group).any(|online| online == server) {
            self.shared.drop_idle();
        }
    }
}

async fn run(connection: &mut Conn, statement: &str) -> Result<Answer, Option<Error>> {
    let mut result = connection.query_iter(statement).await.map_err(Some)?;
    let columns: Vec<String> =
        result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    let rows: Vec<Row> = result.collect().await.map_err(Some)?;
    let affected = result.affected_rows();
    drop(result);
    if columns.is_empty() {
        return Ok(Answer::done(affected));
    }
    let text = |value: Value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => Some(other.as_sql(true).into_bytes()),
    };
    let rows = rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect();
    Ok(Answer::Rows { columns, rows })
}
