//! `batonctl`, as an operator or a script runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use baton_proto::control::{
    AdoptReply, CheckReply, Done, HistoryReply, Operation, RoutingReply, StatusReply, SwitchoverReply,
    WhyReply,
};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::files::Files;
use super::programs;
use crate::sandbox::{Host, within};

/// Longer than any of `batonctl`'s own bounds for a question.
const QUESTION: Duration = Duration::from_secs(15);
/// Longer than its bound for a change.
const CHANGE: Duration = Duration::from_secs(75);
/// Exit statuses that come with an answer: healthy, degraded, no writer.
const ANSWERED: [i32; 3] = [0, 1, 2];

/// `batonctl` on the client's host, with the operator's certificate.
#[derive(Debug, Clone)]
pub struct Ctl {
    host: Host,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

impl Ctl {
    pub(super) fn new(host: &Host, files: &Files) -> Result<Self> {
        let program = programs::find("batonctl", "BATONCTL_BIN")?;
        let certificate = |name| files.certificate(name);
        let arguments = vec![
            "--config".into(),
            files.config().to_owned(),
            "--ca".into(),
            certificate("ca.pem"),
            "--cert".into(),
            certificate("admin.client.pem"),
            "--key".into(),
            certificate("admin.client.key"),
        ];
        Ok(Self { host: host.clone(), program, arguments })
    }

    /// A command that runs `batonctl` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command.args(arguments).args(&self.arguments);
        command
    }

    /// The same as a script for a person, to be run as the same user: from outside, where the hosts are namespaces.
    pub fn script(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut script = String::from("#!/bin/sh\n");
        if let Some(namespace) = self.host.namespace() {
            // An ordinary user's hosts are in a user namespace, which has to be entered first.
            script += &format!(
                "of=/proc/{}/ns/user\n\
                 [ \"$(readlink $of)\" = \"$(readlink /proc/self/ns/user)\" ] || user=\"--user=$of --preserve-credentials\"\n",
                std::process::id()
            );
            words.push(format!("nsenter $user --net={} --", namespace.display()));
        }
        words.push(self.program.display().to_string());
        words.extend(self.arguments.iter().map(|argument| argument.display().to_string()));
        script + &format!("exec {} \"$@\"\n", words.join(" "))
    }

