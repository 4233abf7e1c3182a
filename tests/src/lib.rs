//! What Baton's tests stand on: several hosts with real servers on one machine, clusters on them, ProxySQL or
//! a double of it, a browser, and servers in memory.

pub mod bench;
pub mod bot;
pub mod browser;
pub mod cluster;
pub mod documents;
pub mod machine;
pub mod proxysql;
pub mod sandbox;
pub mod sim;

/// A test of each dialect for a scenario, which is an async function of the dialect: `on_both!(closes, mysql_closes,
/// mariadb_closes)`.
#[macro_export]
macro_rules! on_both {
    ($scenario:ident, $mysql:ident, $mariadb:ident) => {
        #[tokio::test]
        async fn $mysql() -> anyhow::Result<()> {
            Box::pin($scenario($crate::sandbox::Dialect::MySql)).await
        }

        #[tokio::test]
        async fn $mariadb() -> anyhow::Result<()> {
            Box::pin($scenario($crate::sandbox::Dialect::MariaDb)).await
        }
    };
}
