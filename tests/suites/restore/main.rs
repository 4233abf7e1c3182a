//! `baton-node restore` on backups of real servers, made while a client writes: with the store and the key alone, into an empty
//! folder, and what comes out has every row.

mod files;
mod refused;
mod rows;
