//! What cannot work says why, where and what to do.

use std::{fs, process::Command};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// Runs a command that must fail, and returns what it said.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn a_reconciler_that_cannot_start_says_why() {
    let testbed = Testbed::prepare(Runtime::Process);
    // Nothing was pushed: the branch does not exist yet.
    let said = refused(testbed.reconciler_command("sync").arg("--once"));
    assert!(said.contains("main"), "{said}");

    testbed.repository.push("users and nodes");
    let output = testbed.reconciler_command("sync").arg("--once").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(plan.contains("london-01") && plan.contains("alice"), "{plan}");

    let said = refused(testbed.reconciler_command("sync").args(["--once", "--branch", "nosuch"]));
    assert!(said.contains("nosuch"), "{said}");
}

#[test]
fn a_repository_that_does_not_exist_is_named() {
    let testbed = Testbed::prepare(Runtime::Process);
    fs::rename(testbed.repository.path(), testbed.folder().join("moved.git")).unwrap();
    let said = refused(testbed.reconciler_command("sync").arg("--once"));
    assert!(said.contains(testbed.repository.path().to_str().unwrap()), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let testbed = Testbed::prepare(Runtime::Process);
    testbed.repository.push("users and nodes");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(testbed.reconciler_command("serve").args(["--listen", &address]));
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn a_database_that_is_not_one_is_named() {
    let testbed = Testbed::prepare(Runtime::Process);
    testbed.repository.push("users and nodes");
    let path = testbed.folder().join("almanac.db");
    fs::write(&path, "this is not a database, and it is longer than a header").unwrap();
    let said = refused(testbed.reconciler_command("sync").arg("--once"));
    assert!(said.contains("almanac.db"), "{said}");
}

#[test]
#[ignore = "needs docker"]
fn an_image_that_does_not_exist_fails_the_run() {
    let mut testbed = Testbed::start(Runtime::Docker);
    testbed.start_agent("london-01");
    let job = Job::once("missing", "london-01", soon(3), "10s", "true").image("localhost:1/almanac/nosuch:1");
    testbed.repository.write("jobs/missing.yaml", job.yaml());
    testbed.push("missing");
    let run = testbed.wait_run("missing", "FAILED");
    assert_eq!(run["reason"], "image_pull");
    assert!(run["message"].as_str().unwrap().contains("localhost:1/almanac/nosuch:1"), "{run}");
}

#[test]
fn an_engine_that_does_not_run_is_named() {
    let testbed = Testbed::start(Runtime::Process);
    let mut command = testbed.agent_command("london-01");
    command.args(["--runtime", "docker"]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let said = refused(&mut command);
    assert!(said.contains("/nonexistent/docker.sock"), "{said}");
    assert!(said.contains("--runtime process"), "{said}");
}

/// The agent's disk fills up while the artifacts are packed.
#[test]
#[ignore = "needs docker"]
fn a_full_disk_fails_the_run_and_nothing_else() {
    let mut testbed = Testbed::start(Runtime::Process);
    let state = testbed.state_dir("london-01");
    fs::create_dir(&state).unwrap();
    // Root is what an engine needs anyway.
    let mounted = Mount::tmpfs(&state, "24m");
    testbed.start_agent("london-01");
    let script = "head -c 14000000 /dev/urandom > $ALMANAC_ARTIFACTS/noise.bin";
    testbed
        .repository
        .write("jobs/large.yaml", Job::once("large", "london-01", soon(3), "20s", script).yaml());
    testbed.push("large");
    let run = testbed.wait_run("large", "FAILED");
    assert_eq!(run["reason"], "artifacts");
    assert!(run["message"].as_str().unwrap().to_lowercase().contains("no space"), "{run}");

    let script = "echo small > $ALMANAC_ARTIFACTS/data.txt";
    testbed
        .repository
        .write("jobs/small.yaml", Job::once("small", "london-01", soon(3), "20s", script).yaml());
    testbed.push("small");
    testbed.wait_run("small", "COMPLETED");
    testbed.take_agent("london-01").kill();
    drop(mounted);
}

/// A file system that is unmounted when it goes out of scope.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(path: &std::path::Path, size: &str) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success(), "cannot mount a tmpfs: this test needs root");
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
