//! What the owner of a host does and sees.

use std::{fs, process::Command};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};
use serde_json::Value;

/// Runs a subcommand of a node's agent with the options of its `run`.
fn host(testbed: &Testbed, node: &str, subcommand: &str) -> (Option<i32>, Value) {
    let run = testbed.agent_command(node);
    let mut command = Command::new(run.get_program());
    command.args([subcommand, "--output", "json", "--runtime", "process"]).args(run.get_args().skip(1));
    let done = command.output().unwrap();
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}")))
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_node_of_a_testbed_and_says_when_its_key_is_gone() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let (code, findings) = host(&testbed, "london-01", "doctor");
    assert_eq!(code, Some(0), "{findings:#}");
    let of = |findings: &Value, check: &str| {
        let mut all = findings.as_array().unwrap().iter();
        all.find(|finding| finding["check"] == check)
            .cloned()
            .unwrap_or_else(|| panic!("{check}: {findings:#}"))
    };
    for check in ["configuration", "key", "state folder", "disk", "reconciler", "clock", "agent"] {
        assert_eq!(of(&findings, check)["health"], "good", "{findings:#}");
    }
    assert!(of(&findings, "reconciler")["found"].as_str().unwrap().contains("node `london-01`"));

    let manifest =
        "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: london-01 }\nspec: { owner: alice }\n";
    testbed.repository.write("nodes/london-01.yaml", manifest);
    testbed.push("the host was stolen");
    let (code, findings) = host(&testbed, "london-01", "doctor");
    assert_eq!(code, Some(1), "{findings:#}");
    let reconciler = of(&findings, "reconciler");
    assert_eq!(reconciler["health"], "bad");
    assert!(reconciler["remedy"].as_str().unwrap().contains("`keys`"), "{reconciler}");
}

#[test]
fn what_the_owner_of_the_host_forbids_is_recorded_for_everybody() {
    let mut testbed = Testbed::start(Runtime::Process);
    let file = testbed.folder().join("node.toml");
    fs::write(&file, "[policy]\nregistries = [\"registry.example.org\"]\n").unwrap();
    testbed.start_agent_with("london-01", &["--config", file.to_str().unwrap()]);
    testbed.repository.write("jobs/busy.yaml", Job::once("busy", "london-01", soon(3), "10s", "true").yaml());
    testbed.push("a job");
    let run = testbed.wait_run("busy", "SKIPPED");
    assert_eq!(run["reason"], "forbidden_by_host");
    let shown = testbed.almanac("alice", &["runs", "show", run["id"].as_str().unwrap()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("the host does not allow images from"), "{shown}");
}

/// The condition `Ready` of a node or a job, as a user sees it: its reason and its message.
fn ready(testbed: &Testbed, what: &str, name: &str) -> (String, String) {
    let shown = testbed.json("bob", &[what, "show", name]);
    let conditions = shown["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

#[test]
fn what_a_host_will_not_run_is_seen_by_everybody_before_it_is_due() {
    let mut testbed = Testbed::start(Runtime::Process);
    let file = testbed.folder().join("node.toml");
    fs::write(&file, "[policy]\nregistries = [\"registry.example.org\"]\n").unwrap();
    testbed.start_agent_with("london-01", &["--config", file.to_str().unwrap()]);
    let job = Job::once("later", "london-01", soon(3_600), "10s", "true");
    testbed.repository.write("jobs/later.yaml", job.yaml());
    testbed.push("a job");
    let message = testbed.wait_for("the word of the host", |testbed| {
        let (reason, message) = ready(testbed, "jobs", "later");
        (reason == "Hindered").then_some(message)
    });
    assert!(message.starts_with("it will not run on `london-01` at 20"), "{message}");
    assert!(message.contains("the host does not allow images from"), "{message}");

    let mut cordon = Command::new(testbed.agent_command("london-01").get_program());
    cordon.args(["cordon", "--reason", "visitors", "--state-dir"]).arg(testbed.state_dir("london-01"));
    assert!(cordon.status().unwrap().success());
    let message = testbed.wait_for("the word of the owner", |testbed| {
        let (reason, message) = ready(testbed, "nodes", "london-01");
        (reason == "Cordoned").then_some(message)
    });
    assert_eq!(message, "the host's owner cordoned the node: visitors");
    assert_eq!(testbed.json("bob", &["nodes", "show", "london-01"])["cordon"]["reason"], "visitors");
}
