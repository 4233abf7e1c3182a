//! How sessions leave a writer: for whoever closes it, and wants no statement to be refused there.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::Routes;

/// Follows the sessions of the writer port; clones share it. Of a node without a router nobody ever is at a writer.
#[derive(Debug, Clone, Default)]
pub struct Leaving {
    routes: watch::Sender<Routes>,
    /// How many sessions began under which epoch.
    sessions: watch::Sender<BTreeMap<u64, usize>>,
}

impl Leaving {
    /// Where the router's routes are published.
    pub fn routes(&self) -> watch::Sender<Routes> {
        self.routes.clone()
    }

    /// Waits until the routes lead to no writer of `epoch` or an older one: from then on nobody comes to it. Has no bound of
    /// its own.
    pub async fn led_away(&self, epoch: u64) {
        let led_away = |routes: &Routes| routes.writer.is_none() || routes.epoch > epoch;
        // The sender lives in here, so that this cannot fail, nor can the wait below.
        let _led_away = self.routes.subscribe().wait_for(led_away).await.is_ok();
    }

    /// Waits until no session that began under `epoch` or an older one has its server any more. Has no bound of its own: a
    /// statement may take long.
    pub async fn left(&self, epoch: u64) {
        let none_left = |sessions: &BTreeMap<u64, usize>| sessions.range(..=epoch).next().is_none();
        let _none_left = self.sessions.subscribe().wait_for(none_left).await.is_ok();
    }

    /// A session that begins; it has left when the answer is dropped.
    pub(super) fn enter(&self, epoch: u64) -> Entered {
        self.sessions.send_modify(|sessions| *sessions.entry(epoch).or_default() += 1);
        Entered { leaving: self.clone(), epoch }
    }
}

/// A session that has a writer's server.
#[derive(Debug)]
pub(super) struct Entered {
    leaving: Leaving,
    epoch: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.leaving.sessions.send_modify(|sessions| {
            if let Some(count) = sessions.get_mut(&self.epoch) {
                *count -= 1;
                if *count == 0 {
                    sessions.remove(&self.epoch);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_writer_is_left_when_the_routes_and_every_session_have_left_it() {
        let leaving = Leaving::default();
        let writer = Some(SocketAddr::from(([10, 0, 0, 1], 3306)));
        leaving.routes().send_replace(Routes { epoch: 4, writer, ..Routes::default() });
        let (older, newer) = (leaving.enter(3), leaving.enter(4));
        let left = async {
            leaving.led_away(4).await;
            leaving.left(4).await;
        };
        let mut left = pin!(left);
        assert!(left.as_mut().now_or_never().is_none(), "the routes lead there");
        leaving.routes().send_replace(Routes { epoch: 4, ..Routes::default() });
        assert!(left.as_mut().now_or_never().is_none(), "two sessions are there");
        drop(older);
        let later = leaving.enter(5);
        assert!(left.as_mut().now_or_never().is_none(), "one session is there");
        drop(newer);
        assert!(left.as_mut().now_or_never().is_some(), "a later epoch's does not count");
        drop(later);
    }
}
