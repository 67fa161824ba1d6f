//! What a node is told to do, and when.

use std::time::Duration;

use almanac_proto::v1;
use chrono::TimeDelta;
use serde_json::Value;
use tokio::time::timeout;
use tonic::Streaming;

use crate::harness::{self, Heart, Testbed, manifest};

/// The snapshots of a node.
struct Watch(Streaming<v1::WatchDesiredStateResponse>);

impl Watch {
    async fn of(testbed: &Testbed, node: &str) -> Self {
        let request = v1::WatchDesiredStateRequest { node: node.to_owned(), ..Default::default() };
        Self(testbed.agent(node).watch_desired_state(request).await.unwrap().into_inner())
    }

    async fn next(&mut self) -> v1::Snapshot {
        let message = timeout(Duration::from_secs(30), self.0.message()).await.expect("a snapshot in time");
        message.unwrap().expect("the stream goes on").snapshot.unwrap()
    }
}

fn jobs(snapshot: &v1::Snapshot) -> Vec<(&str, v1::Role)> {
    snapshot.assignments.iter().map(|part| (part.job.as_str(), part.role())).collect()
}

fn since(snapshot: &v1::Snapshot, job: &str) -> prost_types::Timestamp {
    snapshot.assignments.iter().find(|part| part.job == job).unwrap().since.unwrap()
}

async fn generation(testbed: &Testbed, node: &str) -> u64 {
    let request = v1::GetNodeRequest { name: node.to_owned() };
    testbed.ask("alice").get_node(request).await.unwrap().into_inner().node.unwrap().generation
}

#[tokio::test]
async fn a_snapshot_carries_everything_that_the_node_needs_and_nothing_of_others() {
    let testbed = Testbed::with_jobs().await;
    let commit = testbed.repository.git(&["rev-parse", "HEAD"]);
    let snapshot = Watch::of(&testbed, "london-01").await.next().await;
    assert_eq!(snapshot.commit, commit);
    assert_eq!(snapshot.generation, 1);
    assert_eq!(snapshot.network, "almanac");
    assert!(!snapshot.epoch.is_empty());
    assert_eq!(jobs(&snapshot), [("ping", v1::Role::Client)]);
    let spec: Value = serde_json::from_str(&snapshot.assignments[0].job_spec).unwrap();
    assert_eq!(spec["container"]["image"], "example.org/probe:1");
    let spec: Value = serde_json::from_str(&snapshot.node_spec).unwrap();
    assert_eq!(spec["owner"], "alice");
    let valid = snapshot.valid_until.unwrap().seconds - snapshot.server_time.unwrap().seconds;
    assert_eq!(valid, TimeDelta::days(7).num_seconds());

    let snapshot = Watch::of(&testbed, "paris-01").await.next().await;
    assert_eq!(jobs(&snapshot), [("trace", v1::Role::Client)]);
}

#[tokio::test]
async fn every_node_hears_for_how_long_it_may_be_offline() {
    let testbed = Testbed::with_jobs().await;
    let mut london = Watch::of(&testbed, "london-01").await;
    let valid = |snapshot: &v1::Snapshot| {
        snapshot.valid_until.unwrap().seconds - snapshot.server_time.unwrap().seconds
    };
    let first = london.next().await;
    let config = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { nodes: { offlineFor: 30d } }\n";
    testbed.repository.write("config.yaml", config);
    testbed.push("a month without a link").await;
    let then = london.next().await;
    assert_eq!(valid(&then), TimeDelta::days(30).num_seconds());
    assert_eq!(then.generation, first.generation + 1);
}

#[tokio::test]
async fn a_server_is_an_assignment_of_its_own_node() {
    let testbed = Testbed::start().await;
    let job = manifest::served_job("iperf", "bob", "london-01", "paris-01", manifest::HOURLY);
    testbed.repository.write("jobs/iperf.yaml", job);
    testbed.push("a job with a server").await;
    let (mut london, mut paris) =
        (Watch::of(&testbed, "london-01").await, Watch::of(&testbed, "paris-01").await);
    assert_eq!(jobs(&london.next().await), [("iperf", v1::Role::Client)]);
    assert_eq!(jobs(&paris.next().await), [("iperf", v1::Role::Server)]);
}

