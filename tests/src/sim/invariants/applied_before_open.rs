//! 5. A server is opened only when it has applied everything it has received.

use std::collections::BTreeMap;

use baton_node::gtid::GtidSet;

use super::{Invariant, Moment};

#[derive(Default)]
pub(super) struct AppliedBeforeOpen {
    /// What each server had received when it last had a source.
    received: BTreeMap<String, GtidSet>,
}

impl Invariant for AppliedBeforeOpen {
    fn name(&self) -> &'static str {
        "5 (applied before it is opened)"
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for (host, server) in moment.servers {
            let lacks = |received: &GtidSet| !server.executed.contains(received).unwrap_or(false);
            if moment.opened.contains(host) && self.received.get(host).is_some_and(lacks) {
                let received = &self.received[host];
                return Err(format!(
                    "{host} was opened with {}, it had received {received}",
                    server.executed
                ));
            }
            // A server that restarts may have lost what it had received (MariaDB): that shows in invariant 4.
            let same = moment.before.get(host).is_some_and(|b| b.process == server.process);
            if server.source.is_some() {
                self.received.insert(host.clone(), server.received.clone());
            } else if !same {
                self.received.remove(host);
            }
        }
        Ok(())
    }
}
