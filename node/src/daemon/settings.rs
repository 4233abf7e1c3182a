//! From the configuration file to the replicated settings, and where the two differ.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{
    Config, HardFence as Fence, OnAckersLost, OnClosedByHand as ByHand, OnLoss as Loss, OtherZone,
};
use crate::consensus::FormationCommand;
use crate::state::{
    Change, Cluster, ClusterState, Command, CommandId, HardFence, Live, Member, NodeName, OnClosedByHand,
    OnLoss, Safety, WithoutAckers,
};

/// The file's values, as they seed the replicated state at formation.
pub(super) fn safety(config: &Config) -> Safety {
    let settings = config.safety_settings();
    let live = live(config);
    Safety {
        lease_ttl_ms: settings.lease_ttl_ms,
        drift: f64::from(settings.drift_ppm) / 1e6,
        wait_count: settings.wait_count,
        degrade_after_ms: settings.degrade_after_ms,
        on_loss: match settings.on_loss {
            Loss::Wait => OnLoss::Wait,
            Loss::Promote => OnLoss::Promote,
        },
        without_ackers: match settings.on_ackers_lost {
            OnAckersLost::Degrade => WithoutAckers::Degrade,
            OnAckersLost::Block => WithoutAckers::Block,
        },
        hard_fence: match settings.hard_fence {
            Fence::Signal(_) => HardFence::Sigkill,
            Fence::Command(words) => HardFence::Command(words),
        },
        power_fence: settings.power_fence.unwrap_or_default(),
        live,
    }
}

/// The values that the leader's file sets at any time.
pub(super) fn live(config: &Config) -> Live {
    let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Live {
        automatic: config.failover.automatic,
        unreachable_after_ms: ms(config.failover.unreachable_after),
        catch_up_ms: ms(config.failover.catch_up_for),
        other_zone: config.failover.other_zone == OtherZone::Allow,
        closed_by_hand_ms: ms(config.failover.closed_by_hand_for),
        on_closed_by_hand: match config.failover.on_closed_by_hand {
            ByHand::Reopen => OnClosedByHand::Reopen,
            ByHand::Move => OnClosedByHand::Move,
            ByHand::Leave => OnClosedByHand::Leave,
        },
        flap_limit: config.failover.flap_limit,
        flap_half_life_ms: ms(config.failover.flap_half_life),
    }
}

/// The first command of a group.
pub(super) fn formation(
    config: &Arc<Config>,
    me: &NodeName,
    draw_id: Arc<dyn Fn() -> String + Send + Sync>,
) -> FormationCommand {
    let (config, me) = (Arc::clone(config), me.clone());
    Arc::new(move |id: &str| Command {
        id: CommandId(draw_id()),
        by: me.clone(),
        at_ms: Timestamp::now().as_millisecond(),
        change: Change::Form {
            cluster: Cluster { name: config.cluster.name.clone(), id: id.to_owned() },
            members: config.nodes.iter().map(|n| (NodeName::from(n.name.as_str()), member(n))).collect(),
            safety: safety(&config),
        },
    })
}

fn member(node: &crate::config::NodeConfig) -> Member {
    Member {
        peer: node.peer.to_string(),
        server: node.server.as_ref().map(ToString::to_string),
        zone: node.zone.clone(),
        priority: i32::try_from(node.priority).unwrap_or(i32::MAX),
        excluded: false,
    }
}

/// Replicated settings that this node's file gives another value.
pub(super) fn config_differs(config: &Config, state: &ClusterState) -> Vec<String> {
    if state.cluster.is_none() {
        return Vec::new();
    }
    let (mine, agreed) = (safety(config), &state.safety);
    [
        ("failover.lease_ttl", mine.lease_ttl_ms != agreed.lease_ttl_ms),
        ("failover.drift", (mine.drift - agreed.drift).abs() > 1e-9),
        ("failover.wait_count", mine.wait_count != agreed.wait_count),
        ("failover.degrade_after", mine.degrade_after_ms != agreed.degrade_after_ms),
        ("failover.on_loss", mine.on_loss != agreed.on_loss),
        ("failover.on_ackers_lost", mine.without_ackers != agreed.without_ackers),
        ("failover.hard_fence", mine.hard_fence != agreed.hard_fence),
        ("failover.power_fence", mine.power_fence != agreed.power_fence),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(key, _)| key.to_owned())
    .collect()
}
