//! Asks another node for a copy of its server, over a connection of its own: nothing that is urgent waits behind it.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::{CopyPiece, CopyRequest};
use tokio::time::timeout;
use tonic::Streaming;

use crate::consensus::Group;
use crate::peers::{Peers, reason};
use crate::state::{Epoch, NodeName, OperationId};

/// How long the other node may take until the stream begins: it may wait for an earlier one to end, and looks at the size
/// of its server's data.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// Where copies come from.
#[derive(Clone)]
pub struct Copies {
    /// The group.
    pub group: Group,
    /// Connections.
    pub peers: Arc<Peers>,
}

impl Copies {
    /// Opens the stream of one attempt.
    pub(super) async fn open(
        &self,
        source: &NodeName,
        operation: &OperationId,
        attempt: u32,
        epoch: Epoch,
    ) -> Result<Streaming<CopyPiece>, String> {
        let address = {
            let membership = self.group.membership();
            let (_, member) = membership.by_name(source).ok_or_else(|| format!("{source} is no member"))?;
            member.address.clone()
        };
        let mut client = self.peers.bulk(source, &address).map_err(|e| e.to_string())?;
        let operation = operation.to_string();
        let request = CopyRequest { sender: Some(self.group.sender()), operation, attempt, epoch: epoch.0 };
        match timeout(BEGINS_WITHIN, client.copy(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(format!("{source}: {}", reason(&status))),
            Err(_) => Err(format!("{source} has sent nothing within {} s", BEGINS_WITHIN.as_secs())),
        }
    }
}
