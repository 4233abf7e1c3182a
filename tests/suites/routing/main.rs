//! ProxySQL: the double itself, instances that follow failovers and switchovers of real servers, and everything that can be
//! wrong with one.

mod double;
mod drained;
mod drift;
mod follow;
mod readers;
mod support;
