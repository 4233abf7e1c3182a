//! What this node sees, and its exchange. [`own`] watches the server beside the node, [`trial`] tries
//! what a client would do there, [`source_trial`] the replication account at the servers to follow, [`probe`] every server over
//! the network, [`reporter`] sends both to the leader, [`table`] keeps the latest report of each node there. [`mod@lint`] says
//! which settings of a server are unsafe. Nothing here decides or changes anything.

mod about;
mod digest;
#[cfg(test)]
pub(crate) mod fake;
pub mod lint;
pub mod own;
pub mod probe;
mod pulse;
pub mod reporter;
mod shortage;
pub mod source_trial;
pub mod table;
#[cfg(test)]
mod tests;
pub mod trial;

pub use digest::Digest;
pub use lint::{lint, lint_fleet};
pub use own::{OwnHandle, OwnSetup, OwnWatch};
pub use probe::{Connect, Prober};
pub use reporter::{ReportSink, Reporter, ReporterSetup, digest, see};
pub use source_trial::{Refused, SourceLogin, SourceTrial};
pub use table::Table;
pub use trial::{OwnTrial, TrialHandle, TrialSetup};
