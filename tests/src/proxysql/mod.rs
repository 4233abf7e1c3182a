//! ProxySQL: a real one where `proxysql` is on PATH, otherwise a double of it.
//!
//! Both have the sandbox's application as their only user, one admin user who may come from anywhere, and no servers.

mod console;
mod double;
mod placed;
mod real;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::sandbox::Host;

pub use double::Double;
pub use placed::{Changes, Placed, Status};
pub use real::Real;

/// Where clients that write are led.
pub const WRITER_GROUP: u32 = 10;
/// Where clients that only read are led.
pub const READER_GROUP: u32 = 20;
/// The admin user of every instance, who may come from anywhere.
pub const ADMIN: (&str, &str) = ("radmin", "radmin-test");

/// What an instance is made of.
#[derive(Debug, Clone, Copy)]
pub struct ProxySqlOptions {
    /// Of its admin interface; the data port is the next one.
    pub port: u16,
    /// Whether `mysql_replication_hostgroups` has the two groups, so that its monitor places servers by read_only as well.
    pub monitored: bool,
    /// Whether a session stays for five statements at the server that gave it an AUTO_INCREMENT value: as by default, and not
    /// as `docs/routing.md` has it.
    pub stays_for_ids: bool,
}

impl ProxySqlOptions {
    /// As documented, and not monitored.
    pub fn at(port: u16) -> Self {
        Self { port, monitored: false, stays_for_ids: false }
    }
}

/// One instance. Dropping it ends it.
#[derive(Debug)]
pub enum ProxySql {
    /// The real one.
    Real(Box<Real>),
    /// A double of it.
    Double(Double),
}

impl ProxySql {
    /// A new instance on a host, with no servers: a real one if it can be had.
    ///
    /// # Errors
    /// When its ports are taken, or the real one does not start.
    pub async fn start(host: &Host, options: ProxySqlOptions) -> Result<Self> {
        Ok(match real::program().await? {
            Some(program) => Self::Real(Box::new(Real::start(program, host, options).await?)),
            None => Self::Double(Double::start(host, options).await?),
        })
    }

    /// Ends its process, which then begins anew with what is on its disk.
    ///
    /// # Errors
    /// When its ports are taken, or the real one does not start.
    pub async fn restart(&mut self) -> Result<()> {
        match self {
            Self::Real(real) => real.restart().await,
            Self::Double(double) => double.restart().await,
        }
    }

    /// Ends its process: every connection is cut, nobody listens.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        match self {
            Self::Real(real) => real.stop().await,
            Self::Double(double) => {
                double.stop();
                Ok(())
            }
        }
    }

    /// Restarts it without what was on its disk: as after a reinstallation, with its users and hostgroups set up again.
    ///
    /// # Errors
    /// When its ports are taken, or the real one does not start.
    pub async fn wipe(&mut self) -> Result<()> {
        match self {
            Self::Real(real) => real.wipe().await,
            Self::Double(double) => double.wipe().await,
        }
    }

    /// From now on it answers nobody, or everybody again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        match self {
            Self::Real(real) => real.freeze(frozen),
            Self::Double(double) => {
                double.freeze(frozen);
                Ok(())
            }
        }
    }

    /// Where its admin interface listens.
    pub fn admin(&self) -> SocketAddr {
        match self {
            Self::Real(real) => real.admin(),
            Self::Double(double) => double.admin(),
        }
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        match self {
            Self::Real(real) => real.data(),
            Self::Double(double) => double.data(),
        }
    }

    /// One statement on its admin interface.
    ///
    /// # Errors
    /// What it says.
    pub async fn edit(&self, statement: &str) -> Result<()> {
        match self {
            Self::Real(real) => real.edit(statement).await,
            Self::Double(double) => double.edit(statement),
        }
    }

    /// Who clients are led to now, in the order of group and address.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn placed(&self) -> Result<Vec<Placed>> {
        match self {
            Self::Real(real) => real.placed().await,
            Self::Double(double) => Ok(double.placed()),
        }
    }

    /// The hosts in use in a group.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn online(&self, group: u32) -> Result<Vec<Ipv4Addr>> {
        let placed = self.placed().await?;
        let online = placed.iter().filter(|row| row.group == group && row.status == Status::Online);
        Ok(online.filter_map(|row| row.host.parse().ok()).collect())
    }

    /// The most servers that were in use in the writer group at any moment since it was made; of a real one, at any moment
    /// that somebody looked.
    pub fn most_writers(&self) -> usize {
        match self {
            Self::Real(real) => real.most_writers(),
            Self::Double(double) => double.most_writers(),
        }
    }

    /// Follows who clients are led to.
    pub fn changes(&self) -> Changes {
        match self {
            Self::Real(real) => real.changes(),
            Self::Double(double) => double.changes(),
        }
    }

    /// Whether it ended by itself, or was sent what ends a real one.
    pub fn has_crashed(&self) -> bool {
        match self {
            Self::Real(real) => real.has_crashed(),
            Self::Double(double) => double.has_crashed(),
        }
    }
}

impl fmt::Display for ProxySql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Real(_) => "real ProxySQL",
            Self::Double(_) => "double",
        };
        write!(f, "the {kind} at {}", self.admin())
    }
}

impl From<Double> for ProxySql {
    fn from(double: Double) -> Self {
        Self::Double(double)
    }
}
