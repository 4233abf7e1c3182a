//! The operator's programs in the plan of a switchover. Pure.

use baton_proto::control::{Change, SwitchoverReply};

use crate::config::show_duration;
use crate::decide::hooks::{Hook, Place, Point};
use crate::state::NodeName;

/// The plan with the hooks that are run for it: those that it waits for first, the others where they come. The program is
/// named and its arguments are not: they may hold a password.
pub(super) fn with_hooks(reply: SwitchoverReply, hooks: &[Hook], leader: &NodeName) -> SwitchoverReply {
    if reply.steps.is_empty() {
        return reply;
    }
    let at = |point: Point| -> Vec<Change> {
        let hooks = hooks.iter().filter(|hook| hook.is_for(point, true));
        hooks.map(|hook| shown(hook, &reply, leader)).collect()
    };
    let mut steps = at(Point::BeforeClose);
    steps.extend(reply.steps.iter().cloned());
    steps.extend(at(Point::AfterOpen));
    steps.extend(at(Point::AfterRoute));
    SwitchoverReply { steps, ..reply }
}

fn shown(hook: &Hook, reply: &SwitchoverReply, leader: &NodeName) -> Change {
    let node = match hook.on {
        Place::Leader => leader.to_string(),
        Place::OldWriter => reply.from.clone(),
        Place::NewWriter => reply.to.clone(),
    };
    let waits = match hook.at {
        Point::BeforeClose => "may stop this",
        Point::AfterOpen | Point::AfterRoute | Point::AfterFailure => "nothing waits for it",
    };
    let (name, at, within) = (&hook.name, hook.at, show_duration(hook.timeout));
    Change {
        node,
        what: format!("runs hook {name}, {at}, for {within} at most: {waits}"),
        statement: hook.command.first().cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::hooks::When;

    fn hook(name: &str, at: Point, when: When, on: Place) -> Hook {
        let command = vec![format!("/usr/local/bin/{name}"), "s3cret".to_owned()];
        Hook { name: name.into(), at, when, on, command, timeout: Duration::from_secs(10) }
    }

    #[test]
    fn hooks_stand_where_they_are_run_and_failures_do_not() {
        let close = Change { node: "db1".into(), what: "is closed".into(), statement: String::new() };
        let reply = SwitchoverReply {
            from: "db1".into(),
            to: "db2".into(),
            steps: vec![close],
            ..SwitchoverReply::default()
        };
        let hooks = [
            hook("route", Point::AfterRoute, When::Any, Place::Leader),
            hook("on", Point::AfterOpen, When::Planned, Place::NewWriter),
            hook("off", Point::BeforeClose, When::Any, Place::OldWriter),
            hook("page", Point::AfterOpen, When::Unplanned, Place::Leader),
            hook("back", Point::AfterFailure, When::Any, Place::Leader),
        ];
        let steps = with_hooks(reply, &hooks, &"app1".into()).steps;
        let told: Vec<_> = steps.iter().map(|s| format!("{} {} [{}]", s.node, s.what, s.statement)).collect();
        assert_eq!(
            told,
            [
                "db1 runs hook off, before_close, for 10s at most: may stop this [/usr/local/bin/off]",
                "db1 is closed []",
                "db2 runs hook on, after_open, for 10s at most: nothing waits for it [/usr/local/bin/on]",
                "app1 runs hook route, after_route, for 10s at most: nothing waits for it [/usr/local/bin/route]",
            ]
        );
    }

    #[test]
    fn a_refusal_has_no_hooks() {
        let hooks = [hook("off", Point::BeforeClose, When::Any, Place::OldWriter)];
        assert!(with_hooks(SwitchoverReply::default(), &hooks, &"app1".into()).steps.is_empty());
    }
}
