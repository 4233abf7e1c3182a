#![allow(clippy::unwrap_used)]

pub(crate) mod sample;

use std::time::Duration;

/// Waits until `holds`, at most ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok(), "waited in vain: {what}");
}
