//! Conditions of the repository, of nodes and of jobs, with each reason that can be reached from outside.

use std::fs;

use almanac_proto::v1;
use almanac_reconciler::store::Store;
use chrono::{SecondsFormat, TimeDelta, Utc};

use crate::{
    bed::{Bed, until},
    harness::{self, Heart, Testbed, instant, manifest, run_id, whole_run},
};

/// `Ready`, `Stalled` and `Stale`: whether each holds, and why.
type Conditions = [(bool, String); 3];

/// Those that everything has.
fn told(conditions: &[v1::Condition]) -> Conditions {
    let [ready, stalled, stale, ..] = conditions else { panic!("{conditions:?}") };
    let names = [ready, stalled, stale].map(|condition| condition.r#type.as_str());
    assert_eq!(names, ["Ready", "Stalled", "Stale"]);
    assert!(conditions.iter().all(|condition| condition.since.is_some()), "{conditions:?}");
    [ready, stalled, stale].map(|condition| (condition.status, condition.reason.clone()))
}

fn are(ready: (bool, &str), stalled: (bool, &str), stale: (bool, &str)) -> Conditions {
    [ready, stalled, stale].map(|(status, reason)| (status, reason.to_owned()))
}

async fn repository(testbed: &Testbed) -> Conditions {
    told(&testbed.status().await.conditions)
}

async fn node(testbed: &Testbed, name: &str) -> v1::Node {
    let request = v1::GetNodeRequest { name: name.to_owned() };
    testbed.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap()
}

async fn job(testbed: &Testbed, name: &str) -> v1::Job {
    let request = v1::GetJobRequest { name: name.to_owned() };
    testbed.ask("bob").get_job(request).await.unwrap().into_inner().job.unwrap()
}

async fn epoch(testbed: &Testbed, node: &str) -> String {
    testbed.watch(node).await.message().await.unwrap().unwrap().snapshot.unwrap().epoch
}

/// Silence counts within seconds.
fn hasty(testbed: &Testbed) {
    let config = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\n\
                  spec: { heartbeat: { interval: 1s, staleAfter: 5s, offlineAfter: 8s } }\n";
    testbed.repository.write("config.yaml", config);
}

const PROGRESSING: (bool, &str) = (false, "Progressing");

#[tokio::test]
async fn of_the_repository() {
    let testbed = Testbed::with_jobs().await;
    let looked = (false, "Looked");
    assert_eq!(repository(&testbed).await, are((true, "AsDeclared"), PROGRESSING, looked));
    let ready = testbed.status().await.conditions[0].clone();

    testbed.write_job("dns", "mallory", "london-01", manifest::HOURLY);
    let bad = testbed.push_and_look("bad").await.sync.unwrap();
    assert_eq!(repository(&testbed).await, are((false, "Rejected"), (true, "Rejected"), looked));
    let rejected = testbed.status().await.conditions[0].clone();
    assert_eq!(rejected.message, bad.message);
    let micros = |condition: &v1::Condition| {
        let since = condition.since.unwrap();
        (since.seconds, since.nanos)
    };
    assert!(micros(&rejected) > micros(&ready), "since it became so");
    testbed.look().await;
    assert_eq!(testbed.status().await.conditions[0].since, rejected.since, "another look does not change it");

    let mut alice = testbed.ask("alice");
    let request = v1::PinSyncRequest {
        commit: testbed.status().await.applied_commit,
        reason: "compare".to_owned(),
        until: None,
    };
    alice.pin_sync(request).await.unwrap();
    assert_eq!(repository(&testbed).await, are((true, "Pinned"), PROGRESSING, looked));
    alice.unpin_sync(v1::UnpinSyncRequest {}).await.unwrap();

    let request = v1::SuspendSyncRequest { reason: "rest".to_owned(), until: None };
    alice.suspend_sync(request).await.unwrap();
    let suspended = are((false, "Suspended"), (true, "Suspended"), (false, "Suspended"));
    assert_eq!(repository(&testbed).await, suspended);
    alice.resume_sync(v1::ResumeSyncRequest {}).await.unwrap();

    testbed.repository.git(&["rm", "-r", "--quiet", "--cached", "."]);
    testbed.repository.git(&["commit", "--quiet", "-m", "nothing"]);
    testbed.repository.git(&["push", "--quiet", "origin", "main"]);
    let commit = testbed.repository.git(&["rev-parse", "HEAD"]);
    testbed.wait_looked(&commit).await;
    assert_eq!(repository(&testbed).await, are((false, "Waiting"), (true, "Waiting"), looked));
}

#[tokio::test]
async fn of_a_repository_that_cannot_be_looked_at() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    testbed.serve_polling("1s").await;
    testbed.wait_applied(&commit).await;
    let away = testbed.folder().join("away");
    fs::rename(testbed.repository.path(), &away).unwrap();
    // At once it is known that a look failed, and after three intervals that nothing is known.
    let failed = testbed.look().await;
    assert_eq!(failed.outcome(), v1::SyncOutcome::Failed);
    let status = testbed.status().await;
    assert_eq!(told(&status.conditions)[0], (false, "LookFailed".to_owned()));
    assert_eq!(status.conditions[0].message, status.look_error);
    testbed
        .wait_for("the repository to be stale", async || {
            let stale = are((false, "LookFailed"), PROGRESSING, (true, "NotLooked"));
            (repository(&testbed).await == stale).then_some(())
        })
        .await;
    assert_eq!(testbed.status().await.applied_commit, commit, "what was in force still is");
    fs::rename(&away, testbed.repository.path()).unwrap();
    testbed
        .wait_for("the repository to be looked at", async || {
            let well = are((true, "AsDeclared"), PROGRESSING, (false, "Looked"));
            (repository(&testbed).await == well).then_some(())
        })
        .await;
}

