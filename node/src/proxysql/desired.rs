//! Where each server belongs, by what was agreed and who is fit to be read from. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::HostPort;
use crate::decide::readers::{Reading, Unfit};
use crate::state::{ClusterState, Epoch, NodeName, OperationKind, Phase, StepName};

/// What is wanted of a server's row in one hostgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// There, and used.
    Online,
    /// What is there is drained: sessions may finish what they are at. No row is made for it.
    Soft,
    /// ProxySQL does not know it there, so that its own monitor does not bring it back.
    Absent,
    /// Whatever is there.
    Any,
}

/// What is wanted of a server's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// In the writer hostgroup.
    pub writer: Want,
    /// In the reader hostgroup.
    pub reader: Want,
}

/// What every instance is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Of the write role; an older one is never pushed over a newer one.
    pub epoch: Epoch,
    /// Who has the writer hostgroup: open, and to be used.
    pub writer: Option<NodeName>,
    /// Whose row in the writer hostgroup is drained, for a switchover.
    pub draining: Option<NodeName>,
    /// The server that was the writer until a moment ago. An instance's own monitor may still have an answer of it from
    /// before it was closed, and would make it a writer again, so such an instance does not know it for that moment.
    pub settling: Option<HostPort>,
    /// Of each server of the cluster, by its address.
    pub servers: BTreeMap<HostPort, (NodeName, Placement)>,
}

impl Placement {
    const NOWHERE: Self = Self { writer: Want::Absent, reader: Want::Absent };
    const READER: Self = Self { writer: Want::Absent, reader: Want::Online };
    const LEAVING: Self = Self { writer: Want::Absent, reader: Want::Soft };
    const WRITER: Self = Self { writer: Want::Online, reader: Want::Absent };
    const WRITER_READS: Self = Self { writer: Want::Online, reader: Want::Online };
    const DRAINING: Self = Self { writer: Want::Soft, reader: Want::Any };
    /// Its row stays what it was until it is open; a monitor that finds it open sooner is right.
    const COMING: Self = Self { writer: Want::Any, reader: Want::Any };
}

impl Desired {
    /// A server's placement; one that the cluster does not know belongs nowhere.
    pub fn of(&self, address: &HostPort) -> Placement {
        self.servers.get(address).map_or(Placement::NOWHERE, |(_, placement)| *placement)
    }

    /// What an instance is to have whose own monitor places servers too: nothing of the one that settles. Where nobody else
    /// reads, the writer does meanwhile.
    pub(super) fn beside_a_monitor(&self) -> Cow<'_, Self> {
        let Some(settling) = &self.settling else { return Cow::Borrowed(self) };
        let mut beside = self.clone();
        if let Some((_, placement)) = beside.servers.get_mut(settling) {
            *placement = Placement::NOWHERE;
        }
        if !beside.servers.values().any(|(_, placement)| placement.reader == Want::Online) {
            for (_, placement) in beside.servers.values_mut().filter(|(_, p)| *p == Placement::WRITER) {
                *placement = Placement::WRITER_READS;
            }
        }
        Cow::Owned(beside)
    }
}

/// Who held the grant before the present writer did, if an operation moved it.
fn writer_before(state: &ClusterState) -> Option<&NodeName> {
    let grant = state.live_grant()?;
    let ended = state.history.back().map(|finished| &finished.operation);
    let moved = state.operation.as_ref().into_iter().chain(ended);
    let mut moved = moved.filter(|operation| operation.to.as_ref().is_some_and(|(to, _)| *to == grant.epoch));
    moved.next()?.from_node.as_ref().filter(|node| **node != grant.node)
}

/// What is wanted now; `None` while the cluster is only watched: then nothing is touched. `settles`: the open writer has been
/// one only for a moment.
pub fn desired(state: &ClusterState, reading: &Reading, settles: bool) -> Option<Desired> {
    if state.phase != Phase::Managed {
        return None;
    }
    let writer = open_writer(state);
    let draining = if writer.is_none() { draining(state) } else { None };
    let roles = Roles { writer, draining, coming: state.live_grant().map(|g| &g.node), reading };
    let members = state.members.iter().map(|(node, member)| (node, member, roles.of(node)));
    let left = state.left_behind.iter().map(|(node, member)| (node, member, Placement::NOWHERE));
    // A member's placement counts where one that was left behind had its address.
    let servers = left.chain(members).filter_map(|(node, member, placement)| {
        let address: HostPort = member.server.as_ref()?.parse().ok()?;
        Some((address, (node.clone(), placement)))
    });
    let before = writer_before(state).filter(|_| settles && writer.is_some());
    let settling = before.and_then(|node| state.members.get(node)?.server.as_ref()?.parse().ok());
    Some(Desired {
        epoch: state.epoch(),
        writer: writer.cloned(),
        draining: draining.cloned(),
        settling,
        servers: servers.collect(),
    })
}

/// The writer, once it is open and until it is about to be closed.
fn open_writer(state: &ClusterState) -> Option<&NodeName> {
    let frozen = state.operation.as_ref().is_some_and(|operation| operation.is_frozen());
    state.live_grant().filter(|grant| grant.opened_ms.is_some() && !frozen).map(|grant| &grant.node)
}

/// The old writer of a switchover that has begun to close it, until somebody is open.
fn draining(state: &ClusterState) -> Option<&NodeName> {
    let operation = state.operation.as_ref().filter(|o| o.kind == OperationKind::Switchover)?;
    operation.from_node.as_ref().filter(|_| operation.has_taken(StepName::Freeze))
}

struct Roles<'a> {
    writer: Option<&'a NodeName>,
    draining: Option<&'a NodeName>,
    /// Who holds the grant, open or not.
    coming: Option<&'a NodeName>,
    reading: &'a Reading,
}

impl Roles<'_> {
    fn of(&self, node: &NodeName) -> Placement {
        if self.writer == Some(node) {
            return match self.reading.is_left_to_writer() {
                true => Placement::WRITER_READS,
                false => Placement::WRITER,
            };
        }
        if self.draining == Some(node) {
            return Placement::DRAINING;
        }
        if self.coming == Some(node) {
            return Placement::COMING;
        }
        if self.reading.readers.contains(node) {
            return Placement::READER;
        }
        match self.reading.left_out.get(node) {
            Some(why) if finishes(why) => Placement::LEAVING,
            _ => Placement::NOWHERE,
        }
    }
}

/// Whether sessions that read there may finish. Only of a server that is closed for certain: of any other ProxySQL must know
/// nothing, or its monitor makes a writer of it as soon as it finds it open.
fn finishes(why: &Unfit) -> bool {
    match why {
        Unfit::Behind { .. } | Unfit::LagUnknown | Unfit::Stopped(_) | Unfit::NoWriter => true,
        Unfit::NoSource | Unfit::OtherSource(_) => true,
        Unfit::Writer | Unfit::NoServer | Unfit::Out(_) | Unfit::Silent(_) | Unfit::Open => false,
    }
}
