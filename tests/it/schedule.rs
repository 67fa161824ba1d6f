//! A commit becomes a run, a change is followed, a removal keeps the history.

use std::{fs, time::Duration, time::Instant};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// What `seq 1 20000` prints.
fn numbers() -> String {
    (1..=20_000).map(|number| format!("{number}\n")).collect()
}

fn a_pushed_commit_runs_and_its_artifact_downloads_byte_for_byte(runtime: Runtime) {
    let mut testbed = Testbed::start(runtime);
    testbed.start_agent("london-01");
    let script = "echo measuring; seq 1 20000 > $ALMANAC_ARTIFACTS/numbers.txt; echo done >&2";
    let at = soon(4);
    testbed.repository.write("jobs/count.yaml", Job::once("count", "london-01", at, "20s", script).yaml());
    let commit = testbed.push("count");

    let run = testbed.wait_run("count", "COMPLETED");
    assert_eq!(run["reason"], "exit_code");
    assert_eq!(run["exitCode"], 0);
    assert_eq!(run["node"], "london-01");
    assert_eq!(run["owner"], "bob");
    assert_eq!(run["commit"], commit);
    let id = run["id"].as_str().unwrap();

    let shown = testbed.json("bob", &["runs", "show", id]);
    let phases: Vec<_> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["phase"].clone()).collect();
    assert_eq!(phases, ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"]);

    let logs = testbed.almanac("bob", &["runs", "logs", id]);
    let [out, err] = [logs.stdout, logs.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((out.as_str(), err.as_str()), ("measuring\n", "done\n"), "each on its own stream");

    let to = testbed.folder().join("downloads");
    let output = testbed.almanac("bob", &["runs", "download", id, "--extract", "--to", to.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = find(&to, "numbers.txt").expect("the artifact was downloaded");
    assert!(fs::read_to_string(found).unwrap() == numbers(), "the artifact differs from what was written");

    let date = at.format("%Y/%m/%d");
    let stored = testbed.store().join(format!("london-01/count/{date}/{id}/artifacts.tar.zst"));
    assert!(stored.is_file(), "{} is missing", stored.display());
}

#[test]
fn a_pushed_commit_runs_as_a_process() {
    a_pushed_commit_runs_and_its_artifact_downloads_byte_for_byte(Runtime::Process);
}

#[test]
#[ignore = "needs docker"]
fn a_pushed_commit_runs_in_a_container() {
    a_pushed_commit_runs_and_its_artifact_downloads_byte_for_byte(Runtime::Docker);
}

#[test]
fn the_agent_follows_a_changed_schedule_within_two_seconds() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let job = |cron| Job::recurring("tick", "london-01", cron, "1s", "true").yaml();
    testbed.repository.write("jobs/tick.yaml", job("0 0 5 1 1 *"));
    testbed.push("a job that does not run today");
    testbed.wait_for("the agent to know the job", |testbed| testbed.holds_current("london-01").then_some(()));

    testbed.repository.write("jobs/tick.yaml", job("* * * * * *"));
    let pushed = Instant::now();
    testbed.repository.push("every second");
    testbed.wait_for("a run by the new schedule", |testbed| testbed.runs("tick").pop());
    let elapsed = pushed.elapsed();
    // The new schedule fires each second, so that at most one of the two is waiting for that.
    assert!(elapsed < Duration::from_secs(3), "the first run by the new schedule came after {elapsed:?}");
}

#[test]
fn deleting_a_job_stops_future_runs_and_keeps_its_history() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let job = Job::recurring("tick", "london-01", "* * * * * *", "1s", "true");
    testbed.repository.write("jobs/tick.yaml", job.yaml());
    testbed.push("tick");
    testbed.wait_run("tick", "COMPLETED");

    testbed.repository.remove("jobs/tick.yaml");
    testbed.push("no more ticks");
    testbed
        .wait_for("the agent to forget the job", |testbed| testbed.holds_current("london-01").then_some(()));
    let unfinished = |runs: &[serde_json::Value]| runs.iter().any(|run| run["endedAt"].is_null());
    let last = testbed.wait_for("the last run to end", |testbed| {
        let runs = testbed.runs("tick");
        (!unfinished(&runs)).then(|| runs[0]["scheduledAt"].clone())
    });
    // A witness that time went on: another job runs twice meanwhile.
    let witness = Job::recurring("witness", "london-01", "* * * * * *", "1s", "true");
    testbed.repository.write("jobs/witness.yaml", witness.yaml());
    testbed.push("witness");
    testbed.wait_for("two runs of the witness", |testbed| (testbed.runs("witness").len() > 1).then_some(()));

    assert_eq!(testbed.runs("tick")[0]["scheduledAt"], last);
    let jobs = testbed.json("alice", &["jobs", "list"]);
    assert!(!jobs.as_array().unwrap().iter().any(|job| job["name"] == "tick"));
    let shown = testbed.json("alice", &["jobs", "show", "tick"]);
    assert!(!shown["deletedAt"].is_null(), "{shown}");
}

/// A file below a folder, by name.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find_map(|path| if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) })
}
