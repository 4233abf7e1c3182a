//! Faults on real servers: what has to happen, how soon, that no acknowledged row is lost and that no two servers
//! acknowledge. `docs/reliability.md` has the table.
//!
//! Each fault runs on the dialect on which it is harder. The other one is an ignored test, which `script/test --full`
//! runs as well.
#![allow(clippy::unwrap_used)]

mod alerts;
mod catching_up;
mod disks;
mod network;
mod operators;
mod processes;
mod recovery;
mod sequences;
mod servers;

use std::time::Duration;

/// The longest write outage that a test lets pass where the writer has to move, on a machine that does other things
/// beside it. How long it should be stands in docs/benchmarks.md.
const OUTAGE: Duration = Duration::from_secs(6);
/// The same where the writer stays and nobody has to be given up.
const GAP: Duration = Duration::from_secs(1);
/// The same where the writer stays and goes on without its ackers, two seconds after it lost them.
const DEGRADES: Duration = Duration::from_secs(5);
/// Longer than any detection: what has not happened until then does not happen.
const NOTHING: Duration = Duration::from_secs(6);
/// For what has to come about at all.
const SOON: Duration = Duration::from_secs(20);

/// The tests of a fault: the dialect on which it is harder, and the other one. `both` runs both always.
macro_rules! fault {
    ($fault:ident: mysql $harder:ident, mariadb $easier:ident) => {
        fault!(@one $fault, $harder, MySql,);
        fault!(@one $fault, $easier, MariaDb, #[ignore = "easier than on MySQL; script/test --full runs it"]);
    };
    ($fault:ident: mariadb $harder:ident, mysql $easier:ident) => {
        fault!(@one $fault, $harder, MariaDb,);
        fault!(@one $fault, $easier, MySql, #[ignore = "easier than on MariaDB; script/test --full runs it"]);
    };
    ($fault:ident: both $mysql:ident, $mariadb:ident) => {
        fault!(@one $fault, $mysql, MySql,);
        fault!(@one $fault, $mariadb, MariaDb,);
    };
    (@one $fault:ident, $name:ident, $dialect:ident, $(#[$attribute:meta])*) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $name() -> anyhow::Result<()> {
            $fault(stringify!($name), baton_tests::sandbox::Dialect::$dialect).await
        }
    };
}
pub(crate) use fault;

/// Says why a fault of the network cannot be had here, if it cannot.
fn cannot_cut() -> bool {
    match baton_tests::sandbox::Hosts::available() {
        Ok(()) => false,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            true
        }
    }
}
