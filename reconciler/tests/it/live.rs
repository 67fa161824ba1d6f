//! What nodes measure, for those who may watch it.

use std::time::Duration;

use almanac_proto::{convert::timestamp, v1};
use chrono::Utc;
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::harness::{Meter, Testbed, latency, manifest};

/// How long anything may take before a test has failed.
const LIMIT: Duration = Duration::from_secs(60);

async fn watch(
    testbed: &Testbed,
    who: &str,
    follow: bool,
) -> Result<Streaming<v1::WatchTelemetryResponse>, tonic::Status> {
    let request = v1::WatchTelemetryRequest { node: "london-01".to_owned(), follow };
    Ok(testbed.ask(who).watch_telemetry(request).await?.into_inner())
}

async fn next(answers: &mut Streaming<v1::WatchTelemetryResponse>) -> Option<v1::WatchTelemetryResponse> {
    timeout(LIMIT, answers.message()).await.expect("an answer in time").unwrap()
}

/// The latencies of the dish in an answer.
fn latencies(answer: &v1::WatchTelemetryResponse) -> Vec<f64> {
    answer.readings.iter().filter_map(latency).collect()
}

#[tokio::test]
async fn a_node_measures_for_those_who_watch_and_for_nobody_else() {
    let testbed = Testbed::with_jobs().await;
    testbed.beat("london-01", "", 0).await;
    let meter = Meter::start(testbed.agent("london-01"), "london-01");
    meter.measure(1.0);
    let mut bob = watch(&testbed, "bob", true).await.unwrap();
    assert_eq!(latencies(&next(&mut bob).await.unwrap()), [1.0], "the latest first");
    meter.measure(2.0);
    assert_eq!(latencies(&next(&mut bob).await.unwrap()), [2.0]);
    let mut dave = watch(&testbed, "dave", true).await.unwrap();
    assert_eq!(latencies(&next(&mut dave).await.unwrap()), [2.0]);
    assert_eq!(meter.streams(), (1, 1), "one stream, however many watch");
    meter.silence();
    let silent = next(&mut bob).await.unwrap();
    assert!(silent.readings.len() == 1 && silent.readings[0].sample.is_empty());
    drop(dave);
    meter.measure(3.0);
    assert_eq!(latencies(&next(&mut bob).await.unwrap()), [3.0]);
    drop(bob);
    testbed.wait_for("the end of the stream", async || (meter.streams() == (1, 0)).then_some(())).await;

    // Without following, it ends once what there is has been said.
    meter.measure(4.0);
    let mut alice = watch(&testbed, "alice", false).await.unwrap();
    let answer = next(&mut alice).await.unwrap();
    assert_eq!((latencies(&answer), answer.problem.as_str()), (vec![4.0], ""));
    assert_eq!(next(&mut alice).await, None);
    testbed.wait_for("the end of the stream", async || (meter.streams() == (2, 0)).then_some(())).await;
}

#[tokio::test]
async fn a_node_that_is_not_there_is_said_to_be_so_at_once() {
    let mut testbed = Testbed::prepare();
    let heartbeat = "  heartbeat: { interval: 1s, staleAfter: 2s, offlineAfter: 3s }\n";
    testbed.repository.write("config.yaml", manifest::config("retention: 1d") + heartbeat);
    let commit = testbed.repository.push("quick heartbeats");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    for follow in [false, true] {
        let mut never = watch(&testbed, "bob", follow).await.unwrap();
        let answer = next(&mut never).await.unwrap();
        assert_eq!(answer.problem, "the agent of `london-01` was never heard of");
        assert!(answer.readings.is_empty() && next(&mut never).await.is_none());
    }
    testbed.beat("london-01", "", 0).await;
    let meter = Meter::start(testbed.agent("london-01"), "london-01");
    meter.measure(7.0);
    let mut bob = watch(&testbed, "bob", true).await.unwrap();
    assert_eq!(latencies(&next(&mut bob).await.unwrap()), [7.0]);
    drop((bob, meter));
    // What was known last is shown for what it is.
    let answer = testbed
        .wait_for("the node to be silent", async || {
            let mut bob = watch(&testbed, "bob", false).await.unwrap();
            let answer = next(&mut bob).await.unwrap();
            answer.problem.contains("is not heard of since").then_some(answer)
        })
        .await;
    assert_eq!(latencies(&answer), [7.0]);
}

