//! The monitor: places the servers it knows by their read_only, where `mysql_replication_hostgroups` says so. It makes a
//! second writer of every server that it finds open.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mysql_async::prelude::Queryable;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::proxysql::placed::{Placed, Runtime};
use crate::sandbox::Account;

/// mysql-monitor_read_only_interval and _timeout.
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(800);

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        shared.answers().await;
        let (servers, pairs) = {
            let runtime = shared.runtime.borrow();
            (runtime.servers.clone(), runtime.pairs.clone())
        };
        for pair in pairs {
            let known = servers.iter().filter(|server| [pair.0, pair.1].contains(&server.group));
            join_all(known.map(|server| ask(&shared, pair, server))).await;
        }
        sleep(INTERVAL).await;
    }
}

/// An answer counts as soon as it is there: what it says may be over a moment later.
async fn ask(shared: &Shared, pair: (u32, u32), server: &Placed) {
    let Some(read_only) = read_only(server).await else { return };
    let judged = |runtime: &mut Runtime| runtime.judge(pair, server, read_only);
    if shared.runtime.send_if_modified(|runtime| runtime.change(judged)) {
        shared.drop_idle();
    }
}

/// `None` when there is no answer: a refused connection never demotes anybody.
async fn read_only(server: &Placed) -> Option<bool> {
    let address = server.address()?;
    let asked = async {
        let mut connection =
            mysql_async::Conn::new(crate::sandbox::tcp_options(address, Account::BATON)).await.ok()?;
        let answer: Option<String> = connection.query_first("SELECT @@global.read_only").await.ok()?;
        // MariaDB from 12 on says OFF or a word for how closed it is.
        answer.map(|answer| !["0", "OFF"].contains(&answer.as_str()))
    };
    timeout(TIMEOUT, asked).await.ok().flatten()
}
