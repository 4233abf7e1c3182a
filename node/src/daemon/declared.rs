//! What the file declares of programs and of servers without a node, as decisions take it in.

use crate::config::{Config, HookPlace, HookPoint, HookWhen};
use crate::decide::followers::Declared;
use crate::decide::hooks::{Hook, Place, Point, When};

/// The operator's programs.
pub(super) fn hooks(config: &Config) -> Vec<Hook> {
    let hooks = config.hooks.iter().map(|hook| Hook {
        name: hook.name.clone(),
        at: match hook.at {
            HookPoint::BeforeClose => Point::BeforeClose,
            HookPoint::AfterOpen => Point::AfterOpen,
            HookPoint::AfterRoute => Point::AfterRoute,
            HookPoint::AfterFailure => Point::AfterFailure,
        },
        when: match hook.when {
            HookWhen::Planned => When::Planned,
            HookWhen::Unplanned => When::Unplanned,
            HookWhen::Any => When::Any,
        },
        on: match hook.on {
            HookPlace::Leader => Place::Leader,
            HookPlace::OldWriter => Place::OldWriter,
            HookPlace::NewWriter => Place::NewWriter,
        },
        command: hook.command.clone(),
        timeout: hook.timeout,
    });
    hooks.collect()
}

/// Servers without a node.
pub(super) fn replicas(config: &Config) -> Vec<Declared> {
    let declared = |replica: &crate::config::ReplicaConfig| Declared {
        name: replica.name.clone(),
        server: replica.server.to_string(),
    };
    config.replicas.iter().map(declared).collect()
}
