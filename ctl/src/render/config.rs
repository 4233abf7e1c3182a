//! `batonctl config`: each setting, and what changes.

use baton_proto::control::{ConfigApplyReply, ConfigShowReply, Setting, SettingChange};

use super::layout::{Cell, table, wrap};
use super::style::{Style, Tone};

/// One line for each setting; nodes whose file says something else beside it.
pub fn config(reply: &ConfigShowReply, style: &Style) -> String {
    let row = |setting: &Setting| {
        let differs = match setting.differs_on.as_slice() {
            [] => Cell::default(),
            nodes => Cell::new(Tone::Warn, format!("another value in the file of {}", nodes.join(", "))),
        };
        vec![Cell::plain(&setting.key), Cell::new(Tone::Strong, &setting.value), differs]
    };
    table(&reply.settings.iter().map(row).collect::<Vec<_>>(), style)
}

/// Old and new value by key, then what stays.
pub fn config_change(reply: &ConfigApplyReply, dry_run: bool, style: &Style) -> String {
    let head = match (reply.changes.is_empty(), dry_run) {
        (true, _) => "nothing to change: the group runs by these values already",
        (false, true) => "would change",
        (false, false) => "changed",
    };
    let row = |change: &SettingChange| {
        let or_unset = |text: &str| if text.is_empty() { "unset".to_owned() } else { text.to_owned() };
        let old = Cell::plain(or_unset(&change.old));
        let new = Cell::plain("→ ").then(Tone::Strong, or_unset(&change.new));
        vec![Cell::plain(format!("  {}", change.key)), old, new]
    };
    let mut text = wrap(head, "", "", style.width);
    text += &table(&reply.changes.iter().map(row).collect::<Vec<_>>(), style);
    for note in &reply.notes {
        text += &wrap(note, "  ", "  ", style.width);
    }
    if reply.applied {
        let next = "Give every node this file and reload it (systemctl reload baton-node): until then \
                    `batonctl check` names the nodes whose file differs.";
        text += &wrap(next, "", "", style.width);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::PLAIN;
    use super::*;

    #[test]
    fn a_change_shows_the_old_and_the_new_value_of_each_key() {
        let change = |key: &str, old: &str, new: &str| SettingChange {
            key: key.into(),
            old: old.into(),
            new: new.into(),
        };
        let changes = vec![
            change("failover.lease_ttl", "\"1500ms\"", "\"3s\""),
            change("node.db1.zone", "", "\"north\""),
        ];
        let reply = ConfigApplyReply { applied: false, changes, notes: vec!["db4 is no member".into()] };
        let text = config_change(&reply, true, &PLAIN);
        assert_eq!(
            text,
            "would change\n  failover.lease_ttl   \"1500ms\"   → \"3s\"\n  node.db1.zone        unset      → \"north\"\n  \
             db4 is no member\n"
        );
        let nothing = config_change(&ConfigApplyReply::default(), false, &PLAIN);
        assert!(nothing.starts_with("nothing to change"), "{nothing}");
    }

    #[test]
    fn a_setting_names_the_nodes_that_differ() {
        let setting = Setting {
            key: "failover.drift".into(),
            value: "0.001".into(),
            differs_on: vec!["db1".into(), "db2".into()],
        };
        let text = config(&ConfigShowReply { settings: vec![setting] }, &PLAIN);
        assert_eq!(text, "failover.drift   0.001   another value in the file of db1, db2\n");
    }
}
