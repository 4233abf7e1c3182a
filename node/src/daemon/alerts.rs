//! Who is told what happens, by the file as it was read last.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::error;

use super::start::StartError;
use crate::alert::{Heart, Listeners, Sinks};
use crate::config::Config;

/// By this file.
///
/// # Errors
/// [`StartError::Other`] when a secret cannot be read; it names the key and the mend.
pub(super) fn listeners(config: &Config) -> Result<Listeners, StartError> {
    let sinks = Sinks::of(config).map_err(|error| StartError::Other(error.to_string()))?;
    Ok(Listeners { sinks: Arc::new(sinks), heart: Heart::of(&config.heartbeat) })
}

/// Takes a new file over; where a secret cannot be read any more, those who were told before are told on.
pub(super) fn renew(listeners: &watch::Sender<Listeners>, config: &Config) {
    match self::listeners(config) {
        Ok(new) => drop(listeners.send_replace(new)),
        Err(why) => error!(%why, "alerts go on to those of before"),
    }
}
