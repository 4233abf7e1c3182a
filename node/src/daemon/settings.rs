//! From the configuration file to the first entry of a group.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Config;
use crate::consensus::FormationCommand;
use crate::serve::settings::{placement, safety};
use crate::state::{Change, Cluster, Command, CommandId, Member, NodeName};

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
    let placement = placement(node);
    Member {
        peer: node.peer.to_string(),
        server: node.server.as_ref().map(ToString::to_string),
        zone: placement.zone,
        priority: placement.priority,
        excluded: false,
    }
}
