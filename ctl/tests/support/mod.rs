//! A cluster of one mock node behind real mutual TLS, and the real `batonctl` against it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_proto::control::control_server::{Control, ControlServer};
use baton_proto::control::*;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What the mock answers to everything.
#[derive(Clone, Default)]
pub struct Script {
    pub status: StatusReply,
    pub check: CheckReply,
    pub events: EventsReply,
    pub rebuild: RebuildReply,
    pub adopt: AdoptReply,
    pub switchover: SwitchoverReply,
    pub quarantine: QuarantineShowReply,
    pub recovery: RecoveryReply,
    /// Answers requests whose name begins so with this error.
    pub error: Option<(&'static str, Status)>,
    /// Never answers requests whose name begins so.
    pub silent_to: Option<&'static str>,
    /// Answers requests whose name begins so after this long.
    pub slow_to: Option<(&'static str, Duration)>,
}

/// One mock node.
#[derive(Clone)]
pub struct Mock {
    script: Script,
    /// Every request, as its Debug text.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mock {
    async fn answer<Q: std::fmt::Debug, T>(
        &self,
        request: Request<Q>,
        reply: T,
    ) -> Result<Response<T>, Status> {
        let request = format!("{:?}", request.into_inner());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        if self.script.silent_to.is_some_and(|name| request.starts_with(name)) {
            std::future::pending::<()>().await;
        }
        if let Some((_, long)) = self.script.slow_to.filter(|(name, _)| request.starts_with(name)) {
            tokio::time::sleep(long).await;
        }
        match &self.script.error {
            Some((name, error)) if request.starts_with(name) => Err(error.clone()),
            _ => Ok(Response::new(reply)),
        }
    }
}

fn done() -> Done {
    Done { message: "done".into(), details: vec!["one more thing".into()] }
}

#[tonic::async_trait]
impl Control for Mock {
    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        self.answer(request, self.script.status.clone()).await
    }
    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryReply>, Status> {
        self.answer(request, HistoryReply::default()).await
    }
    async fn events(&self, request: Request<EventsRequest>) -> Result<Response<EventsReply>, Status> {
        self.answer(request, self.script.events.clone()).await
    }
    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyReply>, Status> {
        self.answer(request, WhyReply::default()).await
    }
    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn failover(&self, request: Request<FailoverRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn switchover(
        &self,
        request: Request<SwitchoverRequest>,
    ) -> Result<Response<SwitchoverReply>, Status> {
        self.answer(request, self.script.switchover.clone()).await
    }
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckReply>, Status> {
        self.answer(request, self.script.check.clone()).await
    }
    async fn adopt(&self, request: Request<AdoptRequest>) -> Result<Response<AdoptReply>, Status> {
        self.answer(request, self.script.adopt.clone()).await
    }
    async fn mute(&self, request: Request<MuteRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn alert_test(
        &self,
        request: Request<AlertTestRequest>,
    ) -> Result<Response<AlertTestReply>, Status> {
        self.answer(request, AlertTestReply::default()).await
    }
    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn add_node(&self, request: Request<AddNodeRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn rebuild(&self, request: Request<RebuildRequest>) -> Result<Response<RebuildReply>, Status> {
        self.answer(request, self.script.rebuild.clone()).await
    }
    async fn config_show(
        &self,
        request: Request<ConfigShowRequest>,
    ) -> Result<Response<ConfigShowReply>, Status> {
        self.answer(request, ConfigShowReply::default()).await
    }
    async fn config_apply(
        &self,
        request: Request<ConfigApplyRequest>,
    ) -> Result<Response<ConfigApplyReply>, Status> {
        self.answer(request, ConfigApplyReply::default()).await
    }
    async fn routing(&self, request: Request<RoutingRequest>) -> Result<Response<RoutingReply>, Status> {
        self.answer(request, RoutingReply::default()).await
    }
    async fn quarantine_list(
        &self,
        request: Request<QuarantineListRequest>,
    ) -> Result<Response<QuarantineListReply>, Status> {
        self.answer(request, QuarantineListReply::default()).await
    }
    async fn quarantine_show(
        &self,
        request: Request<QuarantineShowRequest>,
    ) -> Result<Response<QuarantineShowReply>, Status> {
        self.answer(request, self.script.quarantine.clone()).await
    }
    async fn maintenance(&self, request: Request<MaintenanceRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn restart_server(&self, request: Request<RestartRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn rehearse(&self, request: Request<RehearseRequest>) -> Result<Response<RehearseReply>, Status> {
        self.answer(request, RehearseReply::default()).await
    }
    async fn quarantine_release(
        &self,
        request: Request<QuarantineReleaseRequest>,
    ) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn backup_now(&self, request: Request<BackupNowRequest>) -> Result<Response<BackupBegun>, Status> {
        self.answer(request, BackupBegun::default()).await
    }
    async fn backup_verify(
        &self,
        request: Request<BackupVerifyRequest>,
    ) -> Result<Response<BackupBegun>, Status> {
        self.answer(request, BackupBegun::default()).await
    }
    async fn backup_scan(
        &self,
        request: Request<BackupScanRequest>,
    ) -> Result<Response<BackupBegun>, Status> {
        self.answer(request, BackupBegun::default()).await
    }
    async fn backup_cancel(&self, request: Request<BackupCancelRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn backup_pin(&self, request: Request<BackupPinRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn backup_delete(&self, request: Request<BackupDeleteRequest>) -> Result<Response<Done>, Status> {
        self.answer(request, done()).await
    }
    async fn backup_prune(
        &self,
        request: Request<BackupPruneRequest>,
    ) -> Result<Response<BackupPruneReply>, Status> {
        self.answer(request, BackupPruneReply::default()).await
    }
    async fn backup_list(
        &self,
        request: Request<BackupListRequest>,
    ) -> Result<Response<BackupListReply>, Status> {
        self.answer(request, BackupListReply::default()).await
    }
    async fn recovery(&self, request: Request<RecoveryRequest>) -> Result<Response<RecoveryReply>, Status> {
        self.answer(request, self.script.recovery.clone()).await
    }
}

/// A running mock node; ends with the value.
pub struct Node {
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// Serves `script` as node db1 with the certificates in `folder`.
    pub async fn start(folder: &Folder, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::default();
        let mock = Mock { script, asked: Arc::clone(&asked) };
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(folder.read("db1.pem"), folder.read("db1.key")))
            .client_ca_root(Certificate::from_pem(folder.read("ca.pem")));
        let mut server = Server::builder().tls_config(tls).unwrap();
        let serving =
            server.add_service(ControlServer::new(mock)).serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, asked, task }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A folder with a cluster's certificates; deleted with the value.
pub struct Folder(PathBuf);

impl Folder {
    /// The certificates of cluster `cluster` with one node, db1.
    pub fn new(test: &str, cluster: &str) -> Self {
        Self::of(
            std::env::temp_dir().join(format!("batonctl-{}-{test}-{cluster}", std::process::id())),
            cluster,
        )
    }

    /// The same at a place of the test's choice.
    pub fn of(path: PathBuf, cluster: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = Self(path);
        let nodes = ["db1".to_owned()];
        batonctl::certs::make_all(cluster, &nodes, "admin", &folder.0, true, jiff::Timestamp::now()).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What one run of `batonctl` printed, and its exit status.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `batonctl` as cluster shop's admin against `nodes`.
pub async fn batonctl(folder: &Folder, nodes: &[&str], args: &[&str]) -> Ran {
    batonctl_of(folder, "shop", nodes, args).await
}

/// The same, taking the cluster for `cluster`.
pub async fn batonctl_of(folder: &Folder, cluster: &str, nodes: &[&str], args: &[&str]) -> Ran {
    run(command(folder, cluster, nodes, args).stderr(Stdio::piped())).await
}

fn command(folder: &Folder, cluster: &str, nodes: &[&str], args: &[&str]) -> Command {
    let path = folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_batonctl"));
    command
        .env_clear()
        .env("BATON_NODES", nodes.join(","))
        .env("BATON_CLUSTER", cluster)
        .env("USER", "ada")
        .args(args)
        .arg("--ca")
        .arg(path.join("ca.pem"))
        .arg("--cert")
        .arg(path.join("admin.client.pem"))
        .arg("--key")
        .arg(path.join("admin.client.key"))
        .stdin(Stdio::null());
    command
}

/// Runs `batonctl` with a terminal for stdin and stderr, on which `typed` is typed; `err` is what the terminal shows.
pub async fn at_a_terminal(folder: &Folder, node: &str, args: &[&str], typed: &str) -> Ran {
    use std::io::{Read as _, Write as _};
    let master =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let end = std::fs::File::options().read(true).write(true).open(name).unwrap();
    let mut command = command(folder, "shop", &[node], args);
    command.stdin(end.try_clone().unwrap()).stderr(end);
    let mut master = std::fs::File::from(master);
    master.write_all(typed.as_bytes()).unwrap();
    let mut ran = run(&mut command).await;
    // Closes our copies of the other end: reading then ends with an error once all is read.
    drop(command);
    let mut shown = Vec::new();
    let _ = master.read_to_end(&mut shown);
    ran.err = String::from_utf8(shown).unwrap();
    ran
}

/// Runs a command to its end, bounded.
pub async fn run(command: &mut Command) -> Ran {
    // Not `output()`, which would put a pipe in the place of a terminal.
    let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let running = child.wait_with_output();
    let Output { status, stdout, stderr } =
        tokio::time::timeout(Duration::from_secs(30), running).await.expect("batonctl ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}
