//! Nobody sees or does what is not theirs.

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

#[test]
fn two_agents_never_see_each_others_jobs() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    testbed.start_agent("paris-01");
    let at = soon(4);
    for (name, node) in [("secret-of-london", "london-01"), ("secret-of-paris", "paris-01")] {
        let script = "echo $ALMANAC_NODE > $ALMANAC_ARTIFACTS/node.txt";
        testbed
            .repository
            .write(&format!("jobs/{name}.yaml"), Job::once(name, node, at, "10s", script).yaml());
    }
    testbed.push("a job for each");
    for (name, node) in [("secret-of-london", "london-01"), ("secret-of-paris", "paris-01")] {
        assert_eq!(testbed.wait_run(name, "COMPLETED")["node"], node);
        assert_eq!(testbed.runs(name).len(), 1);
    }
    // Neither the log nor anything on an agent's disk knows of the other's job.
    for (node, foreign) in [("london-01", "secret-of-paris"), ("paris-01", "secret-of-london")] {
        testbed.take_agent(node).terminate();
        let folder = testbed.state_dir(node);
        let state = std::process::Command::new("grep")
            .args(["--recursive", "--binary-files=text", "--files-with-matches", foreign])
            .arg(&folder)
            .arg(testbed.folder().join(format!("{node}.log")))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&state.stdout), "", "{node} knows of {foreign}");
    }
}

#[test]
fn users_see_the_runs_of_their_own_jobs() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let script = "echo private > $ALMANAC_ARTIFACTS/data.txt";
    let job = Job::once("measure", "london-01", soon(3), "10s", script).owner("bob");
    testbed.repository.write("jobs/measure.yaml", job.yaml());
    testbed.push("measure");
    let run = testbed.wait_run("measure", "COMPLETED");
    let id = run["id"].as_str().unwrap();

    assert_eq!(testbed.json("bob", &["runs", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(testbed.json("carol", &["runs", "list"]).as_array().unwrap().len(), 0);
    for args in [["runs", "show", id], ["runs", "logs", id], ["runs", "download", id]] {
        let output = testbed.almanac("carol", &args);
        assert!(!output.status.success(), "carol may {args:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("private"));
    }
    let output = testbed.almanac("bob", &["sync", "now"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("admin"), "{message}");
}

#[test]
fn removing_a_key_from_the_repository_revokes_it() {
    let mut testbed = Testbed::start(Runtime::Process);
    assert_eq!(testbed.json("carol", &["whoami"])["name"], "carol");
    testbed.repository.write(
        "users/carol.yaml",
        "apiVersion: almanac/v1\nkind: User\nmetadata: { name: carol }\nspec: { role: user }\n",
    );
    testbed.push("carol lost her laptop");
    let output = testbed.almanac("carol", &["whoami"]);
    assert!(!output.status.success(), "a key that was removed still opens the door");
}
