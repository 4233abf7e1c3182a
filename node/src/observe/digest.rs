//! What of a report matters at once. Everything else may wait for the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::seen::{About, Channel, GuardSeen, OwnServer, Probe, ProbeError, Process, Pulse, Report};
use crate::decide::tried::{Tried, Write};
use crate::state::{Epoch, LeavesFor, NodeName};

/// A replica that has received within this long receives.
const RECEIVING_WITHIN: Duration = Duration::from_secs(1);

/// Two reports with equal digests call for the same decisions, but for what time alone changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    own: Option<OwnDigest>,
    probes: BTreeMap<NodeName, ProbeDigest>,
    config_differs: Vec<String>,
    tried: Option<TriedDigest>,
}

/// What of an [`OwnServer`] is looked at, wherever it lies.
pub(super) struct OwnParts<'a> {
    pub(super) process: &'a Process,
    pub(super) answers: bool,
    pub(super) pulse: Option<&'a Pulse>,
    pub(super) guard: &'a GuardSeen,
    pub(super) about: Option<&'a About>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProbeDigest {
    pub(super) ever: bool,
    pub(super) error: Option<ProbeError>,
    pub(super) open: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TriedDigest {
    no_connection: bool,
    connection_error: Option<ProbeError>,
    write: Write,
    out_of_connections: bool,
    disk_nearly_full: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct OwnDigest {
    process: Process,
    answers: bool,
    pulse: Option<PulseDigest>,
    guard: GuardDigest,
    /// Whether the lint found an error; none before it has run.
    unsafe_settings: Option<bool>,
}

/// Without the lease's time left, which always changes.
#[derive(Clone, Debug, PartialEq)]
struct GuardDigest {
    lease: Option<Epoch>,
    epochs: [Epoch; 3],
    keeper: bool,
    restarted: bool,
    trouble: Option<String>,
    left: Option<(Epoch, LeavesFor)>,
}

#[derive(Clone, Debug, PartialEq)]
struct PulseDigest {
    open: bool,
    waits: bool,
    ackers: u32,
    blocked: bool,
    acks: bool,
    channel: Option<ChannelDigest>,
}

#[derive(Clone, Debug, PartialEq)]
struct ChannelDigest {
    source: String,
    receives: bool,
    running: [bool; 2],
    errors: [Option<u32>; 2],
    delayed: bool,
}

impl Digest {
    /// Of a report that is there.
    pub fn of(report: &Report) -> Self {
        let probes = report.probes.iter().map(|(node, probe)| (node.clone(), ProbeDigest::from(probe)));
        Self::new(
            report.own.as_ref().map(|own| OwnDigest::from(OwnParts::from(own))),
            probes.collect(),
            report.config_differs.clone(),
            report.tried.as_ref(),
        )
    }

    /// Of a report that is not made for it.
    pub(super) fn new(
        own: Option<OwnDigest>,
        probes: BTreeMap<NodeName, ProbeDigest>,
        config_differs: Vec<String>,
        tried: Option<&Tried>,
    ) -> Self {
        Self { own, probes, config_differs, tried: tried.map(TriedDigest::from) }
    }
}

impl From<&Probe> for ProbeDigest {
    fn from(probe: &Probe) -> Self {
        Self { ever: probe.ever, error: probe.error, open: probe.open }
    }
}

impl<'a> From<&'a OwnServer> for OwnParts<'a> {
    fn from(own: &'a OwnServer) -> Self {
        Self {
            process: &own.process,
            answers: own.error.is_none(),
            pulse: own.pulse.as_ref(),
            guard: &own.guard,
            about: own.about.as_ref(),
        }
    }
}

impl From<&Tried> for TriedDigest {
    fn from(tried: &Tried) -> Self {
        Self {
            no_connection: tried.no_connection_for >= RECEIVING_WITHIN,
            connection_error: tried.connection_error,
            write: tried.write.clone(),
            out_of_connections: tried.is_out_of_connections(),
            disk_nearly_full: tried.disk.is_some_and(|disk| disk.is_nearly_full()),
        }
    }
}

impl From<OwnParts<'_>> for OwnDigest {
    fn from(own: OwnParts<'_>) -> Self {
        let guard = own.guard;
        Self {
            process: own.process.clone(),
            answers: own.answers,
            pulse: own.pulse.map(pulse),
            guard: GuardDigest {
                lease: guard.lease.map(|(epoch, _)| epoch),
                epochs: [guard.opened, guard.refused, guard.closed],
                keeper: guard.keeper,
                restarted: guard.restarted,
                trouble: guard.trouble.clone(),
                left: guard.left.as_ref().map(|left| (left.epoch, left.cause)),
            },
            unsafe_settings: own.about.map(|a| a.findings.iter().any(|f| f.error)),
        }
    }
}

