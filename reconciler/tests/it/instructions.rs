//! What people say to nodes, beside what the repository declares.

use std::time::Duration;

use almanac_proto::{
    convert::timestamp,
    v1::{self, NodeMode, Phase, Reason},
};
use chrono::{TimeDelta, Utc};
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::harness::{Testbed, event, instant, run_id, whole_run};

const AT: &str = "2030-01-01T12:00:00Z";

async fn next(stream: &mut Streaming<v1::WatchDesiredStateResponse>) -> v1::WatchDesiredStateResponse {
    let message = timeout(Duration::from_secs(30), stream.message()).await.expect("a message in time");
    message.unwrap().expect("the stream goes on")
}

fn mode(mode: NodeMode) -> v1::SetNodeModeRequest {
    let reason = if mode == NodeMode::Active { "" } else { "new kernel" };
    v1::SetNodeModeRequest {
        name: "london-01".to_owned(),
        mode: mode.into(),
        reason: reason.to_owned(),
        ..Default::default()
    }
}

/// A run of `bob`'s job on London that goes on.
async fn running(testbed: &Testbed) -> String {
    testbed.report("london-01", whole_run("ping", "london-01", instant(AT))[..2].to_vec()).await;
    run_id("ping", "london-01", instant(AT))
}

fn ready(node: &v1::Node) -> (bool, &str, &str) {
    let ready = node.conditions.iter().find(|condition| condition.r#type == "Ready").unwrap();
    (ready.status, &ready.reason, &ready.message)
}

#[tokio::test]
async fn a_cordon_reaches_the_node_and_holds_until_it_is_taken_back() {
    let mut testbed = Testbed::with_jobs().await;
    let mut london = testbed.watch("london-01").await;
    let first = next(&mut london).await;
    assert_eq!(first.instructions, Some(v1::Instructions::default()), "nothing was said");
    let snapshot = first.snapshot.unwrap();
    testbed.beat("london-01", &snapshot.epoch, snapshot.generation).await;
    let mut paris = testbed.watch("paris-01").await;
    next(&mut paris).await;

    let mut alice = testbed.ask("alice");
    let until = instant("2100-01-01T00:00:00Z");
    let request = v1::SetNodeModeRequest { until: Some(timestamp(until)), ..mode(NodeMode::Cordoned) };
    let node = alice.set_node_mode(request).await.unwrap().into_inner().node.unwrap();
    assert_eq!(ready(&node), (false, "Cordoned", "alice cordoned the node: new kernel"));
    let shown = node.cordon.unwrap();
    assert_eq!((shown.actor.as_str(), shown.reason.as_str(), shown.stop_at), ("alice", "new kernel", None));
    let told = next(&mut london).await;
    assert_eq!(told.snapshot, None, "the repository says the same as before");
    let cordon = told.instructions.unwrap().cordon.unwrap();
    assert_eq!((cordon.actor.as_str(), cordon.until), ("alice", Some(timestamp(until))));

    testbed.crash_and_serve().await;
    let again = next(&mut testbed.watch("london-01").await).await;
    assert_eq!(again.instructions.unwrap().cordon, Some(cordon));
    assert!(again.snapshot.is_some());
    let mut paris = testbed.watch("paris-01").await;
    assert_eq!(
        next(&mut paris).await.instructions,
        Some(v1::Instructions::default()),
        "nothing was said to it"
    );

    let mut london = testbed.watch("london-01").await;
    next(&mut london).await;
    let mut alice = testbed.ask("alice");
    let node = alice.set_node_mode(mode(NodeMode::Active)).await.unwrap().into_inner().node.unwrap();
    assert_eq!(node.cordon, None);
    assert_eq!(next(&mut london).await.instructions, Some(v1::Instructions::default()));
    // To say it twice does no harm.
    alice.set_node_mode(mode(NodeMode::Active)).await.unwrap();
}

#[tokio::test]
async fn a_cordon_that_is_over_is_not_shown() {
    let testbed = Testbed::with_jobs().await;
    let mut alice = testbed.ask("alice");
    let until = Some(timestamp(Utc::now() + TimeDelta::seconds(1)));
    let request = v1::SetNodeModeRequest { until, ..mode(NodeMode::Cordoned) };
    assert!(alice.set_node_mode(request).await.unwrap().into_inner().node.unwrap().cordon.is_some());
    testbed
        .wait_for("its end", async || {
            let request = v1::GetNodeRequest { name: "london-01".to_owned() };
            let node = testbed.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap();
            node.cordon.is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_drain_says_when_what_runs_is_stopped() {
    let testbed = Testbed::with_jobs().await;
    let mut alice = testbed.ask("alice");
    let node = alice.set_node_mode(mode(NodeMode::Draining)).await.unwrap().into_inner().node.unwrap();
    let cordon = node.cordon.unwrap();
    assert_eq!(cordon.stop_at, cordon.since, "now, where nothing else is said");
    let stop_at = Some(timestamp(instant(AT)));
    let request = v1::SetNodeModeRequest { stop_at, ..mode(NodeMode::Draining) };
    let node = alice.set_node_mode(request).await.unwrap().into_inner().node.unwrap();
    assert_eq!(node.cordon.unwrap().stop_at, stop_at);
    let told = next(&mut testbed.watch("london-01").await).await;
    assert_eq!(told.instructions.unwrap().cordon.unwrap().stop_at, stop_at);
}

#[tokio::test]
async fn what_was_said_to_a_node_goes_with_it() {
    let testbed = Testbed::with_jobs().await;
    let mut alice = testbed.ask("alice");
    alice.set_node_mode(mode(NodeMode::Cordoned)).await.unwrap();
    let path = testbed.repository.clone_path().join("nodes/london-01.yaml");
    let manifest = std::fs::read(&path).unwrap();
    let job = std::fs::read(testbed.repository.clone_path().join("jobs/ping.yaml")).unwrap();
    testbed.repository.remove("nodes/london-01.yaml");
    testbed.repository.remove("jobs/ping.yaml");
    testbed.push("remove a node").await;
    testbed.repository.write("nodes/london-01.yaml", manifest);
    testbed.repository.write("jobs/ping.yaml", job);
    testbed.push("and bring it back").await;
    let told = next(&mut testbed.watch("london-01").await).await;
    assert_eq!(told.instructions, Some(v1::Instructions::default()));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let testbed = Testbed::with_jobs().await;
    let mut alice = testbed.ask("alice");
    let past = Some(timestamp(instant("2020-01-01T00:00:00Z")));
    for (request, code, part) in [
        (
            v1::SetNodeModeRequest { name: "nowhere".to_owned(), ..mode(NodeMode::Active) },
            Code::NotFound,
            "nowhere",
        ),
        (
            v1::SetNodeModeRequest { name: String::new(), ..mode(NodeMode::Active) },
            Code::InvalidArgument,
            "name",
        ),
        (v1::SetNodeModeRequest { mode: 0, ..mode(NodeMode::Active) }, Code::InvalidArgument, "mode"),
        (
            v1::SetNodeModeRequest { reason: " ".to_owned(), ..mode(NodeMode::Cordoned) },
            Code::InvalidArgument,
            "why",
        ),
        (
            v1::SetNodeModeRequest { reason: "x".repeat(1_001), ..mode(NodeMode::Cordoned) },
            Code::InvalidArgument,
            "1,000",
        ),
        (
            v1::SetNodeModeRequest { until: past, ..mode(NodeMode::Cordoned) },
            Code::InvalidArgument,
            "over already",
        ),
    ] {
        let refused = alice.set_node_mode(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(part), "`{part}` in {refused:?}");
    }
    let told = next(&mut testbed.watch("london-01").await).await;
    assert_eq!(told.instructions, Some(v1::Instructions::default()));
    for (id, code) in [("ffff", Code::NotFound), ("x", Code::InvalidArgument)] {
        let request = v1::CancelRunRequest { id: id.to_owned(), reason: String::new() };
        assert_eq!(alice.cancel_run(request).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_cancelled_run_is_told_to_its_node_until_it_has_ended() {
    let mut testbed = Testbed::with_jobs().await;
    let run = running(&testbed).await;
    let mut london = testbed.watch("london-01").await;
    next(&mut london).await;
    let cancel = |reason: &str| v1::CancelRunRequest { id: run[..8].to_owned(), reason: reason.to_owned() };
    let answer = testbed.ask("bob").cancel_run(cancel("wrong host")).await.unwrap().into_inner();
    assert_eq!((answer.run.unwrap().id, answer.connected), (run.clone(), false), "it was never heard of");
    let expected =
        v1::Cancellation { run_id: run.clone(), actor: "bob".to_owned(), reason: "wrong host".to_owned() };
    assert_eq!(next(&mut london).await.instructions.unwrap().cancellations, std::slice::from_ref(&expected));
    // Again, by somebody else: who wanted it first is who is named.
    testbed.beat("london-01", "", 0).await;
    let answer = testbed.ask("alice").cancel_run(cancel("")).await.unwrap().into_inner();
    assert!(answer.connected, "it is heard of");
    testbed.crash_and_serve().await;
    let mut london = testbed.watch("london-01").await;
    assert_eq!(next(&mut london).await.instructions.unwrap().cancellations, [expected]);

    let mut aborted = event("ping", "london-01", instant(AT), 3, Phase::Aborted);
    aborted.reason = Reason::Cancelled.into();
    testbed.report("london-01", vec![aborted]).await;
    let refused = testbed.ask("bob").cancel_run(cancel("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("has ended: ABORTED"), "{refused:?}");
    testbed.crash_and_serve().await;
    let told = next(&mut testbed.watch("london-01").await).await;
    assert_eq!(told.instructions, Some(v1::Instructions::default()), "nothing is left to say");
}
