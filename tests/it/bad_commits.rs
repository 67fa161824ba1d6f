//! A bad commit changes nothing, and says what is wrong and where.

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// Pushes what is in the clone, waits until it was rejected, and returns the sync.
fn rejected(testbed: &mut Testbed) -> serde_json::Value {
    let commit = testbed.repository.push("a bad commit");
    testbed.wait_for("the commit to be rejected", |testbed| {
        let sync = testbed.try_json("alice", &["sync", "show"])?;
        (sync["commit"] == commit && sync["outcome"] == "rejected").then_some(sync)
    })
}

fn finding<'a>(sync: &'a serde_json::Value, rule: &str) -> &'a serde_json::Value {
    let findings = sync["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["rule"] == rule)
        .unwrap_or_else(|| panic!("no {rule} in {findings:#?}"))
}

#[test]
fn a_bad_commit_changes_nothing_and_names_file_line_and_rule() {
    let mut testbed = Testbed::start(Runtime::Process);
    let good = Job::once("good", "london-01", soon(600), "10s", "true");
    testbed.repository.write("jobs/good.yaml", good.yaml());
    let commit = testbed.push("a good job");
    let before = testbed.json("alice", &["jobs", "list"]);

    testbed.repository.remove("jobs/good.yaml");
    let bad = Job::once("bad", "lundon-01", soon(600), "10s", "true").owner("nobody");
    testbed.repository.write("jobs/bad.yaml", bad.yaml());
    let sync = rejected(&mut testbed);
    let unknown = finding(&sync, "unknown-node");
    assert_eq!(unknown["file"], "jobs/bad.yaml");
    assert_eq!(unknown["line"], 6);
    assert!(unknown["help"].as_str().unwrap().contains("london-01"), "{unknown}");
    assert_eq!(finding(&sync, "unknown-user")["line"], 5);

    let shown = testbed.almanac("alice", &["sync", "show"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("jobs/bad.yaml:6") && shown.contains("unknown-node"), "{shown}");

    let status = testbed.json("alice", &["sync", "status"]);
    assert_eq!(status["appliedCommit"], commit);
    assert_eq!(testbed.json("alice", &["jobs", "list"]), before);
}

#[test]
fn exclusive_jobs_that_overlap_are_rejected() {
    let mut testbed = Testbed::start(Runtime::Process);
    let at = soon(600);
    for name in ["one", "two"] {
        let job = Job::once(name, "london-01", at, "10s", "true")
            .yaml()
            .replace("exclusive: false", "exclusive: true");
        testbed.repository.write(&format!("jobs/{name}.yaml"), job);
    }
    let sync = rejected(&mut testbed);
    let conflict = finding(&sync, "schedule-conflict");
    let message = conflict["message"].as_str().unwrap();
    assert!(message.contains("one") && message.contains("two"), "{message}");
}

#[test]
fn files_that_are_no_manifests_are_findings() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.repository.write("large.yaml", vec![b'#'; 2 << 20]);
    testbed.repository.write("binary.yaml", b"kind: \xff\xfe\n");
    std::os::unix::fs::symlink("/etc/passwd", testbed.repository.clone_path().join("link.yaml")).unwrap();
    let sync = rejected(&mut testbed);
    let files: Vec<_> = sync["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["binary.yaml", "large.yaml", "link.yaml"]);
}
