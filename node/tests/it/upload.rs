//! Files on a bad link, and a reconciler that is away.

use chrono::{TimeDelta, Utc};
use tonic::Status;

use almanac_node::settings::RuntimeChoice;
use almanac_proto::v1;

use crate::{
    agent::{Agent, shell},
    fake::{Fake, unpack},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    fake.told().cut_uploads = 3;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    let script = "head -c 6000000 /dev/urandom > noise; sha256sum noise | cut -c1-64 > sum; base64 noise > text; rm noise";
    fake.declare("large", Utc::now() + TimeDelta::milliseconds(300), shell(script));
    let last = fake.ended("large").await;
    assert_eq!((last.phase(), last.exit_code), (v1::Phase::Completed, Some(0)));
    assert_eq!(fake.told().cut_uploads, 0);
    let archive = fake.file(&last, "artifacts.tar.zst").unwrap();
    assert!(archive.len() > 5 << 20, "more than one part: {}", archive.len());
    assert!(unpack(&archive).contains_key(std::path::Path::new("sum")));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_reconciler_is_away_runs_go_on_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    for (job, seconds) in [("one", 1), ("two", 2)] {
        fake.declare(job, Utc::now() + TimeDelta::seconds(seconds), shell("echo $ALMANAC_JOB; touch done"));
    }
    fake.wait("the state to be held", |told| told.heartbeat.clone().filter(|h| h.generation == 3)).await;
    fake.told().refuse = Some(Status::unavailable("away"));
    let runs = folder.path().join("state/runs");
    let packed = || {
        let folders = std::fs::read_dir(&runs).unwrap().filter_map(Result::ok);
        folders.filter(|run| run.path().join("outbox/run.json").exists()).count() == 2
    };
    fake.wait("both runs to be packed", |_| packed().then_some(())).await;
    assert_eq!(fake.told().events.len(), 0);
    // The outbox outlives the agent too.
    agent.stop().await;
    fake.told().refuse = None;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    for job in ["one", "two"] {
        let last = fake.ended(job).await;
        assert_eq!(last.phase(), v1::Phase::Completed);
        assert_eq!(fake.phases(job), ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"]);
        assert_eq!(fake.file(&last, "run.log").unwrap(), format!("{job}\n").into_bytes());
    }
    agent.stop().await;
}
