//! An operator's session at the admin interface of a real instance.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder};
use tokio::sync::Mutex;

use super::ADMIN;
use super::placed::Placed;
use crate::sandbox::within;

/// One statement, a new connection included.
const BOUND: Duration = Duration::from_secs(5);

/// A session, made anew whenever it is lost. It is used on the instance's own host alone.
pub(super) struct Console {
    at: SocketAddr,
    conn: Mutex<Option<Conn>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Console {
    pub(super) fn new(at: SocketAddr) -> Self {
        Self { at, conn: Mutex::default() }
    }

    /// Runs one statement whose rows do not matter.
    pub(super) async fn run(&self, statement: &str) -> Result<()> {
        self.rows::<mysql_async::Row>(statement).await.map(drop)
    }

    /// Who clients are led to, in the order of group and address.
    pub(super) async fn placed(&self) -> Result<Vec<Placed>> {
        const READ: &str = "SELECT hostgroup_id, hostname, port, status FROM runtime_mysql_servers \
                            ORDER BY hostgroup_id, hostname, port";
        let rows = self.rows::<(String, String, String, String)>(READ).await?;
        // A server that is OFFLINE_HARD leads nobody.
        let rows = rows.into_iter().filter_map(|(group, host, port, status)| {
            let status = status.parse().ok()?;
            Some((group, host, port, status))
        });
        rows.map(|(group, host, port, status)| {
            Ok(Placed { group: group.parse()?, host, port: port.parse()?, status, rest: Vec::new() })
        })
        .collect()
    }

    /// Ends the session, as its other end is about to go.
    pub(super) async fn hang_up(&self) {
        self.conn.lock().await.take();
    }

    async fn rows<R: mysql_async::prelude::FromRow + Send + 'static>(
        &self,
        statement: &str,
    ) -> Result<Vec<R>> {
        let asked = async {
            let mut place = self.conn.lock().await;
            // Taken out meanwhile: whoever gives up in the middle leaves none behind that waits for an answer.
            let mut conn = match place.take() {
                Some(conn) => conn,
                None => Conn::new(options(self.at)).await?,
            };
            match conn.query(statement).await {
                Ok(rows) => {
                    *place = Some(conn);
                    Ok(rows)
                }
                Err(Error::Server(error)) => {
                    *place = Some(conn);
                    bail!("{}", error.message)
                }
                Err(other) => Err(other.into()),
            }
        };
        within("the admin interface", BOUND, asked).await.with_context(|| statement.to_owned())
    }
}

/// The two settings are named, so that the driver does not ask for both in one SELECT.
fn options(at: SocketAddr) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(at.ip().to_string())
        .tcp_port(at.port())
        .user(Some(ADMIN.0))
        .pass(Some(ADMIN.1))
        .prefer_socket(false)
        .max_allowed_packet(Some(16 << 20))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0)
        .into()
}