#[tokio::test]
async fn of_a_node_that_takes_its_state_and_one_that_does_not() {
    let mut testbed = Testbed::prepare();
    hasty(&testbed);
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("users, nodes and a job");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    let london = async || told(&node(&testbed, "london-01").await.conditions);
    let never = are((false, "NeverHeard"), PROGRESSING, (true, "NeverHeard"));
    assert_eq!(london().await, never);

    let epoch = epoch(&testbed, "london-01").await;
    testbed.beat("london-01", &epoch, 1).await;
    assert_eq!(london().await, are((true, "AsDeclared"), PROGRESSING, (false, "Heard")));

    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    testbed.push("another job").await;
    // What it holds of another database counts for nothing.
    testbed.beat("london-01", "another", 2).await;
    assert_eq!(london().await, are((false, "Lagging"), PROGRESSING, (false, "Heard")));
    let status = testbed.status().await;
    assert_eq!((status.nodes, status.nodes_current), (2, 0));
    testbed
        .wait_for("the node to be stalled", async || {
            testbed.beat("london-01", &epoch, 1).await;
            let stalled = are((false, "Lagging"), (true, "NotTaken"), (false, "Heard"));
            (london().await == stalled).then_some(())
        })
        .await;
    testbed.beat("london-01", &epoch, 2).await;
    assert_eq!(london().await, are((true, "AsDeclared"), PROGRESSING, (false, "Heard")));

    let key = fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let cordoned = manifest::node("london-01", key.trim(), "  cordoned: true\n");
    testbed.repository.write("nodes/london-01.yaml", cordoned);
    testbed.push("cordon London").await;
    testbed.beat("london-01", &epoch, 3).await;
    assert_eq!(london().await, are((false, "Cordoned"), PROGRESSING, (false, "Heard")));

    testbed
        .wait_for("the node to be stale", async || {
            let silent = are((false, "Silent"), PROGRESSING, (true, "Silent"));
            (london().await == silent).then_some(())
        })
        .await;
}

