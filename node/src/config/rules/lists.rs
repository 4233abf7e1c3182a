//! Whether the entries of `[[hook]]`, `[[replica]]` and `[[proxysql]]` make sense.

use super::super::model::{HookPoint, HookWhen};
use super::Rules;

impl Rules<'_> {
    pub(super) fn hooks(&mut self) {
        for (index, hook) in self.config.hooks.iter().enumerate() {
            let before = &self.config.hooks[..index];
            if before.iter().any(|other| other.name == hook.name) {
                let text = format!("two hooks are named \"{}\"; give each its own name", hook.name);
                self.of_list("hook", index, "name", text);
            }
            if hook.at == HookPoint::BeforeClose && hook.when == HookWhen::Unplanned {
                let text =
                    "a failover waits for no hook, so that before_close is for switchovers alone; write \
                            when = \"planned\", or another point"
                        .to_owned();
                self.of_list("hook", index, "when", text);
            }
        }
    }

    pub(super) fn replicas(&mut self) {
        let config = self.config;
        for (index, replica) in config.replicas.iter().enumerate() {
            let (name, server) = (&replica.name, &replica.server);
            let others = &config.replicas[..index];
            if others.iter().any(|other| other.name == *name) || config.node(name).is_some() {
                let text =
                    format!("\"{name}\" is the name of another replica or of a node; give each its own name");
                self.of_list("replica", index, "name", text);
            }
            if others.iter().any(|other| other.server == *server) {
                let text = format!("{server} is another replica's too; remove one of the two");
                self.of_list("replica", index, "server", text);
            }
            if let Some(node) = config.nodes.iter().find(|node| node.server.as_ref() == Some(server)) {
                let text = format!(
                    "{server} is the server of node {}, which looks after it; remove this",
                    node.name
                );
                self.of_list("replica", index, "server", text);
            }
            if ["localhost", "127.0.0.1", "::1", "0.0.0.0", "::"].contains(&server.host.as_str())
                && config.nodes.len() > 1
            {
                let text =
                    format!("{server} is another server on each node; write an address that all nodes reach");
                self.of_list("replica", index, "server", text);
            }
        }
    }

    pub(super) fn proxies(&mut self) {
        for (index, proxy) in self.config.proxies.iter().enumerate() {
            let (name, admin) = (&proxy.name, &proxy.admin);
            let before = &self.config.proxies[..index];
            if before.iter().any(|other| other.name == *name) {
                self.of_list(
                    "proxysql",
                    index,
                    "name",
                    format!("two ProxySQL are named \"{name}\"; give each its own name"),
                );
            }
            if let Some(other) = before.iter().find(|other| other.admin == *admin) {
                let text =
                    format!("\"{}\" and \"{name}\" share {admin}; give each its own address", other.name);
                self.of_list("proxysql", index, "admin", text);
            }
            let here = ["localhost", "127.0.0.1", "::1"].contains(&admin.host.as_str());
            if here && self.config.nodes.len() > 1 {
                let text = format!(
                    "{admin} is another ProxySQL on each node, and whichever leads speaks to it; write an address that \
                     all nodes reach"
                );
                self.of_list("proxysql", index, "admin", text);
            }
            if proxy.user == "admin" && !here {
                let text = "ProxySQL lets \"admin\" in from its own host only; add another user to its \
                            admin-admin_credentials and name that"
                    .to_owned();
                self.of_list("proxysql", index, "user", text);
            }
            if proxy.writer_hostgroup == proxy.reader_hostgroup {
                let text = format!(
                    "{} is the writer_hostgroup too: readers would be sent writes; choose another",
                    proxy.reader_hostgroup
                );
                self.of_list("proxysql", index, "reader_hostgroup", text);
            }
        }
    }
}
