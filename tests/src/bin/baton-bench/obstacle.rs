//! What makes a switchover be taken back.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use baton_tests::cluster::{Cluster, WRITER_PORT};
use baton_tests::sandbox::{Account, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load;

/// Between two looks whether a session through the router has ended: of the 50 ms that a router's statements get before the
/// close, as little as may be.
const LOOK: Duration = Duration::from_millis(1);

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A session's lock, at the writer: it is never closed.
    Lock,
    /// A write right before the close that the next writer cannot apply: the writer is closed, and opened again.
    Write,
}

/// It stands for as long as this.
#[derive(Debug)]
pub(crate) struct InTheWay {
    _holder: Conn,
    _sessions: JoinSet<()>,
}

impl Obstacle {
    /// What the name of a measurement says about it.
    pub(crate) fn named(self) -> &'static str {
        match self {
            Self::Lock => ", a lock in the way",
            Self::Write => ", closed and opened again",
        }
    }

    /// Puts it there, for a move from `writer` to `to`.
    pub(crate) async fn put(self, cluster: &Cluster, writer: &str, to: &str) -> Result<InTheWay> {
        let primary = cluster.server(writer)?;
        primary.execute(["CREATE TABLE IF NOT EXISTS app.other (id INT PRIMARY KEY)"]).await?;
        match self {
            Self::Lock => {
                let holder = locks(primary, "LOCK TABLES app.other WRITE").await?;
                Ok(InTheWay { _holder: holder, _sessions: JoinSet::new() })
            }
            Self::Write => {
                load::all_caught_up(cluster, writer).await?;
                let holder = locks(cluster.server(to)?, "LOCK TABLES app.other READ").await?;
                Ok(InTheWay { _holder: holder, _sessions: writes_late(cluster, primary, to).await? })
            }
        }
    }
}

/// A session that holds a table of its own: nobody else's write waits for it.
async fn locks(server: &Server, statement: &str) -> Result<Conn> {
    let mut holder = server.connect().await?;
    holder.query_drop(statement).await?;
    Ok(holder)
}

/// Routers end their sessions when a switchover has begun to close the writer: then something is written to it directly.
/// Another session's statement keeps a router at the writer meanwhile, for as long as it may.
async fn writes_late(cluster: &Cluster, primary: &Server, router: &str) -> Result<JoinSet<()>> {
    let at = SocketAddr::from((cluster.host(router)?.address(), WRITER_PORT));
    let (mut watching, mut working) = (through(cluster, at).await?, through(cluster, at).await?);
    let mut direct = primary.connect().await?;
    let mut sessions = JoinSet::new();
    sessions.spawn(async move {
        while watching.ping().await.is_ok() {
            sleep(LOOK).await;
        }
        if let Err(error) = direct.query_drop("REPLACE INTO app.other VALUES (1)").await {
            eprintln!("nothing was written right before the close: {error}");
        }
    });
    sessions.spawn(async move {
        let _cut = working.query_drop("DO SLEEP(600)").await;
    });
    Ok(sessions)
}

async fn through(cluster: &Cluster, at: SocketAddr) -> Result<Conn> {
    let connecting = async move {
        let options = OptsBuilder::default()
            .ip_or_hostname(at.ip().to_string())
            .tcp_port(at.port())
            .prefer_socket(false)
            .user(Some(Account::APP.user))
            .pass(Some(Account::APP.password));
        Ok::<_, anyhow::Error>(Conn::new(options).await?)
    };
    cluster.sandbox().client().run(connecting).await
}
