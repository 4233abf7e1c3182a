//! What the group runs by, what applying a file would change, and where a node's file differs.

use std::collections::BTreeMap;
use std::path::Path;

use baton_proto::control::{
    ConfigApplyReply, ConfigApplyRequest, ConfigShowReply, Setting, SettingChange as Shown,
};
use tonic::Status;

use super::Control;
use super::refusal::{by_state, refused};
use crate::config::{
    Config, HardFence as Fence, NodeConfig, OnAckersLost, OnClosedByHand as ByHand, OnLoss as Loss,
    OtherZone, RebuildPolicy as Policy, ScheduleKind,
};
use crate::decide::seen::Observations;
use crate::state::{
    BackupKind, BackupPlan, Change, ClusterState, Command, CommandId, HardFence, Keep, Live, Member,
    NodeName, OnClosedByHand, OnLoss, Placement, RebuildPolicy, Safety, Schedule, WithoutAckers,
};

/// Name, expression and kind of the schedules of who has a store and writes none: an increment is small enough for each day, and
/// a full one each week keeps chains short. Where no increments can be made, each of them is a full one.
const USUAL: [(&str, &str, BackupKind); 2] =
    [("weekly", "0 2 * * 0", BackupKind::Full), ("daily", "0 2 * * 1-6", BackupKind::Incremental)];

/// The file's values, as they seed the replicated state at formation.
pub fn safety(config: &Config) -> Safety {
    let settings = config.safety_settings();
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
        live: live(config),
    }
}

/// The values that the leader's file sets at any time.
pub fn live(config: &Config) -> Live {
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
        rebuild: match config.rebuild.policy {
            Policy::Automatic => RebuildPolicy::Automatic,
            Policy::Approve => RebuildPolicy::Approve,
            Policy::Never => RebuildPolicy::Never,
        },
        reader_max_lag_ms: ms(config.router.reader_max_lag),
    }
}

/// What the file says of backups; `None` where it names neither store nor schedule: whoever writes it does without, or has
/// them in the files of other nodes.
pub fn backup_plan(config: &Config) -> Option<BackupPlan> {
    let backup = &config.backup;
    if config.stores.is_empty() && backup.schedules.is_empty() {
        return None;
    }
    let written = backup.schedules.iter().filter(|schedule| schedule.enabled);
    let mut schedules: BTreeMap<String, Schedule> = written
        .map(|schedule| {
            let (cron, zone) = (schedule.cron.clone(), schedule.time_zone.clone());
            let kind = match schedule.kind {
                ScheduleKind::Full => BackupKind::Full,
                ScheduleKind::Incremental => BackupKind::Incremental,
            };
            (schedule.name.clone(), Schedule { cron, zone, at_writer: schedule.allow_writer, kind })
        })
        .collect();
    if backup.schedules.is_empty() {
        let usual = USUAL.map(|(name, cron, kind)| {
            let (cron, zone) = (cron.to_owned(), "UTC".to_owned());
            (name.to_owned(), Schedule { cron, zone, at_writer: false, kind })
        });
        schedules.extend(usual);
    }
    let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let stores = config.stores.iter().map(|store| {
        let (all_ms, weekly_ms) = (ms(store.keep_all), ms(store.keep_weekly));
        (store.name.clone(), Keep { all_ms, weekly_ms, at_least: store.keep_at_least, prunes: store.prune })
    });
    let (stale_after_ms, grace_ms) = (ms(backup.stale_after), ms(backup.delete_after));
    Some(BackupPlan { schedules, stale_after_ms, stores: stores.collect(), grace_ms })
}

/// Where the file puts a node.
pub fn placement(node: &NodeConfig) -> Placement {
    Placement { zone: node.zone.clone(), priority: i32::try_from(node.priority).unwrap_or(i32::MAX) }
}

/// Replicated settings that this node's file gives another value, by key.
pub fn config_differs(config: &Config, state: &ClusterState) -> Vec<String> {
    if state.cluster.is_none() {
        return Vec::new();
    }
    let agreed = written(&state.safety);
    let differs = written(&safety(config)).into_iter().zip(agreed).filter(|(mine, agreed)| mine != agreed);
    differs.map(|((key, _), _)| key.to_owned()).collect()
}

