//! Whether two servers were ever open at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Cluster;

/// Between two looks at one server.
const POLL: Duration = Duration::from_millis(5);
/// A server that does not answer in this time has said nothing.
const ANSWER: Duration = Duration::from_secs(1);

/// One look at one server.
#[derive(Debug, Clone, Copy)]
struct Look {
    server: usize,
    /// Counts the server's connections: nothing is known of the time between two of them.
    connection: usize,
    asked: Instant,
    answered: Instant,
    open: bool,
}

/// Looks at all servers all the time, through their sockets: no cut between hosts hides anything from it.
#[derive(Debug)]
pub struct OpenWatch {
    looks: Arc<Mutex<Vec<Look>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl OpenWatch {
    /// Begins to look.
    pub fn start(cluster: &Cluster) -> Self {
        let looks = Arc::new(Mutex::new(Vec::new()));
        let sockets = cluster.servers().iter().map(|server| server.socket());
        let tasks =
            sockets.enumerate().map(|(server, socket)| tokio::spawn(look_on(server, socket, looks.clone())));
        let tasks = tasks.collect();
        Self { looks, tasks }
    }

    /// Ends the looking, and says whether no two servers were open at once.
    ///
    /// # Errors
    /// When two were, or nothing was seen.
    pub fn never_two(self) -> Result<()> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let times = open_times(&looks);
        ensure!(!times.is_empty(), "no server was ever seen open");
        for (index, one) in times.iter().enumerate() {
            for other in times[..index].iter().filter(|other| other.server != one.server) {
                let both = one.until.min(other.until).checked_duration_since(one.from.max(other.from));
                ensure!(
                    both.is_none_or(|both| both.is_zero()),
                    "servers {} and {} were both open for {both:?}",
                    one.server + 1,
                    other.server + 1
                );
            }
        }
        Ok(())
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A time in which a server was open for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenTime {
    server: usize,
    from: Instant,
    until: Instant,
}

/// From the answer to the first "open" to the question of the last one, with nothing else between: it may have been open
/// for a little longer on both sides, so that what overlaps here was open at once without a doubt.
fn open_times(looks: &[Look]) -> Vec<OpenTime> {
    let mut times: Vec<OpenTime> = Vec::new();
    let mut last: BTreeMap<usize, (usize, Option<usize>)> = BTreeMap::new();
    for look in looks {
        let streak = last.get(&look.server).filter(|(connection, _)| *connection == look.connection);
        let streak = match (streak.and_then(|(_, streak)| *streak), look.open) {
            (Some(streak), true) => {
                times[streak].until = look.asked;
                Some(streak)
            }
            (None, true) => {
                times.push(OpenTime { server: look.server, from: look.answered, until: look.answered });
                Some(times.len() - 1)
            }
            (_, false) => None,
        };
        last.insert(look.server, (look.connection, streak));
    }
    times
}

async fn look_on(server: usize, socket: PathBuf, looks: Arc<Mutex<Vec<Look>>>) {
    let (mut connection, mut connections) = (None, 0);
    loop {
        tokio::time::sleep(POLL).await;
        if connection.is_none() {
            connection = connect(&socket).await;
            connections += 1;
        }
        let Some(open) = connection.as_mut() else { continue };
        let asked = Instant::now();
        match timeout(ANSWER, open.query_first::<bool, _>("SELECT NOT @@GLOBAL.read_only")).await {
            Ok(Ok(Some(open))) => {
                let look = Look { server, connection: connections, asked, answered: Instant::now(), open };
                looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
            }
            _ => connection = None,
        }
    }
}

async fn connect(socket: &Path) -> Option<Conn> {
    let options = OptsBuilder::default()
        .socket(Some(socket.to_string_lossy()))
        .user(Some("root"))
        .max_allowed_packet(Some(1 << 20))
        .wait_timeout(Some(28_800));
    timeout(ANSWER, Conn::new(options)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_times_end_at_a_closed_look_and_with_the_connection() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let look = |server, connection, ms, open| Look {
            server,
            connection,
            asked: at(ms),
            answered: at(ms + 1),
            open,
        };
        let looks = [
            look(0, 1, 0, true),
            look(1, 1, 2, false),
            look(0, 1, 10, true),
            look(0, 1, 20, false),
            look(1, 1, 30, true),
            look(1, 2, 40, true),
            look(1, 2, 50, true),
        ];
        let times: Vec<_> =
            open_times(&looks).iter().map(|time| (time.server, time.from, time.until)).collect();
        assert_eq!(times, [(0, at(1), at(10)), (1, at(31), at(31)), (1, at(41), at(50))]);
    }
}