/// However often what it should do changes meanwhile.
#[tokio::test]
async fn a_node_was_never_heard_of_since_it_is_declared() {
    let mut testbed = Testbed::start().await;
    let in_force_at = async |testbed: &Testbed| {
        let id = testbed.status().await.applied_commit;
        let sync = testbed.ask("alice").get_sync(v1::GetSyncRequest { id }).await.unwrap();
        sync.into_inner().sync.unwrap().ended_at.unwrap()
    };
    let declared = in_force_at(&testbed).await;
    let never = async |testbed: &Testbed| {
        let conditions = node(testbed, "london-01").await.conditions;
        let stale = conditions.into_iter().find(|condition| condition.r#type == "Stale").unwrap();
        assert_eq!(stale.reason, "NeverHeard");
        stale.since.unwrap()
    };
    assert_eq!(never(&testbed).await, declared);
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("a job").await;
    assert_eq!(node(&testbed, "london-01").await.generation, 2);
    assert_eq!(never(&testbed).await, declared);
    testbed.crash_and_serve().await;
    assert_eq!(never(&testbed).await, declared);

    let text = fs::read(testbed.repository.clone_path().join("nodes/london-01.yaml")).unwrap();
    testbed.repository.remove("jobs/ping.yaml");
    testbed.repository.remove("nodes/london-01.yaml");
    testbed.push("without London").await;
    testbed.repository.write("nodes/london-01.yaml", text);
    testbed.push("London again").await;
    // It is another one of the same name.
    let again = in_force_at(&testbed).await;
    assert_eq!(never(&testbed).await, again);
    testbed.crash_and_serve().await;
    assert_eq!(never(&testbed).await, again);
}

#[tokio::test]
async fn nodes_that_lag_are_named_and_why() {
    let testbed = Testbed::with_jobs().await;
    let epoch = epoch(&testbed, "london-01").await;
    let lagging = async || {
        let status = testbed.status().await;
        let named: Vec<_> = status.lagging.into_iter().map(|node| (node.name, node.reason)).collect();
        (status.nodes_current, named)
    };
    let why = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    assert_eq!(lagging().await, (0, vec![why("london-01", "NeverHeard"), why("paris-01", "NeverHeard")]));
    testbed.beat("london-01", &epoch, 1).await;
    testbed.beat("paris-01", &epoch, 1).await;
    assert_eq!(lagging().await, (2, vec![]));
    testbed.write_job("dns", "bob", "paris-01", manifest::HOURLY);
    testbed.push("a job in Paris").await;
    // The commit is in force, and not yet carried out everywhere.
    assert_eq!(repository(&testbed).await[0], (true, "AsDeclared".to_owned()));
    assert_eq!(lagging().await, (1, vec![why("paris-01", "Lagging")]));
    let message = testbed.status().await.lagging.remove(0).message;
    assert_eq!(message, "it holds generation 1 of its state, and 2 is in force");
    testbed.beat("paris-01", &epoch, 2).await;
    assert_eq!(lagging().await, (2, vec![]));
}

#[tokio::test]
async fn of_a_job() {
    let testbed = Testbed::with_jobs().await;
    let declared = (false, "AsDeclared");
    let epoch = epoch(&testbed, "london-01").await;
    let ping = async || told(&job(&testbed, "ping").await.conditions);
    // A node that was never heard of holds nothing, whatever else may be true of it.
    assert_eq!(ping().await, are((false, "NodesNotReady"), PROGRESSING, (true, "Lagging")));
    let message = job(&testbed, "ping").await.conditions[0].message.clone();
    assert_eq!(message, "1 of 1 nodes: `london-01`: its agent was never heard of");
    testbed.beat("london-01", &epoch, 1).await;
    assert_eq!(ping().await, are((true, "AsDeclared"), PROGRESSING, declared));

    let soon = (Utc::now() + TimeDelta::seconds(8)).to_rfc3339_opts(SecondsFormat::Secs, true);
    testbed.write_job("once", "bob", "london-01", &format!("{{ at: {soon}, length: 10s }}"));
    testbed.push("a job that is soon over").await;
    assert_eq!(ping().await, are((false, "NodesNotReady"), PROGRESSING, (true, "Lagging")));
    testbed.beat("london-01", &epoch, 2).await;
    assert_eq!(ping().await, are((true, "AsDeclared"), PROGRESSING, declared));
    testbed
        .wait_for("the job to end", async || {
            let once = told(&job(&testbed, "once").await.conditions);
            (once == are((false, "Ended"), (true, "Ended"), declared)).then_some(())
        })
        .await;

    testbed.repository.remove("jobs/ping.yaml");
    testbed.push("without ping").await;
    assert_eq!(job(&testbed, "ping").await.conditions, []);
}

#[tokio::test]
async fn of_a_job_that_no_node_matches() {
    let testbed = Testbed::with_jobs().await;
    let text = manifest::job("dns", "bob", "london-01", manifest::HOURLY);
    let selector = text.replace("nodes: [london-01]", "nodeSelector: { city: oslo }");
    testbed.repository.write("jobs/dns.yaml", selector);
    let sync = testbed.push_and_look("a selector of nothing").await;
    assert_eq!(sync.sync.unwrap().outcome(), v1::SyncOutcome::Applied, "{:?}", sync.findings);
    let dns = job(&testbed, "dns").await.conditions;
    assert_eq!(told(&dns), are((false, "NoNodes"), (true, "NoNodes"), (false, "AsDeclared")));
}

#[tokio::test]
async fn of_a_node_whose_clock_is_off() {
    let testbed = Testbed::start().await;
    let skewed = async || {
        let conditions = node(&testbed, "london-01").await.conditions;
        assert_eq!(conditions[3].r#type, "ClockSkewed");
        conditions[3].clone()
    };
    let is = |condition: &v1::Condition, status: bool, reason: &str| {
        assert_eq!((condition.status, &*condition.reason), (status, reason), "{condition:?}");
    };
    is(&skewed().await, false, "NotMeasured");
    let epoch = epoch(&testbed, "london-01").await;
    let clock = |offset_micros| v1::HeartbeatRequest {
        clock: Some(v1::ClockOffset { offset_micros, round_trip_micros: 80_000 }),
        ..Default::default()
    };
    let first = v1::HeartbeatRequest {
        node: "london-01".to_owned(),
        epoch: Some(epoch),
        generation: Some(1),
        ..clock(1_030_000)
    };
    let mut heart = Heart::open(&mut testbed.agent("london-01"), first.clone()).await.unwrap();
    // Half of the round trip may be all of it.
    is(&skewed().await, false, "InStep");
    heart.beat(clock(3_200_000)).await.unwrap();
    let behind = skewed().await;
    is(&behind, true, "OffsetTooLarge");
    assert_eq!(behind.message, "its clock is 3.2 s behind the reconciler's: set it by NTP");
    let ready = node(&testbed, "london-01").await.conditions[0].clone();
    assert!(ready.status, "it does what it is told all the same: {ready:?}");

    // It is the same clock on another stream, and since when is not forgotten.
    let first = v1::HeartbeatRequest { clock: clock(-61_000_000).clock, ..first };
    let mut heart = Heart::open(&mut testbed.agent("london-01"), first).await.unwrap();
    let ahead = skewed().await;
    assert_eq!(ahead.message, "its clock is 61.0 s ahead of the reconciler's: set it by NTP");
    assert_eq!(ahead.since, behind.since);
    heart.beat(clock(5_000)).await.unwrap();
    is(&skewed().await, false, "InStep");
}

/// Nobody knew of it for long: that is shown, and nothing else follows from it.
#[tokio::test]
async fn what_an_offline_node_reports_later_is_taken() {
    let mut testbed = Testbed::prepare();
    hasty(&testbed);
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("users, nodes and a job");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    let epoch = epoch(&testbed, "london-01").await;
    testbed.beat("london-01", &epoch, 1).await;
    let at = instant("2030-01-01T00:00:00Z");
    let steps = whole_run("ping", "london-01", at);
    assert_eq!(testbed.report("london-01", steps[..2].to_vec()).await, 2);
    testbed
        .wait_for("the node to be offline", async || {
            (node(&testbed, "london-01").await.liveness() == v1::Liveness::Offline).then_some(())
        })
        .await;
    let run = async || testbed.run(&run_id("ping", "london-01", at)).await.run.unwrap();
    assert_eq!(run().await.phase(), v1::Phase::Running, "what becomes of it is its node's to say");
    assert_eq!(testbed.report("london-01", steps[2..].to_vec()).await, 2);
    assert_eq!(run().await.phase(), v1::Phase::Completed);
    assert_eq!(
        node(&testbed, "london-01").await.liveness(),
        v1::Liveness::Offline,
        "a report is no heartbeat"
    );
}

/// A node that comes back by the same name is another one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_said_goes_with_it() {
    let mut bed = Bed::serving().await;
    let beat = v1::HeartbeatRequest { node: "paris-01".to_owned(), ..Default::default() };
    harness::beat(&mut bed.connect("paris-01").node(), beat.clone()).await.unwrap();
    let store = Store::open(&bed.settings().database).await.unwrap();
    let written = async || store.heartbeats().await.unwrap().len();
    until("the heartbeat to be written", async || (written().await == 1).then_some(())).await;
    // The last thing that it says is not written when it is removed.
    harness::beat(&mut bed.connect("paris-01").node(), beat).await.unwrap();
    fs::remove_file(bed.repo().join("nodes/paris-01.yaml")).unwrap();
    bed.applied(&bed.commit("without paris")).await;
    assert_eq!(written().await, 0);
    bed.stop().await;
    assert_eq!(written().await, 0, "nor is it written at the end");
}
