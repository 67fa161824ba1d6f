//! The agent with the process runtime, from a snapshot to reports and files.

use std::{path::Path, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use almanac_node::{
    agent::{self, StartError},
    settings::{RuntimeChoice, Settings},
    state_dir::StateDirError,
};
use almanac_proto::{Endpoint, Identity, v1};

use crate::fake::{Fake, key, unpack};

/// A running agent.
pub(crate) struct Agent {
    stop: CancellationToken,
    done: JoinHandle<Result<(), StartError>>,
}

impl Agent {
    pub(crate) fn start(fake: &Fake, folder: &Path, runtime: RuntimeChoice) -> Self {
        Self::start_as(fake, folder, runtime, "london-01")
    }

    /// Nodes that share an engine need names of their own.
    pub(crate) fn start_as(fake: &Fake, folder: &Path, runtime: RuntimeChoice, name: &str) -> Self {
        let stop = CancellationToken::new();
        let settings = Settings { name: name.parse().unwrap(), ..settings(fake, folder, runtime) };
        let done = tokio::spawn(agent::run(settings, stop.clone()));
        Self { stop, done }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let done = tokio::time::timeout(Duration::from_secs(5), self.done).await;
        done.expect("it stops within seconds").unwrap().unwrap();
    }
}

pub(crate) fn settings(fake: &Fake, folder: &Path, runtime: RuntimeChoice) -> Settings {
    let path = folder.join("key");
    let path = if path.exists() { path } else { key(folder) };
    Settings {
        name: "london-01".parse().unwrap(),
        server: Endpoint::new(&fake.url(), false).unwrap(),
        identity: Identity::read(&path, "london-01".parse().unwrap(), "almanac").unwrap(),
        state_dir: folder.join("state"),
        runtime,
        address: Some("203.0.113.7".to_owned()),
    }
}

pub(crate) fn shell(script: &str) -> serde_json::Value {
    json!({ "container": { "command": ["/bin/sh", "-c", script] } })
}

fn soon() -> chrono::DateTime<Utc> {
    Utc::now() + TimeDelta::milliseconds(300)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_from_a_snapshot_to_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    fake.declare(
        "hello",
        soon(),
        json!({
            "container": {
                "command": ["/bin/sh", "-c", "echo out $WHO; echo err >&2; cp $ALMANAC_CONFIG $ALMANAC_ARTIFACTS/c; echo $(ALMANAC_ROLE) \"$ESCAPED\" > role"],
                "env": { "WHO": "$(ALMANAC_JOB) on $(ALMANAC_NODE)", "ESCAPED": "$$(ALMANAC_JOB) $(UNKNOWN)" },
            },
            "config": { "streams": 4 },
        }),
    );
    let last = fake.ended("hello").await;
    assert_eq!(
        (last.phase(), last.reason(), last.exit_code),
        (v1::Phase::Completed, v1::Reason::ExitCode, Some(0))
    );
    assert_eq!(last.commit, "c0ffee");
    assert_eq!(fake.phases("hello"), ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"]);
    assert_eq!(fake.file(&last, "run.log").unwrap(), b"out hello on london-01\nerr\n");
    let artifacts = unpack(&fake.file(&last, "artifacts.tar.zst").unwrap());
    assert_eq!(artifacts[Path::new("c")], "streams: 4\n");
    assert_eq!(artifacts[Path::new("role")], "client $(ALMANAC_JOB) $(UNKNOWN)\n");
    let facts: serde_json::Value = serde_json::from_slice(&fake.file(&last, "run.json").unwrap()).unwrap();
    assert_eq!(facts["run"], last.run_id);
    assert_eq!(facts["exitCode"], 0);
    let runs = folder.path().join("state/runs");
    fake.wait("the run's folder to go", |_| std::fs::read_dir(&runs).unwrap().next().is_none().then_some(()))
        .await;
    let heartbeat = fake
        .wait("a heartbeat with the state", |told| told.heartbeat.clone().filter(|h| h.generation == 2))
        .await;
    assert_eq!((heartbeat.engine.as_str(), heartbeat.address.as_str()), ("process", "203.0.113.7"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_stopped_at_its_length_and_that_completes_it() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    let mut job = shell("trap 'echo stopped; exit 3' TERM; echo started; while :; do sleep 0.1; done");
    job["schedule"] = json!({ "length": "1s" });
    fake.declare("long", soon(), job);
    let last = fake.ended("long").await;
    assert_eq!(
        (last.phase(), last.reason(), last.exit_code),
        (v1::Phase::Completed, v1::Reason::LengthReached, None)
    );
    // A shell says of its own accord that its `sleep` was terminated too.
    let log = String::from_utf8(fake.file(&last, "run.log").unwrap()).unwrap();
    assert!(log.starts_with("started\n") && log.ends_with("stopped\n"), "{log}");
    assert_eq!(fake.file(&last, "artifacts.tar.zst"), None);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_is_recorded_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    fake.declare("fails", soon(), shell("exit 7"));
    fake.declare("peer", soon(), json!({ "server": { "node": "paris-01", "container": { "image": "x" } } }));
    fake.declare("offline", Utc::now() - TimeDelta::minutes(5), json!({}));
    fake.declare("nothing", soon(), json!({ "container": { "command": [] } }));
    fake.declare("large", soon(), {
        let mut job = shell("echo 0123456789 > a; echo 0123456789 > b");
        job["artifacts"] = json!({ "maxSize": "15B" });
        job
    });
    for (job, phase, reason, message) in [
        ("fails", v1::Phase::Failed, v1::Reason::ExitCode, "exit code 7"),
        ("peer", v1::Phase::Skipped, v1::Reason::Unsupported, "server"),
        ("offline", v1::Phase::Missed, v1::Reason::NodeOffline, "did not run"),
        ("nothing", v1::Phase::Failed, v1::Reason::Runtime, "command"),
        ("large", v1::Phase::Failed, v1::Reason::ArtifactsTooLarge, "15 are allowed"),
    ] {
        let last = fake.ended(job).await;
        assert_eq!((last.phase(), last.reason()), (phase, reason), "{job}");
        assert!(last.message.contains(message), "{job}: {}", last.message);
    }
    fake.publish(|snapshot| snapshot.node_spec = r#"{"owner":"alice","cordoned":true}"#.to_owned());
    fake.declare("cordoned", soon(), json!({}));
    assert_eq!(fake.ended("cordoned").await.reason(), v1::Reason::Cordoned);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_leaves_its_runs_going_and_takes_them_up() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    let gate = folder.path().join("gate");
    fake.declare(
        "going",
        soon(),
        shell(&format!("echo one; while ! [ -e {0} ]; do sleep 0.05; done; echo two", gate.display())),
    );
    let running = fake.reaches("going", v1::Phase::Running).await;
    agent.stop().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    std::fs::write(gate, "").unwrap();
    let last = fake.ended("going").await;
    assert_eq!((last.phase(), last.exit_code), (v1::Phase::Completed, Some(0)));
    assert_eq!(last.run_id, running.run_id);
    assert_eq!(fake.phases("going"), ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"]);
    assert_eq!(fake.file(&last, "run.log").unwrap(), b"one\ntwo\n");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_job_runs_no_more_and_a_running_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    let gate = folder.path().join("gate");
    fake.declare("going", soon(), shell(&format!("while ! [ -e {} ]; do sleep 0.05; done", gate.display())));
    fake.declare("later", Utc::now() + TimeDelta::seconds(2), json!({}));
    fake.reaches("going", v1::Phase::Running).await;
    fake.publish(|snapshot| snapshot.assignments.clear());
    fake.declare("witness", Utc::now() + TimeDelta::seconds(3), json!({}));
    fake.ended("witness").await;
    assert_eq!(fake.phases("later"), Vec::<String>::new());
    std::fs::write(gate, "").unwrap();
    assert_eq!(fake.ended("going").await.phase(), v1::Phase::Completed);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_agent_keeps_trying_and_an_older_snapshot_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    fake.told().refuse = Some(tonic::Status::unauthenticated("no such key"));
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    tokio::time::sleep(Duration::from_millis(300)).await;
    fake.told().refuse = None;
    fake.publish(|snapshot| snapshot.generation = 10);
    fake.wait("generation 10", |told| told.heartbeat.clone().filter(|h| h.generation == 10)).await;
    fake.publish(|snapshot| snapshot.generation = 9);
    fake.publish(|snapshot| snapshot.generation = 12);
    fake.wait("generation 12", |told| told.heartbeat.clone().filter(|h| h.generation == 12)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_has_one_agent() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start(&fake, folder.path(), RuntimeChoice::Process);
    fake.wait("a heartbeat", |told| told.heartbeat.clone()).await;
    let second =
        agent::run(settings(&fake, folder.path(), RuntimeChoice::Process), CancellationToken::new()).await;
    assert!(matches!(second, Err(StartError::StateDir(StateDirError::Locked(_)))));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_not_running_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let host = Some(format!("unix://{}/no.sock", folder.path().display()));
    let started =
        agent::run(settings(&fake, folder.path(), RuntimeChoice::Docker { host }), CancellationToken::new());
    let error = anyhow::Error::from(started.await.unwrap_err());
    assert!(format!("{error:#}").contains("`--runtime process`"), "{error:#}");
}
