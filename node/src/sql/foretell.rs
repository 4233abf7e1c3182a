//! What a call would send to a server, as text: for the plan that a dry run shows. Every text here comes from the function or
//! constant that the call itself sends; `tests/suites/switchover` compares them with a server's own log of statements.

use super::capabilities::Capabilities;
use super::error::SqlError;
use super::managed::{CloseOptions, EventSeen, Source};
use super::pinned::opening;
use super::replication_words::{foretold_following, foretold_forgetting, words};
use super::status::Pulse;
use super::wire::Wire;
use super::{applied, close, events, pulse, release, semi_sync};

/// On a replica a transaction of its own would be extra.
pub(super) const ROTATE: &str = "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS";
/// The number of one of several tables follows.
pub(super) const PROVES_WITH: &str = "DROP TABLE IF EXISTS baton.proof_";

/// A call of [`super::ManagedServer`], or of [`super::Pinned`], whose statements are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// `rotate_binlog`.
    RotateBinlog,
    /// `close`.
    Close(&'a CloseOptions),
    /// `stop_waiting`, as often as it takes.
    StopWaiting,
    /// `set_event_scheduler`.
    EventScheduler(bool),
    /// `wait_applied`; the set is not known yet, and named so.
    WaitApplied(&'a str),
    /// `forget_source`.
    ForgetSource,
    /// `make_source_wait`, for so many ackers.
    MakeSourceWait(u32),
    /// `open`.
    Open,
    /// `set_acker`, with the `sync_relay_log` that it needs.
    SetAcker(bool),
    /// `follow`.
    Follow(&'a Source),
    /// `enable_event`.
    EnableEvent(&'a EventSeen),
    /// `prove_commit`.
    ProveCommit,
}

/// A statement that is sent. One line: a name may hold a line break, and what follows it would look like a statement.
pub(super) fn sent(sql: impl AsRef<str>) -> String {
    format!("{};", sql.as_ref().replace(char::is_control, " "))
}

/// A statement that is sent to what `whom` names, or on that condition.
pub(super) fn sent_where(sql: impl AsRef<str>, whom: &str) -> String {
    format!("{} -- {whom}", sent(sql))
}

/// The statements of `call`, as the server is now.
pub(super) async fn foretell(wire: &mut Wire, call: Call<'_>) -> Result<Vec<String>, SqlError> {
    if let Call::EventScheduler(on) = call {
        return Ok(events::switching(wire, on).await?.iter().map(sent).collect());
    }
    let caps = wire.caps();
    let seen = pulse::take(wire).await?;
    statements(&caps, &seen, call)
}

fn statements(caps: &Capabilities, seen: &Pulse, call: Call<'_>) -> Result<Vec<String>, SqlError> {
    Ok(match call {
        Call::RotateBinlog => vec![sent(ROTATE)],
        Call::Close(options) => close::foretold(caps, options),
        Call::StopWaiting => release::foretold(caps),
        Call::EventScheduler(_) => Vec::new(),
        Call::WaitApplied(set) => applied::foretold(caps.dialect, set),
        Call::ForgetSource => foretold_forgetting(caps, seen),
        Call::MakeSourceWait(count) => vec![sent(semi_sync::source_waits(&caps.source_side()?, count))],
        Call::Open => opening(caps.dialect, seen.offline_mode).into_iter().map(sent).collect(),
        Call::SetAcker(on) => acknowledging(caps, seen, on)?,
        Call::Follow(source) => foretold_following(caps, seen, source),
        Call::EnableEvent(event) => events::enabling(event).iter().map(sent).collect(),
        Call::ProveCommit => vec![sent(format!("{PROVES_WITH}<n>"))],
    })
}

/// What is so already is not said again.
fn acknowledging(caps: &Capabilities, seen: &Pulse, on: bool) -> Result<Vec<String>, SqlError> {
    let mut lines = Vec::new();
    if seen.semi_sync.replica_enabled == on {
        return Ok(lines);
    }
    if on && seen.semi_sync.sync_relay_log != 1 {
        lines.push(sent(semi_sync::relay_log_synced(true)));
    }
    lines.push(sent(semi_sync::replica_side(caps.replica_side()?, on)));
    if seen.replication.as_ref().is_some_and(|channel| channel.io_started) {
        lines.extend([words(caps.dialect).stop_receiver, words(caps.dialect).start_receiver].map(sent));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;
