//! The real binary, killed with SIGKILL at any point.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use serde_json::json;

use almanac_proto::v1;

use crate::{
    agent::shell,
    fake::{Fake, key},
};

/// The real agent; killed when it is dropped.
pub(crate) struct Binary(Child);

impl Binary {
    pub(crate) fn start(fake: &Fake, folder: &Path, runtime: &str) -> Self {
        Self::start_as(fake, folder, runtime, "london-01")
    }

    pub(crate) fn start_as(fake: &Fake, folder: &Path, runtime: &str, name: &str) -> Self {
        let path = folder.join("key");
        if !path.exists() {
            key(folder);
        }
        let child = Command::new(env!("CARGO_BIN_EXE_almanac-node"))
            .args(["--log", "warn", "run", "--name", name, "--runtime", runtime, "--server", &fake.url()])
            .arg("--key")
            .arg(&path)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_run_goes_on_it_takes_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Binary::start(&fake, folder.path(), "process");
    fake.wait("a heartbeat", |told| told.heartbeat.clone()).await;
    let gate = folder.path().join("gate");
    let script =
        format!("echo one; while ! [ -e {} ]; do sleep 0.05; done; echo two; exit 5", gate.display());
    fake.declare("going", Utc::now() + TimeDelta::milliseconds(500), shell(&script));
    let running = fake.reaches("going", v1::Phase::Running).await;
    agent.kill();
    let _agent = Binary::start(&fake, folder.path(), "process");
    fs::write(gate, "").unwrap();
    let last = fake.ended("going").await;
    assert_eq!(
        (last.phase(), last.reason(), last.exit_code),
        (v1::Phase::Failed, v1::Reason::ExitCode, Some(5))
    );
    assert_eq!(last.run_id, running.run_id);
    assert_eq!(fake.phases("going"), ["DEPLOYING", "RUNNING", "UPLOADING", "FAILED"]);
    assert_eq!(fake.file(&last, "run.log").unwrap(), b"one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_while_nobody_looked_is_finished_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Binary::start(&fake, folder.path(), "process");
    let done = folder.path().join("done");
    let script = format!("sleep 0.5; touch {}; exit 4", done.display());
    fake.declare("alone", Utc::now() + TimeDelta::milliseconds(800), shell(&script));
    fake.reaches("alone", v1::Phase::Running).await;
    agent.kill();
    fake.wait("the command to end by itself", |_| done.exists().then_some(())).await;
    let _agent = Binary::start(&fake, folder.path(), "process");
    let last = fake.ended("alone").await;
    assert_eq!((last.phase(), last.exit_code), (v1::Phase::Failed, Some(4)));
}

/// Jobs every second, and an agent that dies at intervals that fall on every step of a run.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_runs_each_instant_at_most_once_and_accounts_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let starts = folder.path().join("starts");
    let script = format!("echo $ALMANAC_SCHEDULED_AT >> {}; echo $ALMANAC_RUN > id", starts.display());
    let begin = Utc::now() + TimeDelta::seconds(1);
    let end = begin + TimeDelta::seconds(8);
    let mut job = shell(&script);
    job["schedule"] = json!({
        "at": null, "cron": "* * * * * *", "end": end.to_rfc3339(), "start": begin.to_rfc3339(),
        "length": "30s", "startDeadline": "1s",
    });
    job["exclusive"] = json!(false);
    fake.declare("often", begin, job);
    let mut pause = 150;
    while Utc::now() < end {
        let agent = Binary::start(&fake, folder.path(), "process");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        agent.kill();
        pause = 100 + pause * 7 % 733;
    }
    let agent = Binary::start(&fake, folder.path(), "process");
    fake.wait("every instant to be accounted for", |told| {
        let ended = |event: &&v1::RunEvent| event.phase() as i32 >= v1::Phase::Completed as i32;
        let mut runs: Vec<&str> =
            told.events.iter().filter(ended).map(|event| event.run_id.as_str()).collect();
        runs.sort_unstable();
        runs.dedup();
        (runs.len() == 8).then_some(())
    })
    .await;
    agent.kill();
    let told = fake.told();
    let mut terminal: Vec<_> = told
        .events
        .iter()
        .filter(|event| event.phase() as i32 >= v1::Phase::Completed as i32)
        .map(|event| (event.run_id.clone(), event.sequence, event.phase, event.reason))
        .collect();
    terminal.sort();
    // The same event may be reported twice; two different ends of one run never are.
    terminal.dedup();
    assert_eq!(terminal.len(), 8, "{terminal:#?}");
    let text = fs::read_to_string(starts).unwrap_or_default();
    let mut started: Vec<&str> = text.lines().collect();
    let count = started.len();
    started.sort_unstable();
    started.dedup();
    assert_eq!(started.len(), count, "no instant is started twice: {text}");
    let completed = terminal.iter().filter(|(_, _, phase, _)| *phase == v1::Phase::Completed as i32).count();
    assert!(completed <= count, "{completed} completed, {count} started");
}
