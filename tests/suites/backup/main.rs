//! Backups of real servers: made while a client writes, and restored by the means that `docs/backup-format.md` names, because
//! a backup that was never restored is none.

mod archive;
mod archive_cluster;
mod chains;
mod clone;
mod ctl;
mod dump;
mod physical;
mod replay;
mod retention;
mod scan;
mod schedule;
mod shelf;