#[tokio::test]
async fn only_the_node_whose_job_changed_hears_of_it() {
    let testbed = Testbed::with_jobs().await;
    let mut london = Watch::of(&testbed, "london-01").await;
    let mut paris = Watch::of(&testbed, "paris-01").await;
    let (first, elsewhere) = (london.next().await, paris.next().await);

    testbed.write_job("ping", "bob", "london-01", manifest::DAILY);
    let commit = testbed.push("another schedule").await;
    let second = london.next().await;
    assert_eq!((second.generation, second.commit), (first.generation + 1, commit));
    assert_eq!(generation(&testbed, "paris-01").await, elsewhere.generation);

    // Nothing lies between: the next that Paris hears of is its own change.
    testbed.write_job("trace", "carol", "paris-01", manifest::DAILY);
    let commit = testbed.push("another schedule elsewhere").await;
    let next = paris.next().await;
    assert_eq!((next.generation, next.commit), (elsewhere.generation + 1, commit));
    assert_eq!(generation(&testbed, "london-01").await, second.generation);

    // A user's display name concerns no node at all.
    let carol = std::fs::read_to_string(testbed.repository.clone_path().join("users/carol.yaml")).unwrap();
    testbed.repository.write("users/carol.yaml", carol.replace("role:", "displayName: Carol, role:"));
    testbed.push("a name").await;
    assert_eq!(generation(&testbed, "london-01").await, second.generation);
    assert_eq!(generation(&testbed, "paris-01").await, next.generation);
}

#[tokio::test]
async fn since_is_kept_unless_the_schedule_changes() {
    let testbed = Testbed::with_jobs().await;
    let mut london = Watch::of(&testbed, "london-01").await;
    let first = london.next().await;

    let job = manifest::job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.repository.write("jobs/ping.yaml", job.replace("probe:1", "probe:2"));
    testbed.push("another image").await;
    let second = london.next().await;
    assert!(second.assignments[0].job_spec.contains("probe:2"));
    assert_eq!(since(&second, "ping"), since(&first, "ping"));

    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    testbed.push("a neighbour").await;
    let third = london.next().await;
    assert_eq!(since(&third, "ping"), since(&first, "ping"));
    assert!(since(&third, "dns").seconds >= since(&third, "ping").seconds);

    testbed.write_job("ping", "bob", "london-01", manifest::DAILY);
    testbed.push("another schedule").await;
    let fourth = london.next().await;
    let (before, after) = (since(&first, "ping"), since(&fourth, "ping"));
    assert!((after.seconds, after.nanos) > (before.seconds, before.nanos));
    assert_eq!(since(&fourth, "dns"), since(&third, "dns"));
}

