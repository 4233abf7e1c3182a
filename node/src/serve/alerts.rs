//! `batonctl mute` and `batonctl alert test`.

use baton_proto::control::{
    AlertTestReply, AlertTestRequest, AlertTested, BackupListReply, BackupListRequest, Done, MuteRequest,
    RebuildRequest, RecoveryReply, StatusReply, WhyReply, WhyRequest,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tonic::Status;

use super::Control;
use super::orders::{done, instant, word};
use super::refusal::refused;
use crate::alert::{Answers, try_all};
use crate::state::{AlertChange, Change, Mute};

/// Bounds of a mute: long enough to be meant, short enough that nobody forgets it.
const MUTE_MS: std::ops::RangeInclusive<u64> = 60_000..=7 * 24 * 3_600_000;

impl Control {
    pub(super) async fn mute(&self, request: MuteRequest) -> Result<Done, Status> {
        let MuteRequest { for_ms, reason, by } = request;
        if for_ms == 0 {
            self.commit(Change::Alerts(vec![AlertChange::Unmute { by }])).await?;
            return Ok(done(
                "people are told again what happens",
                ["what has begun meanwhile and lasts on is told now"],
            ));
        }
        if !MUTE_MS.contains(&for_ms) {
            return Err(refused("a mute lasts from 1 minute to 7 days; pass for example --for 2h"));
        }
        let until_ms = self.now_ms().saturating_add_unsigned(for_ms);
        let mute = Mute { until_ms, word: word(by, reason) };
        self.commit(Change::Alerts(vec![AlertChange::Mute(mute)])).await?;
        Ok(done(
            format!("nobody is told anything until {}", instant(until_ms)),
            ["batonctl mute --end ends it before; the dead man's switch goes on as it is"],
        ))
    }

    pub(super) async fn alert_test(&self, request: AlertTestRequest) -> Result<AlertTestReply, Status> {
        let sinks = std::sync::Arc::clone(&self.listeners.borrow().sinks);
        if sinks.is_empty() {
            return Err(refused(format!(
                "nobody is told anything: the file of {}, which leads, has no [[telegram.chat]], [[webhook]] or \
                 [[alert.command]]",
                self.me
            )));
        }
        let tested = try_all(&self.cluster, &sinks, &request.by, self.now_ms()).await;
        let shown =
            |t: crate::alert::Tested| AlertTested { sink: t.sink, failed: t.failed.unwrap_or_default() };
        Ok(AlertTestReply { sinks: tested.into_iter().map(shown).collect() })
    }
}

/// For the leader alone, which is the one that people ask.
impl Answers for Control {
    fn status(&self) -> BoxFuture<'_, StatusReply> {
        self.status_as_leader().boxed()
    }

    fn why(&self) -> BoxFuture<'_, Result<WhyReply, String>> {
        async { self.why(&WhyRequest { epoch: 0 }).await.map_err(|status| status.message().to_owned()) }
            .boxed()
    }

    fn backups(&self) -> BoxFuture<'_, (BackupListReply, RecoveryReply)> {
        async { (self.backups(&BackupListRequest::default()).await, self.recovery().await) }.boxed()
    }

    fn rebuild(&self, node: &str, by: String) -> BoxFuture<'_, Result<String, String>> {
        let request = RebuildRequest { node: node.to_owned(), by, ..RebuildRequest::default() };
        async move {
            let node = request.node.clone();
            let reply = self.rebuild(request).await.map_err(|status| status.message().to_owned())?;
            match reply.refusals.is_empty() {
                true => Ok(format!("The rebuild of {node} has begun, from {}.", reply.source)),
                false => Err(reply.refusals.join("; ")),
            }
        }
        .boxed()
    }
}
