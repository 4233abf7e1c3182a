//! From a backup on to a later moment: which segments of the archive follow it, where exactly it stops, and replaying them.
//!
//! What is asked comes first (`gather`). Which segments follow one another (`course`), whether a backup lies before the moment
//! (`until`) and where the last segment ends (`stop`) are decided by GTIDs alone: a time is looked up in the segments around it
//! and is a GTID from then on. Then the restored server, which nobody else reaches, replays them with its own applier
//! (`apply`), or a running one is sent them as SQL (`text`).

mod apply;
mod checks;
mod course;
mod gather;
mod preview;
mod segments;
mod show;
mod stop;
mod text;
mod until;

pub(super) use apply::{Applying, RELAY, STAGED_BYTES_MAX, is_at};
pub(super) use gather::{Ready, gather, more};
pub(super) use preview::render as render_preview;
pub(super) use show::{Moment, Replay};
pub(super) use text::Sending;
pub(super) use until::{Fit, Wanted};
