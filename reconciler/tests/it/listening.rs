//! The port that everything is served on, and the end of serving.

use std::{path::PathBuf, time::Duration};

use almanac_proto::{Endpoint, limits, v1};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::harness::{Certificate, Ended, Testbed, event, instant, run_id};

async fn channel(testbed: &Testbed) -> Channel {
    Channel::from_shared(testbed.address().to_owned()).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let testbed = Testbed::start().await;
    let channel = channel(&testbed).await;
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "almanac.v1.NodeService", "almanac.v1.TestbedService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let services: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["almanac.v1.NodeService", "almanac.v1.TestbedService", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|name| name == service), "{service} in {services:?}");
    }
}

/// Streams of agents never end by themselves, and an upload may be under way.
#[tokio::test]
async fn sigterm_ends_everything_within_ten_seconds() {
    let mut testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Uploading)]).await;
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut watch = testbed.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let announcement = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run_id("ping", "london-01", at),
        role: v1::Role::Client.into(),
        name: "run.log".to_owned(),
        size: 1000,
        sha256: vec![0; 32].into(),
        content: None,
        direct: false,
    };
    let begun = testbed.agent("london-01").begin_upload(announcement.clone()).await.unwrap().into_inner();
    let part =
        v1::UploadRequest { upload_id: begun.upload_id, offset: 0, data: vec![1; 500].into(), crc32: None };
    let endless = tokio_stream::StreamExt::chain(tokio_stream::iter([part]), tokio_stream::pending());
    let mut agent = testbed.agent("london-01");
    let upload = tokio::spawn(async move { agent.upload(endless).await });
    testbed
        .wait_for("the part to arrive", async || {
            let begun = testbed.agent("london-01").begin_upload(announcement.clone()).await.unwrap();
            (begun.into_inner().offset == 500).then_some(())
        })
        .await;
    let mut health = HealthClient::new(channel(&testbed).await);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());

    let begun = Instant::now();
    let status = testbed.take_daemon().terminate().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert!(status.success(), "{status}");
    let end = timeout(Duration::from_secs(5), watch.message()).await.expect("the stream ends");
    // Told to come back, unless the connection was gone before it could be said.
    assert!(
        end.as_ref().map_or_else(|status| status.code() == tonic::Code::Unavailable, Option::is_none),
        "{end:?}"
    );
    assert!(timeout(Duration::from_secs(5), upload).await.expect("the upload ends").unwrap().is_err());

    // And nothing of it is lost.
    testbed.serve().await;
    let snapshot = v1::GetRunRequest { id: run_id("ping", "london-01", at) };
    assert!(testbed.ask("bob").get_run(snapshot).await.is_ok());
}

#[tokio::test]
async fn tls_is_served_and_its_authority_checked() {
    let mut testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    let ours = Certificate::make(testbed.folder(), "ours");
    let others = Certificate::make(testbed.folder(), "others");
    let (certificate, key) = (ours.certificate.to_str().unwrap(), ours.key.to_str().unwrap());
    // An address that others reach needs no further word with TLS.
    testbed
        .serve_with("https", &["--listen", "0.0.0.0:0", "--tls-cert", certificate, "--tls-key", key])
        .await;
    let who = async |authority: &PathBuf| {
        let identity = testbed.identity("alice", "alice", limits::DEFAULT_AUDIENCE);
        let endpoint = Endpoint::new(testbed.address(), false).unwrap().with_ca_file(Some(authority.clone()));
        endpoint.connect(Some(identity)).unwrap().testbed().who_am_i(v1::WhoAmIRequest {}).await
    };
    testbed.wait_for("the first commit", async || who(&ours.authority).await.ok()).await;
    assert!(who(&others.authority).await.is_err(), "signed by another authority");
    let plain = testbed.address().replace("https", "http");
    let identity = testbed.identity("alice", "alice", limits::DEFAULT_AUDIENCE);
    let mut plain = Endpoint::new(&plain, false).unwrap().connect(Some(identity)).unwrap().testbed();
    assert!(plain.who_am_i(v1::WhoAmIRequest {}).await.is_err(), "without TLS");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    let (ours, others) =
        (Certificate::make(testbed.folder(), "ours"), Certificate::make(testbed.folder(), "others"));
    let serve = |certificate: &PathBuf, key: Option<&PathBuf>| {
        let mut command = testbed.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--tls-cert").arg(certificate);
        if let Some(key) = key {
            command.arg("--tls-key").arg(key);
        }
        Ended::refusal(&mut command)
    };
    assert!(serve(&ours.certificate, None).contains("--tls-key"));
    let said = serve(&testbed.folder().join("nosuch.pem"), Some(&ours.key));
    assert!(said.contains("nosuch.pem"), "{said}");
    let said = serve(&ours.key, Some(&ours.certificate));
    assert!(said.contains("--tls-cert"), "{said}");
    let said = serve(&ours.certificate, Some(&others.key));
    assert!(said.contains("--tls-key"), "{said}");
}
