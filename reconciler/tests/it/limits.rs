//! What a caller may take, and what a slow one cannot.

use std::{fs, time::Duration};

use almanac_proto::v1;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Code;

use crate::harness::{Heart, Testbed, beat, event, instant, manifest, run_id};

async fn limited(limits: &str, flags: &[&str]) -> Testbed {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    let file = testbed.folder().join("reconciler.toml");
    fs::write(&file, format!("[limits]\n{limits}")).unwrap();
    let flags = [&["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()], flags].concat();
    testbed.serve_with("http", &flags).await;
    testbed.wait_applied(&commit).await;
    testbed
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let testbed = limited("requests-per-second = 2\nburst = 10\n", &[]).await;
    let mut bob = testbed.ask("bob");
    let mut taken = 0;
    let refused = loop {
        match bob.who_am_i(v1::WhoAmIRequest {}).await {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
    };
    assert!(taken >= 10, "{taken}");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let wait: u64 =
        refused.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert!(wait <= 500 && refused.message().contains("try again in"), "{refused}");
    assert!(testbed.ask("dave").who_am_i(v1::WhoAmIRequest {}).await.is_ok(), "others are not concerned");
    testbed.wait_for("bob to be heard again", async || bob.who_am_i(v1::WhoAmIRequest {}).await.ok()).await;
}

#[tokio::test]
async fn an_address_that_sends_bad_tokens_waits_and_its_good_neighbour_does_not() {
    let testbed = limited("failures-per-second = 1\nfailures-burst = 5\n", &[]).await;
    let mut alice = testbed.ask("alice");
    alice.who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let mut again = testbed.connect("alice").testbed();
    let mut wrong = of_another_reconciler(&testbed);
    let refused = testbed
        .wait_for("the failures to be too many", async || {
            let refused = wrong.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
            (refused.code() != Code::Unauthenticated).then_some(refused)
        })
        .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    assert!(alice.who_am_i(v1::WhoAmIRequest {}).await.is_ok(), "her token was verified before");
    testbed
        .wait_for("a new token to be looked at again", async || {
            again.who_am_i(v1::WhoAmIRequest {}).await.ok()
        })
        .await;
}

/// Calls whose tokens are for another reconciler.
fn of_another_reconciler(
    testbed: &Testbed,
) -> v1::testbed_service_client::TestbedServiceClient<almanac_proto::client::Signed> {
    let identity = testbed.identity("alice", "alice", "another");
    almanac_proto::Endpoint::new(testbed.address(), false).unwrap().connect(Some(identity)).unwrap().testbed()
}

#[tokio::test]
async fn the_oldest_stream_of_a_node_gives_way() {
    let testbed = limited("streams-per-node = 2\n", &[]).await;
    let watch = async || {
        let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
        let mut watch = testbed.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
        assert!(watch.message().await.unwrap().is_some());
        watch
    };
    let (mut first, mut second, mut third) = (watch().await, watch().await, watch().await);
    let end = first.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Aborted, "{end}");
    assert!(end.message().contains("london-01") && end.message().contains("newer stream"), "{end}");
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("a change").await;
    assert!(second.message().await.unwrap().is_some() && third.message().await.unwrap().is_some());
}

/// Nor does one kind of streams take the places of the other.
#[tokio::test]
async fn the_oldest_heartbeats_of_a_node_give_way() {
    let testbed = limited("streams-per-node = 2\n", &[]).await;
    let open = async || {
        let first = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
        Heart::open(&mut testbed.agent("london-01"), first).await.unwrap()
    };
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut watch = testbed.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let (mut first, mut second, mut third) = (open().await, open().await, open().await);
    let end = first.end().await;
    assert_eq!(end.code(), Code::Aborted, "{end}");
    assert!(end.message().contains("london-01") && end.message().contains("newer stream"), "{end}");
    for heart in [&mut second, &mut third] {
        heart.beat(v1::HeartbeatRequest::default()).await.unwrap();
    }
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("a change").await;
    assert!(watch.message().await.unwrap().is_some());
}

#[tokio::test]
async fn who_beats_too_fast_is_told_when_to_come_back() {
    let testbed = limited("requests-per-second = 2\nburst = 10\n", &[]).await;
    let first = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut heart = Heart::open(&mut testbed.agent("london-01"), first).await.unwrap();
    let mut taken = 1;
    let refused = loop {
        match heart.beat(v1::HeartbeatRequest::default()).await {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
    };
    assert!(taken >= 10, "{taken}");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"), "{refused:?}");
}

#[tokio::test]
async fn a_stream_begins_with_the_name_of_its_caller() {
    let testbed = Testbed::start().await;
    let empty = testbed.agent("london-01").heartbeat(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument, "{empty}");
    let nameless = beat(&mut testbed.agent("london-01"), v1::HeartbeatRequest::default()).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument, "{nameless}");
    let silent = testbed.agent("london-01").heartbeat(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(silent.code(), Code::DeadlineExceeded, "{silent}");
}

/// So many nodes that they are to be heard of less often than the testbed declares.
#[tokio::test]
async fn many_nodes_are_told_to_beat_less_often() {
    let mut testbed = Testbed::prepare();
    let config = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\n\
                  spec: { heartbeat: { interval: 1s, staleAfter: 2s, offlineAfter: 3s } }\n";
    testbed.repository.write("config.yaml", config);
    for number in 0..18 {
        let name = format!("other-{number}");
        let node = manifest::node(&name, &testbed.make_key(&name), "");
        testbed.repository.write(&format!("nodes/{name}.yaml"), node);
    }
    let commit = testbed.repository.push("twenty nodes");
    let file = testbed.folder().join("reconciler.toml");
    fs::write(&file, "[limits]\nheartbeats-per-second = 2\n").unwrap();
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]).await;
    testbed.wait_applied(&commit).await;
    let first = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut heart = Heart::open(&mut testbed.agent("london-01"), first).await.unwrap();
    let answer = heart.beat(v1::HeartbeatRequest::default()).await.unwrap();
    assert_eq!(answer.interval.unwrap().seconds, 10);
    let begun = Instant::now();
    let liveness = async || {
        let request = v1::GetNodeRequest { name: "london-01".to_owned() };
        testbed.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap().liveness()
    };
    // By what is declared, it would be offline.
    testbed
        .wait_for("four seconds to pass", async || {
            assert_eq!(liveness().await, v1::Liveness::Online);
            (begun.elapsed() > Duration::from_secs(4)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let testbed = limited("", &["--max-connections", "3"]).await;
    let address = testbed.socket();
    let mut held = Vec::new();
    let begun = Instant::now();
    // Connections of before may still be about to end.
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        match timeout(Duration::from_millis(300), stream.read(&mut byte)).await {
            Err(_) => held.push(stream),
            Ok(read) => {
                assert!(read.is_err() || read.is_ok_and(|read| read == 0), "closed without a word");
                if held.len() == 3 {
                    break;
                }
            }
        }
        assert!(held.len() <= 3 && begun.elapsed() < Duration::from_secs(30));
    }
    held.pop();
    let mut alice = testbed.ask("alice");
    testbed.wait_for("the place to be free", async || alice.who_am_i(v1::WhoAmIRequest {}).await.ok()).await;
}

/// Its token was verified, and is good for minutes.
#[tokio::test]
async fn a_key_that_is_removed_counts_no_more_at_once() {
    let testbed = Testbed::start().await;
    let first = || v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut agent = testbed.agent("london-01");
    for _ in 0..3 {
        beat(&mut agent, first()).await.unwrap();
    }
    let mut heart = Heart::open(&mut agent, first()).await.unwrap();
    heart.beat(v1::HeartbeatRequest::default()).await.unwrap();
    let key = testbed.make_key("london-01-new");
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", &key, ""));
    testbed.push("another key").await;
    assert_eq!(beat(&mut agent, first()).await.unwrap_err().code(), Code::Unauthenticated);
    let end = heart.beat(v1::HeartbeatRequest::default()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    assert!(end.message().contains("london-01"), "{end}");
}

/// Many calls that never end could take all of the memory, if they were read before it is known whose they are.
#[tokio::test]
async fn who_is_nobody_is_refused_before_anything_is_read() {
    let testbed = Testbed::start().await;
    for call in ["NodeService/ReportRuns", "TestbedService/WhoAmI"] {
        let mut stream = TcpStream::connect(testbed.socket()).await.unwrap();
        // Of the message, nothing ever comes.
        let head = format!(
            "POST /almanac.v1.{call} HTTP/1.1\r\nHost: almanac\r\nContent-Type: application/grpc\r\nTE: trailers\r\nContent-Length: 8000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        testbed
            .wait_for("a refusal", async || {
                let mut part = [0; 4096];
                let length = timeout(Duration::from_secs(30), stream.read(&mut part))
                    .await
                    .expect("an answer")
                    .unwrap();
                answer.push_str(&String::from_utf8_lossy(&part[..length]));
                answer.contains("grpc-status: 16").then_some(())
            })
            .await;
    }
}

/// An artifact of 24 MiB.
async fn with_artifact(testbed: &Testbed) -> v1::DownloadArtifactRequest {
    let at = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Uploading)]).await;
    let part = vec![7; 1 << 20];
    let mut hash = Sha256::new();
    (0..24).for_each(|_| hash.update(&part));
    let mut agent = testbed.agent("london-01");
    let begin = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run_id("ping", "london-01", at),
        role: v1::Role::Client.into(),
        name: "big.bin".to_owned(),
        size: 24 << 20,
        sha256: hash.finalize().to_vec().into(),
        content: None,
        direct: false,
    };
    let id = agent.begin_upload(begin).await.unwrap().into_inner().upload_id;
    let parts: Vec<_> = (0..24)
        .map(|index| v1::UploadRequest {
            upload_id: id.clone(),
            offset: index << 20,
            data: part.clone().into(),
            crc32: None,
        })
        .collect();
    agent.upload(tokio_stream::iter(parts)).await.unwrap();
    agent.commit_upload(v1::CommitUploadRequest { upload_id: id, sent: None }).await.unwrap();
    v1::DownloadArtifactRequest {
        run_id: run_id("ping", "london-01", at),
        role: v1::Role::Client.into(),
        name: "big.bin".to_owned(),
        offset: 0,
    }
}

/// What waits for a slow reader is bounded: by much less than what is on its way to it.
#[tokio::test]
async fn a_slow_reader_does_not_grow_memory() {
    let mut testbed = Testbed::with_jobs().await;
    let request = with_artifact(&testbed).await;
    let mut connection = testbed.ask("bob");
    let before = testbed.memory();

    // Downloads of 960 MiB in all, of which nothing is read.
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(connection.download_artifact(request.clone()).await.unwrap());
    }
    // Answers over HTTP/1.1 that are not read either. The client may send no more once the server has
    // stopped to read.
    let mut pipelined = TcpStream::connect(testbed.socket()).await.unwrap();
    let asked = b"GET /metrics HTTP/1.1\r\nHost: almanac\r\n\r\n".repeat(1000);
    while timeout(Duration::from_secs(2), pipelined.write_all(&asked)).await.is_ok() {}

    // Snapshots of 400 kB that replace each other, and four streams that read none of them.
    let mut watches = Vec::new();
    for _ in 0..4 {
        let watch = v1::WatchDesiredStateRequest { node: "paris-01".to_owned(), ..Default::default() };
        watches.push(testbed.agent("paris-01").watch_desired_state(watch).await.unwrap());
    }
    for round in 0..15 {
        let job = manifest::job("big", "bob", "paris-01", manifest::DAILY);
        let config = "x".repeat(400_000);
        testbed
            .repository
            .write("jobs/big.yaml", format!("{job}  config: {{ round: {round}, text: {config} }}\n"));
        testbed.push("a change").await;
    }
    let grown = testbed.memory().saturating_sub(before);
    assert!(grown < 120 << 20, "{} MiB more for what nobody reads", grown >> 20);

    // And none of them keeps the program from stopping.
    let begun = Instant::now();
    let status = testbed.take_daemon().terminate().await;
    assert!(status.success() && begun.elapsed() < Duration::from_secs(10), "{status}, {:?}", begun.elapsed());
    drop((unread, pipelined, watches));
}
