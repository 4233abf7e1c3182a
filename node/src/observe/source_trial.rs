//! Logs in with the replication account where the server beside this node may have to follow: at the writer, or, beside the
//! writer, at every other server. A replica that is connected stays so whatever becomes of its password; that it cannot come
//! back would show in a failover.
//!
//! One login and one question a minute and server. What a server says counts until it says something else: one that does not
//! answer, or not in time, says nothing about the account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::sql::SqlError;
use crate::state::{ClusterState, NodeName};

/// From one look at the servers to the next.
const EVERY: Duration = Duration::from_secs(60);
/// After a login that was not let in, each wait is twice the last, up to this: a server may lock an account that fails too often
/// (MySQL: FAILED_LOGIN_ATTEMPTS; MariaDB: max_password_errors).
const LATEST: Duration = Duration::from_secs(15 * 60);
/// What takes longer says nothing.
const WITHIN: Duration = Duration::from_secs(2);
/// From a change of who is to be followed to the look at it: whoever moves the writer is done with it by then.
const SETTLED: Duration = Duration::from_secs(5);

/// Logs in at an address (`host:port`) within a bound, and asks whether the account may replicate.
pub type TryAt = Arc<dyn Fn(&str, Duration) -> BoxFuture<'static, Result<(), SqlError>> + Send + Sync>;

/// The replication account, to be tried.
#[derive(Clone)]
pub struct SourceLogin {
    /// Its name.
    pub account: String,
    /// Tries it.
    pub try_at: TryAt,
}

/// Who does not let the account replicate, by node: the address and why, in words without a secret.
pub type Refused = BTreeMap<NodeName, String>;

/// Tries, for as long as it runs.
pub struct SourceTrial {
    /// This node, which has a server.
    pub me: NodeName,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// The account.
    pub login: SourceLogin,
    /// For whoever asks.
    pub shown: watch::Sender<Refused>,
}

impl SourceTrial {
    /// Runs until the group's handle ends.
    pub async fn run(mut self) {
        // By address: when it is tried again, and after how long a wait.
        let mut denied: BTreeMap<String, (Instant, Duration)> = BTreeMap::new();
        loop {
            let sources = sources(&self.states.borrow_and_update(), &self.me);
            self.shown.send_modify(|refused| refused.retain(|node, _| sources.contains_key(node)));
            denied.retain(|address, _| sources.values().any(|of| of == address));
            for (node, address) in &sources {
                if denied.get(address).is_some_and(|(at, _)| Instant::now() < *at) {
                    continue;
                }
                let answer = timeout(WITHIN * 2, (self.login.try_at)(address, WITHIN)).await;
                let Ok(answer) = answer else { continue };
                if matches!(answer, Err(SqlError::AccessDenied { .. })) {
                    let wait = denied.get(address).map_or(EVERY, |(_, last)| (*last * 2).min(LATEST));
                    denied.insert(address.clone(), (Instant::now() + wait, wait));
                } else {
                    denied.remove(address);
                }
                self.note(node, address, answer);
            }
            let (me, mut states) = (self.me.clone(), self.states.clone());
            let news = states.wait_for(|state| self::sources(state, &me) != sources);
            let changed = timeout(EVERY, news).await.map(|news| news.is_ok());
            match changed {
                Err(_) => {}
                Ok(true) => sleep(SETTLED).await,
                Ok(false) => return,
            }
        }
    }

    /// Takes an answer in, and logs what is new in it.
    fn note(&self, node: &NodeName, address: &str, answer: Result<(), SqlError>) {
        let account = &self.login.account;
        match answer {
            Ok(()) => {
                let was_refused = self.shown.send_if_modified(|refused| refused.remove(node).is_some());
                if was_refused {
                    info!(server = address, account, "the replication account is let in again");
                }
            }
            Err(error @ (SqlError::AccessDenied { .. } | SqlError::MissingPrivilege { .. })) => {
                let why = format!("{address} does not let {account} replicate: {error}");
                let is_news = self.shown.send_if_modified(|refused| {
                    let before = refused.insert(node.clone(), why.clone());
                    before.as_ref() != Some(&why)
                });
                if is_news {
                    warn!(why, "the replication account is refused");
                }
            }
            // Away, full, or no server that Baton knows: its own node says so.
            Err(_) => {}
        }
    }
}

