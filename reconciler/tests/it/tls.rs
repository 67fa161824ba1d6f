//! Certificates that change while they are served, and clients that do not finish what they began.

use std::{fs, path::Path, sync::Arc, time::Duration};

use almanac_proto::{Connection, Endpoint, limits, v1};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::harness::{Certificate, Testbed};

fn connect(testbed: &Testbed, authority: &Path) -> Connection {
    let identity = testbed.identity("alice", "alice", limits::DEFAULT_AUDIENCE);
    let endpoint = Endpoint::new(testbed.address(), false).unwrap().with_ca_file(Some(authority.to_owned()));
    endpoint.connect(Some(identity)).unwrap()
}

async fn answers(connection: &Connection) -> bool {
    connection.testbed().who_am_i(v1::WhoAmIRequest {}).await.is_ok()
}

async fn serving(certificate: &str) -> (Testbed, Certificate) {
    let mut testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    let certificate = Certificate::make(testbed.folder(), certificate);
    let flags = [&["--listen", "127.0.0.1:0"], &certificate.flags()[..]].concat();
    testbed.serve_with("https", &flags).await;
    let connection = connect(&testbed, &certificate.authority);
    testbed.wait_for("the first commit", async || answers(&connection).await.then_some(())).await;
    (testbed, certificate)
}

#[tokio::test]
async fn a_new_certificate_is_served_and_a_broken_one_is_not() {
    let (testbed, served) = serving("first").await;
    let before = connect(&testbed, &served.authority);
    assert!(answers(&before).await);
    let second = Certificate::make(testbed.folder(), "second");
    fs::copy(&second.key, &served.key).unwrap();
    fs::copy(&second.certificate, &served.certificate).unwrap();
    testbed
        .wait_for("the second certificate", async || {
            answers(&connect(&testbed, &second.authority)).await.then_some(())
        })
        .await;
    assert!(!answers(&connect(&testbed, &served.authority)).await, "the first one is served no more");
    assert!(answers(&before).await, "a connection that is open stays open");

    // A certificate and a key that do not belong together.
    let third = Certificate::make(testbed.folder(), "third");
    fs::copy(&third.certificate, &served.certificate).unwrap();
    testbed
        .wait_for("the broken pair to be noticed", async || {
            testbed
                .log()
                .rsplit_once("a new certificate is served")?
                .1
                .contains("cannot be used")
                .then_some(())
        })
        .await;
    assert!(answers(&connect(&testbed, &second.authority)).await, "the one from before is still served");
}

async fn handshake(testbed: &Testbed, authority: &Path, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(testbed.socket()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_offered() {
    let (testbed, served) = serving("ours").await;
    let stream = handshake(&testbed, &served.authority, &[b"http/1.1", b"h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut stream = handshake(&testbed, &served.authority, &[b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: almanac\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
}

/// Whoever forgets the `s` of `https` is told so, by whatever they asked.
#[tokio::test]
async fn a_request_without_tls_is_told_to_use_it() {
    let (testbed, served) = serving("ours").await;
    for request in ["GET /healthz HTTP/1.1\r\nHost: almanac\r\n\r\n", "POST /hooks/github HTTP/1.0\r\n\r\n"] {
        let mut stream = TcpStream::connect(testbed.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.split(' ').nth(1) == Some("400") && answer.ends_with("use https:// in its address\n"),
            "{answer}"
        );
    }

    let identity = testbed.identity("alice", "alice", limits::DEFAULT_AUDIENCE);
    let plain = testbed.address().replace("https://", "http://");
    let connection = Endpoint::new(&plain, false).unwrap().connect(Some(identity)).unwrap();
    let refused = connection.testbed().who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::FailedPrecondition, "this port speaks TLS: use https:// in its address")
    );
    assert!(answers(&connect(&testbed, &served.authority)).await);
}

/// Neither a handshake that hangs, nor a connection that says nothing, holds up others or the end.
#[tokio::test]
async fn clients_that_say_nothing_hold_up_nobody() {
    let (mut testbed, served) = serving("ours").await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(testbed.socket()).await.unwrap());
    }
    let agreed = handshake(&testbed, &served.authority, &[b"h2"]).await;
    let connection = connect(&testbed, &served.authority);
    assert!(answers(&connection).await);

    let identity = testbed.identity("london-01", "london-01", limits::DEFAULT_AUDIENCE);
    let endpoint = Endpoint::new(testbed.address(), false).unwrap();
    let agent = endpoint.with_ca_file(Some(served.authority.clone())).connect(Some(identity)).unwrap();
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut watch = agent.node().watch_desired_state(request).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    let begun = Instant::now();
    let daemon = testbed.take_daemon();
    let (status, end) = tokio::join!(daemon.terminate(), watch.message());
    assert!(status.success() && begun.elapsed() < Duration::from_secs(10), "{status}, {:?}", begun.elapsed());
    let end = end.unwrap_err();
    assert_eq!(
        (end.code(), end.message()),
        (tonic::Code::Unavailable, "the reconciler is stopping; connect again")
    );
    drop((silent, agreed));
}
