//! Certificates as `batonctl certs` makes them, right and wrong, and both ends of a real TLS connection.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use batonctl::certs::{make_all, make_client, make_node};
use jiff::{Timestamp, ToSpan};
use tonic::Request;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{ClientTlsConfig, Endpoint, Server};

use super::*;
use crate::config::TlsConfig;

/// Certificates of a cluster of db1 and db2, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str, cluster: &str, made: Timestamp) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("baton-identity-{name}-{}", std::process::id())));
        make_all(cluster, &["db1".to_owned(), "db2".to_owned()], "admin", &folder.0, false, made).unwrap();
        folder
    }

    pub(crate) fn tls(&self, stem: &str) -> TlsConfig {
        TlsConfig {
            ca: self.0.join("ca.pem"),
            cert: self.0.join(format!("{stem}.pem")),
            key: self.0.join(format!("{stem}.key")),
        }
    }

    /// Loads as node db1 of cluster shop.
    fn load(&self, tls: &TlsConfig, at: Timestamp) -> Result<Identity, String> {
        Identity::load(tls, "shop", "db1", at).map_err(|fault| self.hide(&fault.to_string()))
    }

    fn hide(&self, text: &str) -> String {
        text.replace(&self.0.display().to_string(), "DIR")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn after_days(days: i64) -> Timestamp {
    now().checked_add((days * 24).hours()).unwrap()
}

#[test]
fn a_node_with_its_own_files_is_let_in() {
    let folder = Folder::new("good", "shop", now());
    let identity = folder.load(&folder.tls("db1"), now()).unwrap();
    assert_eq!((identity.node(), identity.cluster()), ("db1", "shop"));
    assert_eq!(identity.expires(), after_days(825));
    assert!(identity.warnings().is_empty());
    let shown = format!("{identity:?}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn time_decides() {
    let folder = Folder::new("time", "shop", now());
    let load = |at| folder.load(&folder.tls("db1"), at);
    assert!(load(after_days(825 - 15)).unwrap().warnings().is_empty());
    let warned = load(after_days(825 - 13)).unwrap();
    insta::assert_snapshot!(folder.hide(&warned.warnings().join("\n")), @r#"certificate DIR/db1.pem expires on 2029-02-22 10:00 UTC, in 13 days; make a new one with `batonctl certs node db1 --force` and restart"#);
    insta::assert_snapshot!(load(after_days(826)).unwrap_err(), @r#"certificate DIR/db1.pem expired on 2029-02-22 10:00 UTC; make a new one with `batonctl certs node db1 --force` and restart"#);
    insta::assert_snapshot!(load(after_days(-1)).unwrap_err(), @r#"certificate DIR/ca.pem is not valid before 2026-11-20 09:00 UTC: correct this host's clock, or make the certificate anew with `batonctl certs init --cluster shop --force`"#);
    insta::assert_snapshot!(load(after_days(3653)).unwrap_err(), @r#"certificate DIR/ca.pem expired on 2036-11-19 10:00 UTC; make a new one with `batonctl certs init --cluster shop --force` and restart"#);
}

#[test]
fn files_of_somebody_else_are_refused() {
    let folder = Folder::new("mixed", "shop", now());
    let other = Folder::new("mixed-other", "test", now());
    let same_name = Folder::new("mixed-same", "shop", now());
    let (mine, theirs) = (folder.tls("db1"), other.tls("db1"));
    let said = |tls: &TlsConfig| {
        let text = folder.load(tls, now()).unwrap_err();
        text.replace(&other.0.display().to_string(), "OTHER")
    };
    insta::assert_snapshot!(said(&folder.tls("db2")), @r#"certificate DIR/db2.pem is for node db2 of cluster shop, but this is node db1 of cluster shop; correct --node, [cluster] name or tls.cert, or make the certificate with `batonctl certs node db1 --force`"#);
    insta::assert_snapshot!(said(&theirs), @r#"certificate OTHER/db1.pem is for node db1 of cluster test, but this is node db1 of cluster shop; correct --node, [cluster] name or tls.cert, or make the certificate with `batonctl certs node db1 --force`"#);
    insta::assert_snapshot!(said(&folder.tls("admin.client")), @r#"certificate DIR/admin.client.pem is for client admin of cluster shop, but this is node db1 of cluster shop; correct --node, [cluster] name or tls.cert, or make the certificate with `batonctl certs node db1 --force`"#);
    insta::assert_snapshot!(said(&folder.tls("ca")), @r#"certificate DIR/ca.pem is for nobody that Baton knows, but this is node db1 of cluster shop; correct --node, [cluster] name or tls.cert, or make the certificate with `batonctl certs node db1 --force`"#);
    insta::assert_snapshot!(said(&TlsConfig { key: folder.tls("db2").key, ..mine.clone() }), @r#"private key DIR/db2.key does not belong to certificate DIR/db1.pem; copy both from one `batonctl certs` run"#);
    insta::assert_snapshot!(said(&TlsConfig { ca: theirs.ca, ..mine.clone() }), @r#"certificate DIR/db1.pem was not signed by OTHER/ca.pem; use the CA and certificate of one cluster"#);
    let ca = same_name.tls("db1").ca;
    assert!(
        said(&TlsConfig { ca, ..mine }).contains("was not signed by"),
        "a CA made anew has the same name"
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = Folder::new("files", "shop", now());
    let mine = folder.tls("db1");
    let said = |tls: &TlsConfig| folder.load(tls, now()).unwrap_err();
    insta::assert_snapshot!(said(&TlsConfig { ca: folder.0.join("none.pem"), ..mine.clone() }), @r#"DIR/none.pem cannot be read: No such file or directory (os error 2); make it with `batonctl certs`, or correct [tls]"#);
    insta::assert_snapshot!(said(&TlsConfig { cert: mine.key.clone(), ..mine.clone() }), @r#"DIR/db1.key holds no certificate in PEM form; make it anew with `batonctl certs`"#);
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let garbled = folder.0.join("garbled.key");
    std::fs::write(&garbled, "-----BEGIN PRIVATE KEY-----").unwrap();
    mode(&garbled, 0o600);
    insta::assert_snapshot!(said(&TlsConfig { key: garbled, ..mine.clone() }), @r#"DIR/garbled.key holds no private key in PEM form; make it anew with `batonctl certs`"#);
    mode(&mine.key, 0o640);
    assert!(folder.load(&mine, now()).is_ok());
    mode(&mine.key, 0o644);
    insta::assert_snapshot!(said(&mine), @r#"private key DIR/db1.key is open to every user of this host; run: chmod o= DIR/db1.key"#);
}

/// What the server made of the caller, or why there was no answer.
async fn call(address: &str, tls: ClientTlsConfig) -> Result<String, String> {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    let asked = async {
        let mut channel = endpoint.connect().await.map_err(|fault| format!("{fault:?}"))?;
        std::future::poll_fn(|context| channel.poll_ready(context))
            .await
            .map_err(|fault| format!("{fault:?}"))?;
        let request =
            http::Request::post(format!("https://{address}/who")).body(tonic::body::Body::empty()).unwrap();
        let answer = channel.call(request).await.map_err(|fault| format!("{fault:?}"))?;
        Ok(answer.headers()["who"].to_str().unwrap().to_owned())
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap()
}

async fn who(request: axum::extract::Request) -> axum::response::Response {
    let (head, _) = request.into_parts();
    let request = Request::from_parts(tonic::metadata::MetadataMap::new(), head.extensions, ());
    let shown = match (peer_of(&request, "shop"), node_of(&request, "shop")) {
        (Ok(peer), Ok(node)) => format!("{peer:?} node {node}"),
        (Ok(peer), Err(refusal)) => format!("{peer:?} {}", refusal),
        (Err(refusal), _) => format!("{refusal}"),
    };
    axum::response::Response::builder().header("who", shown).body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn both_ends_know_each_other_over_tls() {
    // The peers check against the real clock.
    let now = Timestamp::now();
    let folder = Folder::new("tls", "shop", now);
    let other = Folder::new("tls-other", "shop", now);
    let identity =
        |folder: &Folder, node: &str| Identity::load(&folder.tls(node), "shop", node, now).unwrap();

    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let routes = Routes::from(axum::Router::new().route("/who", axum::routing::post(who)));
    let server =
        Server::builder().tls_config(identity(&folder, "db1").server_tls()).unwrap().add_routes(routes);
    let serving = tokio::spawn(server.serve_with_incoming(incoming));

    let db2 = identity(&folder, "db2");
    assert_eq!(call(&address, db2.client_tls("db1")).await.unwrap(), "Node(\"db2\") node db2");

    let wrong_node = call(&address, db2.client_tls("db3")).await.unwrap_err();
    assert!(wrong_node.contains("NotValidForName"), "{wrong_node}");

    let stranger = call(&address, identity(&other, "db2").client_tls("db1")).await.unwrap_err();
    assert!(stranger.contains("InvalidCertificate") || stranger.contains("BadSignature"), "{stranger}");

    let ca = tonic::transport::Certificate::from_pem(std::fs::read(folder.tls("db1").ca).unwrap());
    let trusting = || ClientTlsConfig::new().ca_certificate(ca.clone()).domain_name("db1.shop.baton");
    assert!(call(&address, trusting()).await.is_err(), "a caller without a certificate got in");

    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let admin = folder.tls("admin.client");
    let pair = tonic::transport::Identity::from_pem(read(admin.cert), read(admin.key));
    assert_eq!(
        call(&address, trusting().identity(pair)).await.unwrap(),
        "Client(\"admin\") client admin may not call what nodes say to each other; use batonctl, which calls the control service"
    );
    serving.abort();
}

#[test]
fn a_caller_of_another_cluster_is_refused_by_name() {
    let folder = Folder::new("callers", "test", now());
    make_node("db3", &["db3.example".to_owned()], &folder.0, false, now()).unwrap();
    make_client("ops", &folder.0, false, now()).unwrap();
    let of = |stem: &str, cluster| {
        let pem = std::fs::read(folder.tls(stem).cert).unwrap();
        let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        Peer::of(&[certificate], cluster)
    };
    assert_eq!(of("db3", "test"), Ok(Peer::Node("db3".to_owned())));
    assert_eq!(of("ops.client", "test"), Ok(Peer::Client("ops".to_owned())));
    insta::assert_snapshot!(of("db3", "shop").unwrap_err(), @r#"the certificate is for node db3 of cluster test, but this is cluster shop; use one of cluster shop"#);
    insta::assert_snapshot!(of("ca", "test").unwrap_err(), @r#"the certificate names nobody, or more than one; make it anew with `batonctl certs`"#);
    assert_eq!(Peer::of(&[], "test"), Err(Refusal::NoCertificate));
}