/// Where the server beside `me` may have to follow: the writer's address, or everybody else's where that is `me` or nobody.
fn sources(state: &ClusterState, me: &NodeName) -> BTreeMap<NodeName, String> {
    let writer = state.live_grant().map(|grant| &grant.node).filter(|node| *node != me);
    let others = state.data_nodes().filter(|(node, _)| *node != me);
    // Nobody follows one that is out, is worked on or leaves, before it is in again.
    let is_fit = |node: &NodeName, excluded: bool| {
        !excluded && !state.out.contains_key(node) && !state.in_maintenance(node)
    };
    others
        .filter(|(node, _)| writer.is_none_or(|writer| writer == *node))
        .filter(|(node, member)| writer.is_some() || is_fit(node, member.excluded))
        .filter_map(|(node, member)| Some((node.clone(), member.server.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;
    use crate::decide::sample::{managed, name, observed};

    /// Answers as it is told to, and notes who was asked when, in seconds.
    #[derive(Clone)]
    struct Server {
        answer: Arc<Mutex<Result<(), SqlError>>>,
        asked: Arc<Mutex<Vec<(u64, String)>>>,
    }

    impl Server {
        fn login(&self) -> SourceLogin {
            let (this, begun) = (self.clone(), Instant::now());
            let try_at = move |address: &str, _: Duration| {
                this.asked.lock().unwrap().push((begun.elapsed().as_secs(), address.to_owned()));
                let answer = this.answer.lock().unwrap().clone();
                async move { answer }.boxed()
            };
            SourceLogin { account: "repl".into(), try_at: Arc::new(try_at) }
        }
    }

    fn denied() -> SqlError {
        SqlError::AccessDenied { message: "Access denied for user 'repl'@'10.0.0.2'".into() }
    }

    /// A trial that runs at `me`.
    fn running(
        me: &str,
        state: ClusterState,
    ) -> (Server, watch::Sender<Arc<ClusterState>>, watch::Receiver<Refused>) {
        let server = Server { answer: Arc::new(Mutex::new(Ok(()))), asked: Arc::default() };
        let (states, state) = watch::channel(Arc::new(state));
        let (shown, refused) = watch::channel(Refused::new());
        let trial = SourceTrial { me: name(me), states: state, login: server.login(), shown };
        tokio::spawn(trial.run());
        (server, states, refused)
    }

    fn addresses(state: &ClusterState, me: &str) -> Vec<String> {
        sources(state, &name(me)).into_values().collect()
    }

    #[test]
    fn a_replica_tries_the_writer_and_the_writer_everybody() {
        let (state, _) = managed();
        let writer = state.live_grant().unwrap().node.clone();
        let all: Vec<_> = state.data_nodes().map(|(node, _)| node.clone()).collect();
        for me in &all {
            let tried: Vec<_> = sources(&state, me).into_keys().collect();
            let wanted: Vec<_> =
                all.iter().filter(|n| *n != me && (*me == writer || **n == writer)).collect();
            assert_eq!(tried.iter().collect::<Vec<_>>(), wanted, "{me}");
        }
        let (state, _) = observed();
        assert!(
            addresses(&state, "db1").len() + 1 == state.data_nodes().count(),
            "without a writer everybody"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_until_the_account_is_let_in() {
        let (server, _states, mut refused) = running("db2", managed().0);
        *server.answer.lock().unwrap() = Err(denied());
        refused.wait_for(|refused| !refused.is_empty()).await.unwrap();
        let told = refused.borrow().values().next().unwrap().clone();
        assert!(told.contains("does not let repl replicate: access denied"), "{told}");
        // A server that is away says nothing about the account.
        *server.answer.lock().unwrap() = Err(SqlError::TooManyConnections);
        sleep(EVERY * 3).await;
        assert_eq!(refused.borrow().len(), 1);
        *server.answer.lock().unwrap() = Ok(());
        refused.wait_for(Refused::is_empty).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_let_in_is_tried_ever_more_seldom() {
        let (server, _states, _refused) = running("db2", managed().0);
        *server.answer.lock().unwrap() = Err(denied());
        sleep(Duration::from_secs(3_000)).await;
        let at: Vec<u64> = server.asked.lock().unwrap().iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 60, 180, 420, 900, 1800, 2700]);
    }

    #[test]
    fn a_server_that_is_worked_on_is_followed_by_nobody() {
        let (mut state, _) = managed();
        let writer = state.live_grant().unwrap().node.clone();
        let worked_on =
            state.data_nodes().map(|(node, _)| node.clone()).find(|node| *node != writer).unwrap();
        let before = sources(&state, &writer);
        state.members.get_mut(&worked_on).unwrap().excluded = true;
        let after = sources(&state, &writer);
        assert!(before.contains_key(&worked_on) && !after.contains_key(&worked_on), "{after:?}");
        assert!(sources(&state, &worked_on).contains_key(&writer), "it follows the writer itself");
    }

    #[tokio::test(start_paused = true)]
    async fn one_login_a_minute_and_one_for_a_new_source() {
        let (state, _) = managed();
        let (server, states, _refused) = running("db2", state.clone());
        sleep(Duration::from_secs(150)).await;
        let at: Vec<u64> = server.asked.lock().unwrap().iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 60, 120]);
        let mut moved = state;
        let node = moved.live_grant().unwrap().node.clone();
        moved.members.get_mut(&node).unwrap().server = Some("10.0.0.9:3306".into());
        states.send_replace(Arc::new(moved));
        sleep(Duration::from_secs(20)).await;
        let asked = server.asked.lock().unwrap().clone();
        assert_eq!(asked.last().unwrap(), &(155, "10.0.0.9:3306".to_owned()));
        assert_eq!(asked.len(), 4);
    }
}