#[tokio::test]
async fn an_agent_that_sends_nothing_is_not_waited_for_for_ever() {
    let testbed = Testbed::with_jobs().await;
    testbed.beat("london-01", "", 0).await;
    let mut once = watch(&testbed, "bob", false).await.unwrap();
    let answer = next(&mut once).await.unwrap();
    assert!(answer.problem.contains("for 15 s") && answer.readings.is_empty(), "{}", answer.problem);
    assert_eq!(next(&mut once).await, None);
    let mut follow = watch(&testbed, "bob", true).await.unwrap();
    assert!(!next(&mut follow).await.unwrap().problem.is_empty());
    // It comes, and is heard.
    let meter = Meter::start(testbed.agent("london-01"), "london-01");
    meter.measure(8.0);
    let answer = next(&mut follow).await.unwrap();
    assert_eq!((latencies(&answer), answer.problem.as_str()), (vec![8.0], ""));
}

#[tokio::test]
async fn only_who_may_schedule_there_may_watch() {
    let mut testbed = Testbed::prepare();
    let key = std::fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let node = |access: &str| manifest::node("london-01", key.trim(), access);
    testbed.repository.write("nodes/london-01.yaml", node("  access: { users: [bob] }\n"));
    let commit = testbed.repository.push("a node for bob");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    testbed.beat("london-01", "", 0).await;
    let meter = Meter::start(testbed.agent("london-01"), "london-01");
    meter.measure(1.0);
    for who in ["dave", "carol", "paris-01"] {
        let refused = watch(&testbed, who, true).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{who}");
        assert!(refused.message().contains("`access` in the node's manifest"), "{refused}");
    }
    let mut streams = Vec::new();
    for who in ["alice", "bob", "london-01"] {
        let mut stream = watch(&testbed, who, true).await.unwrap();
        assert_eq!(latencies(&next(&mut stream).await.unwrap()), [1.0], "{who}");
        streams.push(stream);
    }
    let request = v1::WatchTelemetryRequest { node: "nowhere".to_owned(), follow: true };
    assert_eq!(testbed.ask("bob").watch_telemetry(request).await.unwrap_err().code(), Code::NotFound);

    // A right that is taken away ends what goes on.
    testbed.repository.write("nodes/london-01.yaml", node("  access: { users: [dave] }\n"));
    testbed.push("a node for dave").await;
    let ended = timeout(LIMIT, streams[1].message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    meter.measure(2.0);
    assert_eq!(latencies(&next(&mut streams[0]).await.unwrap()), [2.0], "an admin still may");
}

#[tokio::test]
async fn a_node_speaks_for_itself_and_only_when_it_is_asked() {
    let testbed = Testbed::with_jobs().await;
    let first = |node: &str| v1::StreamTelemetryRequest { node: node.to_owned(), readings: vec![] };
    let stream = |node: &str| tokio_stream::iter([first(node)]);
    let refused = testbed.agent("paris-01").stream_telemetry(stream("london-01")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let nothing = testbed.agent("paris-01").stream_telemetry(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    // Nobody watches: it is answered at once, though there is more.
    let more = tokio_stream::StreamExt::chain(stream("london-01"), tokio_stream::pending());
    let answer = timeout(LIMIT, testbed.agent("london-01").stream_telemetry(more)).await;
    answer.expect("an answer in time").unwrap();

    testbed.beat("london-01", "", 0).await;
    let mut bob = watch(&testbed, "bob", true).await.unwrap();
    let value =
        |text: &str| v1::MeasuredValue { value: Some(v1::measured_value::Value::Text(text.to_owned())) };
    let odd = v1::Reading {
        provider: "moon".to_owned(),
        at: Some(timestamp(Utc::now())),
        sample: [("phase".to_owned(), value("full"))].into(),
    };
    let large = v1::Reading {
        provider: "local".to_owned(),
        sample: (0..5_000).map(|number| (format!("field_{number:04}"), value(&"x".repeat(500)))).collect(),
        ..odd.clone()
    };
    let said = v1::StreamTelemetryRequest { node: "london-01".to_owned(), readings: vec![odd, large] };
    let more = tokio_stream::StreamExt::chain(tokio_stream::iter([said]), tokio_stream::pending());
    let mut agent = testbed.agent("london-01");
    let streaming = tokio::spawn(async move { agent.stream_telemetry(more).await });
    let answer = next(&mut bob).await.unwrap();
    assert_eq!(answer.readings.len(), 1, "what is not known is dropped");
    assert!((10..100).contains(&answer.readings[0].sample.len()), "and what is too much is cut");
    drop(bob);
    timeout(LIMIT, streaming).await.unwrap().unwrap().unwrap();
}
