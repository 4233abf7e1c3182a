//! What a daemon is made of here: the real rooms on this world's servers, network, disk and clocks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use baton_node::consensus::{FormationCommand, GroupOptions, Medium, Pace};
use baton_node::daemon::{BesideParts, Parts};
use baton_node::operate::attend::{Remote, SourceAt};
use baton_node::peers::Peers;
use baton_node::route::Leaving;
use baton_node::serve::Callers;
use baton_node::sql::{ManagedServer, Source};
use baton_node::state::{Change, Cluster, Command, CommandId, Member, NodeName};
use baton_node::task::Scope;

use super::node::Node;
use super::process::Plug;

impl Node {
    pub(super) fn parts(&self, scope: &Scope) -> Parts {
        let (clock, wall, drawing) = (Arc::clone(&self.clock), Arc::clone(&self.clock), scope.clone());
        let draw_id: Arc<dyn Fn() -> String + Send + Sync> =
            Arc::new(move || format!("{:016x}", drawing.draw()));
        let nodes: Vec<(NodeName, String)> =
            self.around.plan.nodes.iter().map(|(n, _)| (n.clone(), format!("{n}:7000"))).collect();
        Parts {
            leaving: Leaving::default(),
            group: GroupOptions {
                cluster: "sim".into(),
                node: self.name.clone(),
                peers: Arc::new(
                    Peers::new(self.around.net.dialer(self.name.as_str())).with_configured(nodes.clone()),
                ),
                nodes,
                config_digest: "same".into(),
                version: "0".into(),
                store: Medium::Memory(self.disk()),
                since_boot: Arc::new(move || clock.since_boot()),
                machine_id: self.name.to_string(),
                pace: Pace::default(),
                formation: self.formation(&draw_id),
                draw_id,
            },
            clock: Arc::clone(&self.clock) as _,
            now: Arc::new(move || wall.wall_ms()),
            live: self.around.plan.safety.live,
            backups: None,
            remote: self.remote(),
            config_differs: Arc::new(|_| Vec::new()),
            callers: Callers::Anybody,
            hooks: Arc::new(Vec::new),
            declared: Arc::new(Vec::new),
            source_at: source_at(),
            certificate_left: Arc::new(|| None),
            listeners: tokio::sync::watch::Sender::default().subscribe(),
            by_router: None,
            beside: self.has_server.then(|| self.beside()),
        }
    }

    fn beside(&self) -> BesideParts {
        let (fleet, host) = (self.around.fleet.clone(), self.name.to_string());
        BesideParts {
            server: Arc::new(fleet.remote(&host, &host)),
            attach: Arc::new(Plug::new(&fleet, &host)),
            keeper: self.attach_to_keeper(),
            source_at: source_at(),
            source_login: None,
            accepts: Arc::new(|_| true),
            events: false,
            rebuild: None,
            backup: None,
            archive: None,
            archiver: Arc::clone(&self.archives) as _,
        }
    }

    /// One set of connections to each server, as the daemon keeps them.
    fn remote(&self) -> Remote {
        let (fleet, from) = (self.around.fleet.clone(), self.name.to_string());
        let made: Mutex<BTreeMap<String, Arc<dyn ManagedServer>>> = Mutex::default();
        Arc::new(move |address: &str| {
            let host = address.split(':').next().unwrap_or_default();
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || Arc::new(fleet.remote(&from, host)) as Arc<dyn ManagedServer>;
            Arc::clone(made.entry(host.to_owned()).or_insert_with(make))
        })
    }

    fn formation(&self, draw_id: &Arc<dyn Fn() -> String + Send + Sync>) -> FormationCommand {
        let (plan, me, draw_id) = (Arc::clone(&self.around.plan), self.name.clone(), Arc::clone(draw_id));
        let clock = Arc::clone(&self.clock);
        Arc::new(move |id| Command {
            id: CommandId(draw_id()),
            by: me.clone(),
            at_ms: clock.wall_ms(),
            change: Change::Form {
                cluster: Cluster { name: "sim".into(), id: id.to_owned() },
                members: plan.nodes.iter().map(|(n, data)| (n.clone(), member(n, *data))).collect(),
                safety: plan.safety.clone(),
            },
        })
    }
}

fn member(node: &NodeName, has_server: bool) -> Member {
    Member {
        peer: format!("{node}:7000"),
        server: has_server.then(|| format!("{node}:3306")),
        ..Member::default()
    }
}

/// A source, with the replication account.
pub(super) fn source(host: &str, port: u16) -> Source {
    Source { host: host.to_owned(), port, user: "repl".into(), password: Default::default(), tls: None }
}

fn source_at() -> SourceAt {
    Arc::new(|address: &str| {
        let (host, port) = address.split_once(':').ok_or("no port")?;
        Ok(source(host, port.parse().map_err(|_| "no port".to_owned())?))
    })
}
