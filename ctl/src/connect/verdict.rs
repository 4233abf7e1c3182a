//! What a gRPC status means for the operator.

use tonic::{Code, Status};

use super::Trouble;
use super::race::Attempt;
use crate::error::Error;

/// A failed question: try the next node, or stop here?
pub(super) fn judge(status: Status) -> Attempt {
    match trouble(&status) {
        Some(trouble) => Attempt::Next(trouble),
        // The leader has just changed: another node may know the new one.
        None if status.code() == Code::Aborted => Attempt::Next(Trouble::NotReady(words(&status))),
        None => Attempt::Final(refused(&status)),
    }
}

/// A failed change. Nothing was done where a node refused; everywhere else it may have been, also when the node says
/// that it lost its leader.
pub(super) fn of_change(node: String, status: Status) -> Error {
    match trouble(&status) {
        Some(trouble) => Error::Unconfirmed { node, what: trouble.to_string() },
        None => refused(&status),
    }
}

/// The trouble that kept the node from answering, `None` when the status is its answer.
fn trouble(status: &Status) -> Option<Trouble> {
    if let Some(found) = Trouble::find(status) {
        return Some(found);
    }
    match status.code() {
        Code::Unavailable => Some(Trouble::NotReady(words(status))),
        Code::DeadlineExceeded => Some(Trouble::TimedOut),
        // hyper's word for a connection that ended before the answer.
        Code::Cancelled => Some(Trouble::Other("it closed the connection".into())),
        _ => None,
    }
}

fn refused(status: &Status) -> Error {
    let mend = match status.code() {
        Code::Unauthenticated => "use a client certificate from this cluster's CA (`batonctl certs`)",
        Code::PermissionDenied => {
            "use a certificate that may do this: a client's, not a node's (`batonctl certs`)"
        }
        Code::Unimplemented => "that node is older than this batonctl: update it, or ask another with --node",
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "look at the nodes' logs (`journalctl -u baton-node`)"
        }
        // The node's words say what stands in the way.
        _ => "",
    };
    Error::Refused { what: words(status), mend: mend.into() }
}

fn words(status: &Status) -> String {
    match status.message() {
        "" => format!("it answered {}", status.code()),
        message => message.to_owned(),
    }
}