fn pulse(pulse: &Pulse) -> PulseDigest {
    PulseDigest {
        open: pulse.open,
        waits: pulse.waits,
        ackers: pulse.ackers,
        blocked: pulse.ackers == 0 && pulse.waiting > 0,
        acks: pulse.acks,
        channel: pulse.channel.as_ref().map(channel),
    }
}

fn channel(channel: &Channel) -> ChannelDigest {
    let errno = |error: &Option<(u32, String)>| error.as_ref().map(|(errno, _)| *errno);
    ChannelDigest {
        source: channel.source.clone(),
        receives: channel.is_receiving(Duration::ZERO, RECEIVING_WITHIN),
        running: [channel.io_running, channel.sql_running],
        errors: [errno(&channel.io_error), errno(&channel.sql_error)],
        delayed: channel.delayed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::time::Instant;

    use super::super::fake;
    use super::super::pulse::{Receiving, convert};
    use super::*;
    use crate::decide::seen::{GuardSeen, Left, Probe};

    fn report() -> Report {
        let mut pulse = convert(&fake::replica_of("db1", 3306), &mut Receiving::default(), Instant::now());
        pulse.channel.as_mut().unwrap().received_ago = Some(Duration::from_millis(300));
        let own = OwnServer {
            process: Process::Running { pid: 7 },
            pulse: Some(pulse),
            pulse_age: Duration::ZERO,
            error: None,
            guard: GuardSeen { lease: Some((Epoch(3), Duration::from_secs(1))), ..GuardSeen::default() },
            about: None,
        };
        let probes = [(NodeName::from("db1"), Probe::default())].into();
        Report { own: Some(own), probes, ..Report::default() }
    }

    fn own(report: &mut Report) -> &mut OwnServer {
        report.own.as_mut().unwrap()
    }

    fn left() -> Left {
        let received = crate::decide::sample::set("1-5");
        Left { epoch: Epoch(3), cause: LeavesFor::Maintenance, received }
    }

    fn pulse(report: &mut Report) -> &mut Pulse {
        own(report).pulse.as_mut().unwrap()
    }

    fn channel(report: &mut Report) -> &mut Channel {
        pulse(report).channel.as_mut().unwrap()
    }

    fn probe(report: &mut Report) -> &mut Probe {
        report.probes.get_mut(&NodeName::from("db1")).unwrap()
    }

    #[test]
    fn what_a_decision_may_hang_on_matters() {
        let changes: &[fn(&mut Report)] = &[
            |r| r.own = None,
            |r| own(r).process = Process::Running { pid: 8 },
            |r| own(r).error = Some(crate::decide::sample::no_answer()),
            |r| own(r).guard.lease = None,
            |r| own(r).guard.opened = Epoch(3),
            |r| own(r).guard.refused = Epoch(3),
            |r| own(r).guard.closed = Epoch(3),
            |r| own(r).guard.restarted = true,
            |r| own(r).guard.keeper = true,
            |r| own(r).guard.trouble = Some("no keeper".into()),
            |r| own(r).guard.left = Some(left()),
            |r| pulse(r).open = true,
            |r| pulse(r).waits = true,
            |r| pulse(r).ackers = 0,
            |r| pulse(r).acks = true,
            |r| pulse(r).channel = None,
            |r| channel(r).source = "db9:3306".into(),
            |r| channel(r).received_ago = None,
            |r| channel(r).received_ago = Some(Duration::from_millis(1100)),
            |r| channel(r).io_running = false,
            |r| channel(r).sql_running = false,
            |r| channel(r).io_error = Some((1236, String::new())),
            |r| channel(r).sql_error = Some((1062, String::new())),
            |r| channel(r).delayed = true,
            |r| probe(r).error = Some(ProbeError::Refused),
            |r| probe(r).open = Some(true),
            |r| probe(r).ever = true,
            |r| r.probes.clear(),
            |r| r.config_differs = vec!["safety.lease_ttl".into()],
            |r| r.tried = Some(Tried::default()),
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut changed = report();
            change(&mut changed);
            assert_ne!(Digest::of(&changed), Digest::of(&report()), "change {n}");
        }
    }

    #[test]
    fn what_always_changes_does_not() {
        let changes: &[fn(&mut Report)] = &[
            |r| r.serial = 99,
            |r| r.wall_ms = 7,
            |r| own(r).pulse_age = Duration::from_millis(80),
            |r| own(r).guard.lease = Some((Epoch(3), Duration::from_millis(900))),
            |r| pulse(r).uptime = Duration::from_secs(1),
            |r| pulse(r).waiting = 1,
            |r| channel(r).received_ago = Some(Duration::from_millis(450)),
            |r| channel(r).behind = Some(Duration::from_secs(1)),
            |r| probe(r).silent_for = Duration::from_millis(200),
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut changed = report();
            change(&mut changed);
            assert_eq!(Digest::of(&changed), Digest::of(&report()), "change {n}");
        }
    }
}
