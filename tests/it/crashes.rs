//! Kills lose nothing and run nothing twice.

use std::{fs, path::Path, process::Command};

use almanac_tests::{
    Runtime, Testbed, engine,
    manifest::{Job, soon},
};

/// The agent is killed while a run goes on, and started again.
fn a_killed_agent_goes_on_with_its_run(runtime: Runtime) {
    let mut testbed = Testbed::start(runtime);
    testbed.start_agent("london-01");
    let script = "echo begin; echo started >> $ALMANAC_ARTIFACTS/starts.txt; sleep 6; echo end; exit 7";
    testbed.repository.write("jobs/long.yaml", Job::once("long", "london-01", soon(3), "40s", script).yaml());
    testbed.push("long");
    let run = testbed.wait_run("long", "RUNNING");
    let label = format!("almanac.run={}", run["id"].as_str().unwrap());
    let before = (runtime == Runtime::Docker).then(|| engine::containers(&label));

    testbed.take_agent("london-01").kill();
    testbed.start_agent("london-01");
    if let Some(before) = before {
        assert_eq!(before.len(), 1, "one container carries the run's label");
        assert_eq!(engine::containers(&label), before, "the container is the same one");
    }
    let run = testbed.wait_run("long", "FAILED");
    assert_eq!(run["exitCode"], 7, "{run}");
    assert_eq!(testbed.runs("long").len(), 1);

    let id = run["id"].as_str().unwrap();
    let log = String::from_utf8(testbed.almanac("bob", &["runs", "logs", id]).stdout).unwrap();
    assert_eq!(log, "begin\nend\n");
    let to = testbed.folder().join("downloads");
    testbed.almanac("bob", &["runs", "download", id, "--extract", "--to", to.to_str().unwrap()]);
    let starts = Command::new("grep").args(["-rh", "--include=starts.txt", ""]).arg(&to).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&starts.stdout), "started\n", "the command ran once");
    if runtime == Runtime::Docker {
        testbed
            .wait_for("the container to be removed", |_| engine::containers(&label).is_empty().then_some(()));
    }
}

#[test]
fn a_killed_agent_goes_on_with_its_process() {
    a_killed_agent_goes_on_with_its_run(Runtime::Process);
}

#[test]
#[ignore = "needs docker"]
fn a_killed_agent_reattaches_to_its_container() {
    a_killed_agent_goes_on_with_its_run(Runtime::Docker);
}

#[test]
fn killing_the_reconciler_during_an_upload_loses_nothing() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    // Random, so that packing does not shrink it.
    let script = "head -c 100000000 /dev/urandom > $ALMANAC_ARTIFACTS/noise.bin; cd $ALMANAC_ARTIFACTS; sha256sum noise.bin";
    testbed
        .repository
        .write("jobs/noise.yaml", Job::once("noise", "london-01", soon(3), "40s", script).yaml());
    testbed.push("noise");
    let arrived = |testbed: &Testbed| size_below(&testbed.uploads());
    testbed.wait_for("the upload to begin", |testbed| (arrived(testbed) > 1_000_000).then_some(()));
    testbed.take_reconciler().kill();
    let before = arrived(&testbed);
    assert!((1_000_000..100_000_000).contains(&before), "the upload was over before the kill: {before}");

    testbed.start_reconciler();
    let run = testbed.wait_run("noise", "COMPLETED");
    let id = run["id"].as_str().unwrap();
    let to = testbed.folder().join("downloads");
    let output = testbed.almanac("bob", &["runs", "download", id, "--extract", "--to", to.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8(testbed.almanac("bob", &["runs", "logs", id]).stdout).unwrap();
    let sums = Command::new("find")
        .arg(&to)
        .args(["-name", "noise.bin", "-execdir", "sha256sum", "{}", ";"])
        .output()
        .unwrap();
    let digest = |text: &str| text.trim_start_matches('\\').split_whitespace().next().map(str::to_owned);
    assert_eq!(digest(&String::from_utf8_lossy(&sums.stdout)), digest(&log));
    assert_eq!(testbed.runs("noise").len(), 1);
}

#[test]
fn an_agent_without_its_reconciler_runs_and_reports_later() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let script = "echo alone > $ALMANAC_ARTIFACTS/data.txt";
    testbed
        .repository
        .write("jobs/alone.yaml", Job::once("alone", "london-01", soon(3), "10s", script).yaml());
    testbed.push("alone");
    testbed.wait_for("the agent to know the job", |testbed| testbed.holds_current("london-01").then_some(()));
    testbed.take_reconciler().terminate();
    testbed.wait_for("the run to end on its node", |testbed| {
        (count_files(&testbed.state_dir("london-01"), "data.txt") > 0
            || count_files(&testbed.state_dir("london-01"), "artifacts.tar.zst") > 0)
            .then_some(())
    });
    testbed.start_reconciler();
    let run = testbed.wait_run("alone", "COMPLETED");
    assert_eq!(testbed.runs("alone").len(), 1, "{run}");
}

/// The bytes in all files below a folder that may not exist yet.
fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// How many files of a name are below a folder.
fn count_files(folder: &Path, name: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.path() {
            path if path.is_dir() => count_files(&path, name),
            path => usize::from(path.ends_with(name)),
        })
        .sum()
}