#[tokio::test]
async fn epoch_generation_and_since_survive_a_restart_and_removal() {
    let mut testbed = Testbed::with_jobs().await;
    let first = Watch::of(&testbed, "london-01").await.next().await;
    testbed.crash_and_serve().await;
    let second = Watch::of(&testbed, "london-01").await.next().await;
    assert_eq!((&second.epoch, second.generation), (&first.epoch, first.generation));
    assert_eq!(second.assignments, first.assignments);

    // A node that goes and comes back never sees a generation again.
    let manifest = testbed.repository.clone_path().join("nodes/london-01.yaml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let ping = testbed.repository.clone_path().join("jobs/ping.yaml");
    let job = std::fs::read_to_string(ping).unwrap();
    testbed.repository.remove("nodes/london-01.yaml");
    testbed.repository.remove("jobs/ping.yaml");
    testbed.push("without London").await;
    testbed.crash_and_serve().await;
    testbed.repository.write("nodes/london-01.yaml", text);
    testbed.repository.write("jobs/ping.yaml", job);
    testbed.push("with London").await;
    let third = Watch::of(&testbed, "london-01").await.next().await;
    assert_eq!(third.epoch, first.epoch);
    assert!(third.generation > first.generation);
    assert!(since(&third, "ping").seconds >= since(&first, "ping").seconds);
}

#[tokio::test]
async fn a_stream_ends_when_the_key_of_its_node_is_removed() {
    let testbed = Testbed::with_jobs().await;
    let mut london = Watch::of(&testbed, "london-01").await;
    london.next().await;
    let key = testbed.make_key("new-key");
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", &key, ""));
    testbed.push("another key").await;
    let ended = timeout(Duration::from_secs(30), london.0.message()).await.expect("an end in time");
    assert_eq!(ended.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_heartbeat_says_what_a_node_is_and_holds() {
    let mut testbed = Testbed::with_jobs().await;
    let snapshot = Watch::of(&testbed, "london-01").await.next().await;
    let beat = v1::HeartbeatRequest {
        node: "london-01".to_owned(),
        agent_version: Some("1.2.3".to_owned()),
        boot_id: Some("boot".to_owned()),
        address: Some("203.0.113.7".to_owned()),
        engine: Some("docker 28.2.2".to_owned()),
        epoch: Some(snapshot.epoch),
        generation: Some(snapshot.generation),
        clock: None,
        host: Some(v1::HostMetrics {
            load_hundredths: Some(42),
            memory_total: Some(4 << 30),
            temperature_millidegrees: Some(-1_500),
            ..Default::default()
        }),
        outlook: None,
    };
    let mut heart = Heart::open(&mut testbed.agent("london-01"), beat.clone()).await.unwrap();
    let first = Duration::try_from(heart.first.interval.unwrap()).unwrap();
    assert!(Duration::ZERO < first && first <= Duration::from_secs(30), "a part of the interval: {first:?}");
    // The rest stays as it was.
    let clock = Some(v1::ClockOffset { offset_micros: 12_000, round_trip_micros: 40_000 });
    let answer = heart.beat(v1::HeartbeatRequest { clock, ..Default::default() }).await.unwrap();
    assert_eq!(answer.interval.unwrap().seconds, 30);
    let node = async |testbed: &Testbed| {
        let request = v1::GetNodeRequest { name: "london-01".to_owned() };
        testbed.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap()
    };
    let seen = node(&testbed).await;
    assert_eq!(seen.liveness(), v1::Liveness::Online);
    assert_eq!((seen.agent_version.as_str(), seen.engine.as_str()), ("1.2.3", "docker 28.2.2"));
    assert_eq!((seen.address.as_str(), seen.held_generation), ("203.0.113.7", seen.generation));
    assert_eq!((seen.clock, seen.host), (clock, beat.host));
    let status = testbed.ask("bob").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.nodes, status.nodes_current), (2, 1));

    // What was said is written down when the reconciler ends.
    assert!(testbed.take_daemon().terminate().await.success());
    testbed.serve().await;
    assert_eq!(heart.end().await.code(), tonic::Code::Unavailable, "it is told to come back");
    let kept = node(&testbed).await;
    assert_eq!((kept.last_seen, kept.clock, kept.host), (seen.last_seen, seen.clock, seen.host));

    // A generation of another database says nothing about this one.
    let other = v1::HeartbeatRequest { epoch: Some("another".to_owned()), ..beat };
    harness::beat(&mut testbed.agent("london-01"), other).await.unwrap();
    assert_eq!(node(&testbed).await.held_generation, 0);
}

#[tokio::test]
async fn a_node_that_holds_what_is_in_force_is_told_for_how_much_longer_and_no_more() {
    let testbed = Testbed::with_jobs().await;
    let held = Watch::of(&testbed, "london-01").await.next().await;
    let watch = async |epoch: &str, generation: u64| {
        let (node, epoch) = ("london-01".to_owned(), epoch.to_owned());
        let request = v1::WatchDesiredStateRequest { node, epoch, generation };
        Watch(testbed.agent("london-01").watch_desired_state(request).await.unwrap().into_inner())
    };
    let mut stream = watch(&held.epoch, held.generation).await;
    let first = timeout(Duration::from_secs(30), stream.0.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.snapshot, None);
    assert_eq!(first.instructions, Some(v1::Instructions::default()));
    let renewal = first.renewal.unwrap();
    let valid = renewal.valid_until.unwrap().seconds - renewal.server_time.unwrap().seconds;
    assert_eq!(valid, TimeDelta::days(7).num_seconds());
    // What changes afterwards is sent.
    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    testbed.push("dns").await;
    assert_eq!(stream.next().await.generation, held.generation + 1);
    // Who holds something else gets everything.
    for (epoch, generation) in [(held.epoch.as_str(), held.generation), ("another", held.generation + 1)] {
        assert_eq!(watch(epoch, generation).await.next().await.generation, held.generation + 1);
    }
}