    /// `batonctl status`.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn status(&self) -> Result<StatusReply> {
        self.ask(&["status"], QUESTION).await
    }

    /// `batonctl status`, of one node alone: its own view.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status_of(&self, host: &Host) -> Result<StatusReply> {
        let address = format!("{}:{}", host.address(), super::PEER_PORT);
        self.ask(&["status", "--node", &address], QUESTION).await
    }

    /// `batonctl status` as a person sees it.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn status_text(&self, colour: bool) -> Result<String> {
        let colour = if colour { "--color=always" } else { "--color=never" };
        let output = self.output(&["status", colour], QUESTION).await?;
        ensure!(output.status.code().is_some_and(|code| ANSWERED.contains(&code)), "batonctl status failed");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The last operations, the newest first, with their steps.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn history(&self, limit: u32) -> Result<Vec<Operation>> {
        let reply: HistoryReply = self.ask(&["history", &limit.to_string()], QUESTION).await?;
        Ok(reply.operations)
    }

    /// The operation that ended an epoch, once it is over.
    ///
    /// # Errors
    /// When there is none, or no node answers.
    pub async fn operation_from(&self, epoch: u64) -> Result<Operation> {
        let over = |operation: &Operation| operation.from_epoch == epoch && operation.outcome == "done";
        self.history(20)
            .await?
            .into_iter()
            .find(over)
            .with_context(|| format!("nothing ended epoch {epoch} yet"))
    }

    /// `batonctl why`.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn why(&self) -> Result<WhyReply> {
        self.ask(&["why"], QUESTION).await
    }

    /// `batonctl routing`.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn routing(&self) -> Result<RoutingReply> {
        self.ask(&["routing"], QUESTION).await
    }

    /// The same as people read it: each line with its spaces squeezed.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn routing_text(&self) -> Result<Vec<String>> {
        let output = self.output(&["routing"], QUESTION).await?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }

    /// `batonctl check`.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn check(&self) -> Result<CheckReply> {
        self.ask(&["check"], QUESTION).await
    }

    /// `batonctl adopt --dry-run`: what it would change, and what stands in its way.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn adoption_plan(&self, writer: &str) -> Result<AdoptReply> {
        self.ask(&["adopt", "--writer", writer, "--dry-run"], QUESTION).await
    }

    /// `batonctl adopt`.
    ///
    /// # Errors
    /// When Baton refuses; the message names what it found.
    pub async fn adopt(&self, writer: &str) -> Result<AdoptReply> {
        let reply: AdoptReply = self.change(&["adopt", "--writer", writer, "--yes"]).await?;
        ensure!(reply.adopted, "not adopted: {} {:#?}", reply.message, reply.findings);
        Ok(reply)
    }

    /// `batonctl release`.
    ///
    /// # Errors
    /// When Baton refuses.
    pub async fn release(&self, reason: &str) -> Result<Done> {
        self.change(&["release", "--reason", reason]).await
    }

    /// `batonctl failover --force`.
    ///
    /// # Errors
    /// When Baton refuses, or the failover fails.
    pub async fn force_failover(&self, to: &str, reason: &str) -> Result<Done> {
        self.change(&["failover", "--force", "--yes", "--to", to, "--reason", reason]).await
    }

    /// `batonctl switchover` with these arguments: what it answers, also where nothing is moved.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn switchover(&self, arguments: &[&str]) -> Result<SwitchoverReply> {
        let all: Vec<&str> = ["switchover", "--json"].iter().chain(arguments).copied().collect();
        let output = self.output(&all, CHANGE).await?;
        let answer: serde_json::Result<serde_json::Value> = serde_json::from_slice(&output.stdout);
        let said = || {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            format!("batonctl {}: {}: {said}", all.join(" "), output.status)
        };
        let answer = answer.with_context(said)?;
        // An error has none of the fields of an answer, and all of them have a default.
        ensure!(answer.get("error").is_none(), said());
        serde_json::from_value(answer).with_context(said)
    }

    /// `batonctl pause`.
    ///
    /// # Errors
    /// When Baton refuses.
    pub async fn pause(&self, length: &str) -> Result<Done> {
        self.change(&["pause", "--for", length, "--reason", "a pause is tested"]).await
    }

    /// `batonctl resume`.
    ///
    /// # Errors
    /// When Baton refuses.
    pub async fn resume(&self) -> Result<Done> {
        self.change(&["resume"]).await
    }

    /// Runs `batonctl`, which must succeed, and returns what it printed.
    ///
    /// # Errors
    /// What it says when it does not.
    pub async fn done(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments, CHANGE).await?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "batonctl {}: {}: {said}", arguments.join(" "), output.status);
        Ok(said.into_owned())
    }

    async fn change<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        self.ask(arguments, CHANGE).await
    }

    async fn ask<T: DeserializeOwned>(&self, arguments: &[&str], bound: Duration) -> Result<T> {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.output(&all, bound).await?;
        let code = output.status.code();
        if !code.is_some_and(|code| ANSWERED.contains(&code)) {
            let said = String::from_utf8_lossy(&output.stderr);
            let answer = String::from_utf8_lossy(&output.stdout);
            bail!("batonctl {}: {}: {} {}", arguments.join(" "), output.status, said.trim(), answer.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("batonctl {} --json: {}", arguments.join(" "), String::from_utf8_lossy(&output.stdout))
        })
    }

    async fn output(&self, arguments: &[&str], bound: Duration) -> Result<std::process::Output> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        within(&format!("batonctl {}", arguments.join(" ")), bound, command.output()).await
    }
}
