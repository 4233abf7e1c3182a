//! Our algebra of GTID sets and a real server's, asked the same questions.
#![allow(clippy::unwrap_used)]

use anyhow::{Context, Result, ensure};
use baton_node::gtid::GtidSet;
use baton_tests::sandbox::{Dialect, Sandbox, SandboxOptions, within};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const QUESTIONS: u64 = 400;
const BOUND: Duration = Duration::from_secs(20);
/// Few servers, tags and numbers, so that two random sets meet.
const SERVERS: [&str; 3] = [
    "3e11fa47-71ca-11e1-9e33-c80aa9429562",
    "4350f323-7565-4e59-8763-4b1b83a0ce0e",
    "ffffffff-0000-0000-0000-00000000000a",
];
const TAGS: [&str; 3] = ["", "backup", "a_long_tag_of_thirty_two_letters"];

#[tokio::test]
async fn mysql_answers_as_we_do() -> Result<()> {
    let sandbox =
        Sandbox::new(SandboxOptions { servers: 1, hosts: 1, ..SandboxOptions::new(Dialect::MySql) }).await?;
    let servers = sandbox.servers().await?;
    let mut connection = servers[0].connect().await?;
    let has_tags =
        ask::<Option<i64>>(&mut connection, &format!("SELECT GTID_SUBSET('{}:tag:1', '')", SERVERS[0])).await;
    let tags = if has_tags.is_ok() { &TAGS[..] } else { &TAGS[..1] };
    for seed in 0..QUESTIONS {
        let random = &mut StdRng::seed_from_u64(seed);
        let (left, right) = (text(random, tags), text(random, tags));
        let both = || format!("seed {seed}\n left: {left}\nright: {right}");
        let (ours_left, ours_right) = (GtidSet::parse_mysql(&left)?, GtidSet::parse_mysql(&right)?);

        let subset: i64 = ask(&mut connection, &format!("SELECT GTID_SUBSET('{left}', '{right}')")).await?;
        ensure!(ours_right.contains(&ours_left)? == (subset == 1), "GTID_SUBSET says {subset}: {}", both());

        let rest: String =
            ask(&mut connection, &format!("SELECT GTID_SUBTRACT('{left}', '{right}')")).await?;
        let ours = ours_left.subtract(&ours_right)?;
        ensure!(GtidSet::parse_mysql(&rest)? == ours, "GTID_SUBTRACT says {rest}\nours: {ours}\n{}", both());
        // The server reads what we print, and finds it equal to its own.
        let question = format!("SELECT GTID_SUBSET('{ours}', '{rest}') AND GTID_SUBSET('{rest}', '{ours}')");
        ensure!(
            ask::<i64>(&mut connection, &question).await? == 1,
            "we print {ours}, it prints {rest}: {}",
            both()
        );

        let union = ours_left.union(&ours_right)?;
        let question = format!(
            "SELECT GTID_SUBSET('{left}', '{union}') AND GTID_SUBSET('{right}', '{union}') AND \
             GTID_SUBSET(GTID_SUBTRACT('{union}', '{left}'), '{right}')"
        );
        ensure!(ask::<i64>(&mut connection, &question).await? == 1, "our union is {union}: {}", both());
    }
    Ok(())
}

async fn ask<T: mysql_async::prelude::FromValue + Send + 'static>(
    connection: &mut mysql_async::Conn,
    question: &str,
) -> Result<T> {
    let answer: Option<T> = within(question, BOUND, connection.query_first(question)).await?;
    answer.context("no answer")
}

/// A random set as a person might write it: unordered, overlapping, with blanks, in either case.
fn text(random: &mut StdRng, tags: &[&str]) -> String {
    let parts = (0..random.random_range(0..5)).map(|_| {
        let server = SERVERS[random.random_range(0..SERVERS.len())];
        let server = if random.random_bool(0.2) { server.to_uppercase() } else { server.to_owned() };
        let tag = tags[random.random_range(0..tags.len())];
        let tag = if tag.is_empty() { String::new() } else { format!(":{tag}") };
        let intervals = (0..random.random_range(1..4)).map(|_| {
            let first: u32 = random.random_range(1..30);
            match random.random_bool(0.3) {
                true => format!(":{first}"),
                false => format!(":{first}-{}", first + random.random_range(0..10)),
            }
        });
        format!("{server}{tag}{}", intervals.collect::<String>())
    });
    parts.collect::<Vec<_>>().join(if random.random_bool(0.5) { ", " } else { "," })
}
