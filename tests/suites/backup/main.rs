//! Backups of real servers: made while a client writes, and restored by the means that `docs/backup-format.md` names, because
//! a backup that was never restored is none.

mod clone;
mod ctl;
mod dump;
mod physical;
mod retention;
mod schedule;
