//! Everything that sends SQL, on real servers of both dialects, under the account that `grants` prints.
#![allow(clippy::unwrap_used)]

mod closing;
mod cut;
mod managed;
mod moving;
mod restarting;

use anyhow::Result;
use baton_tests::sandbox::Dialect;

use closing::closes_and_opens;
use cut::receiver_stops_without_its_source;
use moving::moves_the_writer;
use restarting::{ends_with_a_waiting_commit, restarts_with_a_relay_log};

#[tokio::test]
async fn mysql_closes_and_opens() -> Result<()> {
    closes_and_opens(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_closes_and_opens() -> Result<()> {
    closes_and_opens(Dialect::MariaDb).await
}

#[tokio::test]
async fn mysql_moves_the_writer() -> Result<()> {
    moves_the_writer(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_moves_the_writer() -> Result<()> {
    moves_the_writer(Dialect::MariaDb).await
}

#[tokio::test]
async fn mysql_restarts_with_a_relay_log() -> Result<()> {
    Box::pin(restarts_with_a_relay_log(Dialect::MySql)).await
}

#[tokio::test]
async fn mariadb_restarts_with_a_relay_log() -> Result<()> {
    Box::pin(restarts_with_a_relay_log(Dialect::MariaDb)).await
}

#[tokio::test]
async fn mysql_ends_with_a_waiting_commit() -> Result<()> {
    Box::pin(ends_with_a_waiting_commit(Dialect::MySql)).await
}

#[tokio::test]
async fn mariadb_ends_with_a_waiting_commit() -> Result<()> {
    Box::pin(ends_with_a_waiting_commit(Dialect::MariaDb)).await
}

#[tokio::test]
async fn mysql_receiver_stops_without_its_source() -> Result<()> {
    receiver_stops_without_its_source(Dialect::MySql).await
}

#[tokio::test]
async fn mariadb_receiver_stops_without_its_source() -> Result<()> {
    receiver_stops_without_its_source(Dialect::MariaDb).await
}