/// Each setting by its key, as the file would write it.
fn written(safety: &Safety) -> [(&'static str, String); 8] {
    let quoted = |text: &str| format!("\"{text}\"");
    let ms = |ms: u64| quoted(&crate::config::show_duration(std::time::Duration::from_millis(ms)));
    let on_loss = match safety.on_loss {
        OnLoss::Wait => "wait",
        OnLoss::Promote => "promote",
    };
    let without = match safety.without_ackers {
        WithoutAckers::Degrade => "degrade",
        WithoutAckers::Block => "block",
    };
    let fence = match &safety.hard_fence {
        HardFence::Sigkill => quoted("sigkill"),
        // Strings in TOML as in JSON.
        HardFence::Command(words) => serde_json::json!(words).to_string(),
    };
    let power = match safety.power_fence.as_slice() {
        [] => "not set".to_owned(),
        words => serde_json::json!(words).to_string(),
    };
    [
        ("failover.lease_ttl", ms(safety.lease_ttl_ms)),
        // To the millionth, as the group keeps it.
        ("failover.drift", format!("{}", (safety.drift * 1e6).round() / 1e6)),
        ("failover.degrade_after", ms(safety.degrade_after_ms)),
        ("failover.wait_count", safety.wait_count.to_string()),
        ("failover.on_loss", quoted(on_loss)),
        ("failover.on_ackers_lost", quoted(without)),
        ("failover.hard_fence", fence),
        ("failover.power_fence", power),
    ]
}

fn placed(node: &NodeName, placement: &Placement) -> [(String, String); 2] {
    let zone = placement.zone.as_ref().map(|zone| serde_json::json!(zone).to_string()).unwrap_or_default();
    [(format!("node.{node}.zone"), zone), (format!("node.{node}.priority"), placement.priority.to_string())]
}

fn placement_of(member: &Member) -> Placement {
    Placement { zone: member.zone.clone(), priority: member.priority }
}

/// What applying a file would change.
#[derive(Debug, PartialEq)]
struct Plan {
    safety: Safety,
    placements: BTreeMap<NodeName, Placement>,
    /// Key, old and new value.
    changes: Vec<(String, String, String)>,
    /// What the file says and applying it does not change.
    notes: Vec<String>,
}

/// Compares a file with what the group runs by. Pure.
fn plan(state: &ClusterState, config: &Config) -> Plan {
    let safety = safety(config);
    let mut changes = Vec::new();
    for ((key, old), (_, new)) in written(&state.safety).into_iter().zip(written(&safety)) {
        changes.push((key.to_owned(), old, new));
    }
    let (mut placements, mut notes) = (BTreeMap::new(), Vec::new());
    for node in &config.nodes {
        let name = NodeName::from(node.name.as_str());
        let Some(member) = state.members.get(&name) else {
            notes.push(format!("{name} is no member: batonctl node add {name} --peer {} …", node.peer));
            continue;
        };
        let placement = placement(node);
        let new = placed(&name, &placement);
        let old = placed(&name, &placement_of(member));
        changes.extend(old.into_iter().zip(new).map(|((key, old), (_, new))| (key, old, new)));
        placements.insert(name.clone(), placement);
        let server = node.server.as_ref().map(ToString::to_string);
        if member.peer != node.peer.to_string() || member.server != server {
            notes.push(format!(
                "{name} keeps its addresses (peer {}, server {}): remove it and add it again to change them",
                member.peer,
                member.server.as_deref().unwrap_or("none")
            ));
        }
    }
    let missing = state.members.keys().filter(|name| config.node(name.as_str()).is_none());
    notes.extend(
        missing.map(|name| format!("{name} is a member and not in the file; batonctl node remove {name}?")),
    );
    changes.retain(|(_, old, new)| old != new);
    Plan { safety, placements, changes, notes }
}

/// What the group runs by, and whose file says something else. Pure.
fn show(state: &ClusterState, seen: &Observations) -> Vec<Setting> {
    let differs_on = |key: &str| -> Vec<String> {
        let says = |node: &&NodeName| {
            seen.of(node).is_some_and(|heard| heard.report.config_differs.iter().any(|k| k == key))
        };
        state.members.keys().filter(says).map(ToString::to_string).collect()
    };
    let of_group = written(&state.safety).map(|(key, value)| (key.to_owned(), value)).into_iter();
    let of_nodes = state.members.iter().flat_map(|(node, member)| placed(node, &placement_of(member)));
    let all = of_group.chain(of_nodes.filter(|(_, value)| !value.is_empty()));
    all.map(|(key, value)| Setting { differs_on: differs_on(&key), key, value }).collect()
}

impl Control {
    pub(super) async fn show_config(&self) -> ConfigShowReply {
        let (state, seen) = self.gathered().await;
        ConfigShowReply { settings: show(&state, &seen) }
    }

    /// Everything that can be refused is refused in a dry run too.
    pub(super) async fn apply_config(&self, request: ConfigApplyRequest) -> Result<ConfigApplyReply, Status> {
        let path = Path::new(&request.path);
        let file = Config::parse(&request.file, path, self.me.as_str(), &BTreeMap::new())
            .map_err(|errors| Status::invalid_argument(errors.to_string()))?;
        let state = self.state();
        if file.config.cluster.name != self.cluster || state.cluster.is_none() {
            return Err(refused(format!(
                "{} is cluster {}'s, this one is {}; nothing was changed",
                path.display(),
                file.config.cluster.name,
                self.cluster
            )));
        }
        let Plan { safety, placements, changes, mut notes } = plan(&state, &file.config);
        notes.extend(file.warnings.iter().map(ToString::to_string));
        let what: Vec<String> =
            changes.iter().map(|(key, old, new)| format!("{key}: {old} → {new}")).collect();
        let change = Change::Configure {
            seen: state.safety_index,
            safety,
            placements,
            by: request.by,
            what: what.join(", "),
        };
        let applied = !request.dry_run && !changes.is_empty();
        if applied {
            self.commit(change).await?;
        } else {
            would_apply(&state, change).map_err(by_state)?;
        }
        let changes = changes.into_iter().map(|(key, old, new)| Shown { key, old, new }).collect();
        Ok(ConfigApplyReply { applied, changes, notes })
    }
}

/// The state's own refusal, of a copy.
fn would_apply(state: &ClusterState, change: Change) -> Result<(), crate::state::Refusal> {
    let (id, by) = (CommandId("dry run".into()), NodeName::from("dry run"));
    state.clone().apply(u64::MAX, &Command { id, by, at_ms: 0, change }).into_result()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::decide::sample::{managed, name};

    const FILE: &str = "[cluster]\nname = \"shop\"\n\
        [[node]]\nname = \"db1\"\npeer = \"db1:7400\"\nserver = \"db1:3306\"\npriority = 150\n\
        [[node]]\nname = \"db7\"\npeer = \"db7:7400\"\nserver = \"db7:3306\"\n\
        [[node]]\nname = \"db8\"\npeer = \"db8:7400\"\nserver = \"db8:3306\"\n";

    fn file(failover: &str) -> Config {
        let text = format!("{FILE}[failover]\n{failover}");
        Config::parse(&text, Path::new("f"), "db1", &BTreeMap::new()).unwrap().config
    }

    fn seeded(failover: &str) -> ClusterState {
        let mut state = managed().0;
        state.safety = safety(&file(failover));
        state
    }

    #[test]
    fn every_setting_that_is_replicated_is_compared() {
        let state = seeded("");
        let other = "lease_ttl = \"3s\"\ndrift = 0.002\nwait_count = 2\ndegrade_after = \"4s\"\n\
                     on_loss = \"promote\"\non_ackers_lost = \"block\"\nhard_fence = [\"/sbin/fence\", \"{node}\"]\n\
                     power_fence = [\"/sbin/power\", \"{node}\"]\n";
        let replicated: Vec<&str> = crate::config::KEYS
            .iter()
            .filter(|key| key.scope == crate::config::Scope::Replicated)
            .map(|key| key.path)
            .collect();
        assert_eq!(config_differs(&file(other), &state), replicated);
        assert_eq!(config_differs(&file(""), &state), Vec::<String>::new());
    }

    #[test]
    fn a_plan_shows_both_values_of_each_key_and_what_it_leaves() {
        let mut state = seeded("");
        state.members.get_mut(&name("db1")).unwrap().priority = 100;
        let plan = plan(&state, &file("lease_ttl = \"2500ms\"\n"));
        let of = |key: &str| plan.changes.iter().find(|c| c.0 == key).map(|c| (c.1.as_str(), c.2.as_str()));
        assert_eq!(of("failover.lease_ttl"), Some(("\"1500ms\"", "\"2500ms\"")));
        assert_eq!(of("node.db1.priority"), Some(("100", "150")));
        assert_eq!(of("failover.drift"), None);
        assert!(plan.notes.iter().any(|n| n.contains("batonctl node add db7")), "{:?}", plan.notes);
        assert!(
            plan.notes.iter().any(|n| n.contains("db2 is a member and not in the file")),
            "{:?}",
            plan.notes
        );
    }

    #[test]
    fn a_dry_run_is_refused_for_what_would_be() {
        let state = seeded("");
        let Plan { safety, placements, .. } = plan(&state, &file("wait_count = 2\n"));
        let (seen, by, what) = (state.safety_index, String::new(), String::new());
        let refused = would_apply(&state, Change::Configure { seen, safety, placements, by, what });
        assert_eq!(refused, Err(crate::state::Refusal::WaitCountInUse));
    }
}
