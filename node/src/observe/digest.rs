//! What of a report matters at once. Everything else may wait for the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::seen::{Channel, OwnServer, ProbeError, Process, Pulse, Report};
use crate::state::{Epoch, NodeName};

/// A replica that has received within this long receives.
const RECEIVING_WITHIN: Duration = Duration::from_secs(1);

/// Two reports with equal digests call for the same decisions, but for what time alone changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Digest {
    own: Option<OwnDigest>,
    probes: BTreeMap<NodeName, (bool, Option<ProbeError>, Option<bool>)>,
    config_differs: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct OwnDigest {
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
    pub(super) fn of(report: &Report) -> Self {
        Self {
            own: report.own.as_ref().map(own),
            probes: report.probes.iter().map(|(n, p)| (n.clone(), (p.ever, p.error, p.open))).collect(),
            config_differs: report.config_differs.clone(),
        }
    }
}

fn own(own: &OwnServer) -> OwnDigest {
    let guard = &own.guard;
    OwnDigest {
        process: own.process.clone(),
        answers: own.error.is_none(),
        pulse: own.pulse.as_ref().map(pulse),
        guard: GuardDigest {
            lease: guard.lease.map(|(epoch, _)| epoch),
            epochs: [guard.opened, guard.refused, guard.closed],
            keeper: guard.keeper,
            restarted: guard.restarted,
            trouble: guard.trouble.clone(),
        },
        unsafe_settings: own.about.as_ref().map(|a| a.findings.iter().any(|f| f.error)),
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
