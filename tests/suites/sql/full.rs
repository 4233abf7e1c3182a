//! A server whose every connection is taken.

use anyhow::{Result, ensure};
use baton_node::sql::{Address, ManagedServer, SqlError, SqlServer};
use baton_tests::sandbox::{Dialect, Hosts, Sandbox, SandboxOptions};

use super::managed::{Managed, connector};

/// The server takes so many, and one more of an administrator.
const CONNECTIONS: usize = 12;
/// Nobody else's here.
const ADMIN_PORT: u16 = 33_962;

/// Baton comes in by the administrative interface, once it has read where that is, and otherwise not at all.
pub(crate) async fn full_server_is_reached(dialect: Dialect) -> Result<()> {
    let admin = match dialect {
        Dialect::MySql => vec!["admin_address = 127.0.0.1".to_owned(), format!("admin_port = {ADMIN_PORT}")],
        Dialect::MariaDb => {
            vec![format!("extra_port = {ADMIN_PORT}"), "extra_max_connections = 3".to_owned()]
        }
    };
    let full = format!("max_connections = {CONNECTIONS}");
    let options = SandboxOptions {
        hosts: 1,
        servers: 1,
        kind: Some(Hosts::Loopback),
        server_options: admin.into_iter().chain([full]).collect(),
        ..SandboxOptions::new(dialect)
    };
    let sandbox = Sandbox::new(options).await?;
    let server = &sandbox.servers().await?[0];
    let baton = Managed::new(server).await?;
    let settings = baton.sql.inventory().await?.settings;
    ensure!(settings.admin.as_ref().is_some_and(|(_, port)| *port == ADMIN_PORT), "{:?}", settings.admin);
    let knows_nothing = SqlServer::new(&connector(Address::Socket(server.socket())));
    let mut clients = Vec::new();
    while let Ok(client) = server.connect().await {
        clients.push(client);
        ensure!(clients.len() <= 2 * CONNECTIONS, "it takes any number");
    }
    let refused = knows_nothing.pulse().await;
    ensure!(matches!(refused, Err(SqlError::TooManyConnections)), "{refused:?}");
    // A line beside the one that asked for the inventory.
    baton.sql.warm_up().await?;
    let ordinary = baton.sql.connect_anew().await;
    ensure!(matches!(ordinary, Err(SqlError::TooManyConnections)), "it is not full: {ordinary:?}");
    drop(clients);
    Ok(())
}
