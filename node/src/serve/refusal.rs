//! Errors as gRPC statuses. `FAILED_PRECONDITION`: nothing was done, and the words say what stands in the way.
//! `UNAVAILABLE`: nothing was done, and it may work later. `DEADLINE_EXCEEDED`: it may have been done.

use tonic::Status;

use crate::consensus::{MembershipError, ProposeError};
use crate::state::Refusal;

/// Not now and not later, unless something changes.
pub(super) fn refused(why: impl ToString) -> Status {
    Status::failed_precondition(why.to_string())
}

pub(super) fn by_state(refusal: Refusal) -> Status {
    refused(refusal)
}

pub(super) fn not_committed(error: ProposeError) -> Status {
    match error {
        ProposeError::NoLeader | ProposeError::NotSent { .. } => {
            Status::unavailable(format!("{error}; try again when `batonctl status` shows a leader"))
        }
        ProposeError::Unknown { .. } => {
            Status::deadline_exceeded(format!("{error}; see `batonctl status` before you try again"))
        }
        ProposeError::Refused { .. } => refused(format!("{error}; look at the node's log")),
    }
}

pub(super) fn by_membership(error: MembershipError) -> Status {
    match error {
        MembershipError::NotLeader | MembershipError::Busy => Status::unavailable(error.to_string()),
        MembershipError::Unfinished { .. } => Status::deadline_exceeded(error.to_string()),
        _ => refused(error),
    }
}
