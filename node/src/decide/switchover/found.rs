//! What speaks for and against the writer as the replica that it becomes. Pure.

use super::super::finding::{Finding, Level, proxies};
use super::super::seen::Observations;
use crate::state::{BackupWork, ClusterState, EventName, NodeName};

const GIB: u64 = 1 << 30;
/// Events that are named.
const NAMED: usize = 5;

/// A backup under way at one of the two.
pub(super) fn backup(state: &ClusterState, from: &NodeName, to: Option<&NodeName>, found: &mut Vec<Finding>) {
    let Some(task) = &state.backups.task else { return };
    let BackupWork::Make { at_writer, .. } = &task.work else { return };
    let node = &task.node;
    let becomes = match (to == Some(node), at_writer) {
        (true, false) => "ends when it becomes the writer, and does not count; a schedule begins it again",
        (true, true) => "goes on while it becomes the writer",
        (false, _) if node == from => "goes on",
        (false, _) => return,
    };
    let mend = "wait for it (batonctl backup list), or batonctl backup cancel";
    found.push(Finding::of(Level::Warning, node, format!("a backup of it is under way: it {becomes}"), mend));
}

/// Nothing here stops a switchover: what is wrong with the old writer costs the new one an acker.
pub(super) fn writer(state: &ClusterState, seen: &Observations, from: &NodeName, found: &mut Vec<Finding>) {
    let about = seen.own(from).and_then(|own| own.about.as_ref());
    let errors = about.map(|about| about.findings.iter().filter(|f| f.error)).into_iter().flatten();
    let mut warn = |what: String, mend: &str| found.push(Finding::of(Level::Warning, from, what, mend));
    for error in errors {
        warn(format!("would be no acker: {}", error.what), &error.mend);
    }
    if let Some(disk) = seen.tried(from).and_then(|tried| tried.disk).filter(|disk| disk.is_nearly_full()) {
        let what = format!("its disk is nearly full: {} GiB free of {}", disk.free / GIB, disk.size / GIB);
        warn(what, "make room there: as a replica it writes relay logs as well");
    }
    for proxy in proxies(seen) {
        if let Some(why) = &proxy.trouble {
            let what = format!("ProxySQL {} is not right, and is not waited for: {why}", proxy.name);
            let mend = "writes through it may fail while the writer moves; batonctl routing";
            found.push(Finding::cluster(Level::Warning, what, mend));
        }
    }
    if let Some(rebuild) = &state.rebuild {
        let source = rebuild.source.as_ref().map(|s| format!(" of {s}'s data")).unwrap_or_default();
        let node = &rebuild.node;
        found.push(Finding::cluster(
            Level::Warning,
            format!("a copy{source} is being made for {node}"),
            format!(
                "it goes on, or is begun again with another source; wait for it, or batonctl rebuild {node} --cancel"
            ),
        ));
    }
    if state.events.epoch == state.epoch() && !state.events.enabled.is_empty() {
        let named = |event: &EventName| format!("{}.{}", event.schema, event.name);
        let events: Vec<String> = state.events.enabled.iter().take(NAMED).map(named).collect();
        let more = match state.events.enabled.len() - events.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = format!("events that follow the writer: {}{more}", events.join(", "));
        found.push(Finding::cluster(Level::Ok, what, ""));
    }
    let Some((pulse, _)) = seen.pulse(from).filter(|(pulse, _)| pulse.waits) else { return };
    let what = format!("semi-sync: its commits wait, {} ackers connected", pulse.ackers);
    found.push(Finding::of(Level::Ok, from, what, ""));
}
