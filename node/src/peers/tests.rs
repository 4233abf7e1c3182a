#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use baton_proto::peer::GreetRequest;
use baton_proto::peer::peer_server::PeerServer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

use super::{Dialer, Peers, reason};
use crate::consensus::tests::cluster::Silent;
use crate::state::NodeName;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(&self.pem)
    }
}

async fn serve(authority: &Authority) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = ServerTlsConfig::new().identity(authority.identity()).client_ca_root(authority.certificate());
    let server = Server::builder().tls_config(tls).unwrap().add_service(PeerServer::new(Silent));
    // Ends with the test's runtime.
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    format!("localhost:{port}")
}

fn peers(trusted: &Authority, own: &Authority) -> Peers {
    let settings = ClientTlsConfig::new().ca_certificate(trusted.certificate()).identity(own.identity());
    Peers::new(Dialer::Tls(Arc::new(move |_| settings.clone())))
}

async fn greet(peers: &Peers, address: &str) -> Result<(), String> {
    let mut client = peers.link(&"db1".into(), address).unwrap().first;
    let call = client.greet(GreetRequest::default());
    let answer = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap();
    answer.map(drop).map_err(|status| reason(&status))
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_named_as_the_reason() {
    let (mine, other) = (Authority::new(), Authority::new());
    let address = serve(&mine).await;
    let answered = greet(&peers(&mine, &mine), &address).await.unwrap_err();
    assert_eq!(answered, "silent", "the handshake succeeded");
    let refused = greet(&peers(&other, &mine), &address).await.unwrap_err();
    assert!(refused.contains("was its certificate made by"), "a server of another authority: {refused}");
    let refused = greet(&peers(&mine, &other), &address).await.unwrap_err();
    assert!(refused.contains("refuses this node's certificate"), "a client of another authority: {refused}");
}

#[tokio::test]
async fn the_configured_address_wins_and_bad_ones_are_named() {
    let moved = [("db1".into(), "127.0.0.1:2".to_owned())];
    let peers = Peers::new(Dialer::Plaintext).with_configured(moved);
    assert_eq!(peers.link(&"db1".into(), "127.0.0.1:1").unwrap().address, "127.0.0.1:2");
    assert_eq!(peers.link(&"db2".into(), "127.0.0.1:1").unwrap().address, "127.0.0.1:1");
    let error = peers.link(&"db3".into(), "not an address").err().unwrap().to_string();
    assert!(error.contains("db3") && error.contains("configuration"), "{error}");
    peers.retain(|name| *name == NodeName::from("db1"));
    assert!(peers.get(&"db1".into()).is_some() && peers.get(&"db2".into()).is_none());
}
