//! GTID sets of MySQL and MariaDB.

mod stub;
pub use stub::{Dialect, GtidSet};
