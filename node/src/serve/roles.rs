//! What load balancers ask each node: may clients be sent to the server beside it as the writer, or as a replica? Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::config::parse_duration;
use crate::decide::primary::primary;
use crate::decide::readers::{Terms, unfit};
use crate::decide::seen::Report;
use crate::state::{ClusterState, NodeName};

/// What an answer rests on, at the moment of the question.
pub struct Moment<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// This node.
    pub me: &'a NodeName,
    /// As applied here.
    pub state: &'a ClusterState,
    /// What this node sees.
    pub report: &'a Report,
    /// Which servers this node would read from.
    pub readers: &'a BTreeSet<NodeName>,
}

/// The body of `/primary` and `/replica`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Role {
    /// The cluster.
    pub cluster: String,
    /// This node.
    pub node: String,
    /// `primary` or `replica`.
    pub role: &'static str,
    /// Whether clients may be sent there.
    pub fit: bool,
    /// The current epoch; 0 before adoption.
    pub epoch: u64,
    /// What is left of its lease, of a primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_left_ms: Option<u64>,
    /// How far it is behind, of a replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Moment<'_> {
    /// Whether it is the writer.
    pub fn primary(&self) -> Role {
        let found = primary(self.state, self.me, self.report.own.as_ref());
        let left = found.as_ref().ok().map(|(_, left)| millis(*left));
        Role { lease_left_ms: left, ..self.role("primary", found.err()) }
    }

    /// Whether it is a replica that is at most `lag` behind; without one, as far as routing lets it be.
    pub fn replica(&self, lag: Option<Duration>) -> Role {
        let probe = self.report.probes.get(self.me);
        let terms = Terms::of(self.state, self.me, self.readers);
        let terms = lag.map_or(terms, |limit| Terms { limit, ..terms });
        let why = unfit(self.state, self.me, probe, terms).map(|why| why.to_string());
        let behind = probe.and_then(|p| p.replica.as_ref()?.behind);
        Role { lag_ms: behind.map(millis), ..self.role("replica", why) }
    }

    fn role(&self, role: &'static str, why: Option<String>) -> Role {
        Role {
            cluster: self.cluster.to_owned(),
            node: self.me.to_string(),
            role,
            fit: why.is_none(),
            epoch: self.state.epoch().0,
            why,
            ..Role::default()
        }
    }
}

/// The `lag` of a query string, if it has one.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn lag(query: Option<&str>) -> Result<Option<Duration>, String> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("lag", text)) => found = Some(parse_duration(text).map_err(|why| format!("lag: {why}"))?),
            _ => return Err(format!("\"{pair}\" is unknown; write /replica or /replica?lag=5s")),
        }
    }
    Ok(found)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::decide::sample::{Seen, managed, ms, name};
    use crate::decide::seen::Replica;

    fn asked(at: &str, lag: Option<Duration>, spoil: fn(&mut ClusterState, &mut Seen)) -> Role {
        let (mut state, mut seen) = managed();
        let follows = Replica { source: "10.0.0.1:3306".into(), stopped_for: None, behind: Some(ms(4_000)) };
        for node in ["db1", "db2"] {
            seen.report(node).probes.get_mut(&name("db2")).unwrap().replica = Some(follows.clone());
        }
        spoil(&mut state, &mut seen);
        let moment = Moment {
            cluster: "shop",
            me: &name(at),
            state: &state,
            report: seen.report(at),
            readers: &[name("db2")].into(),
        };
        moment.replica(lag)
    }

    #[test]
    fn a_replica_is_fit_up_to_the_lag_that_is_asked_for() {
        for (lag, fit) in [(None, true), (Some(ms(4_000)), true), (Some(ms(3_999)), false)] {
            assert_eq!(asked("db2", lag, |_, _| {}).fit, fit, "{lag:?}");
        }
        let longer = asked("db2", Some(ms(60_000)), |state, _| state.safety.live.reader_max_lag_ms = 1_000);
        assert!(longer.fit, "more than routing bears");
    }

    #[test]
    fn the_body_says_why() {
        let writer = asked("db1", None, |_, _| {});
        assert_eq!(
            serde_json::to_string(&writer).unwrap(),
            r#"{"cluster":"shop","node":"db1","role":"replica","fit":false,"epoch":1,"why":"is the writer"}"#
        );
        let lags = asked("db2", Some(ms(1_000)), |_, _| {});
        assert_eq!(
            serde_json::to_string(&lags).unwrap(),
            r#"{"cluster":"shop","node":"db2","role":"replica","fit":false,"epoch":1,"lag_ms":4000,"why":"is 4.0 s behind, more than 1.0 s"}"#
        );
        assert_eq!(asked("app1", None, |_, _| {}).why.unwrap(), "has no server");
    }

    #[test]
    fn a_query_is_a_lag_or_refused() {
        assert_eq!((lag(None), lag(Some(""))), (Ok(None), Ok(None)));
        assert_eq!(lag(Some("lag=1500ms")), Ok(Some(ms(1_500))));
        for wrong in ["lag=5", "lag", "lags=5s", "lag=5s&x=1"] {
            assert!(lag(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
