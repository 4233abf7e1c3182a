//! Tells people what happens: by Telegram, webhook or command; and tells a dead man's switch that all is well.
//!
//! `event` turns what is seen into troubles worth telling, and `story` what was agreed into operations as they stand. `decide`
//! folds both into notices, which are replicated, `room` says which of them make room for new ones, and `due` which sink is to
//! be told what. All of these are pure. `leader` carries it out on the leader, beside everything else: no decision waits for
//! it. Each sink has a file of its own.

mod command;
pub mod decide;
pub mod due;
pub mod event;
mod heartbeat;
mod http;
mod leader;
mod retry;
pub mod room;
mod sink;
pub mod story;
pub mod telegram;
mod test;
mod webhook;
pub mod words;

#[cfg(test)]
mod tests;

pub use heartbeat::Heart;
pub use leader::{Alerting, Listeners};
pub use sink::{Sinks, SinksError};
pub use telegram::Answers;
pub use test::{Tested, try_all};
