//! Admins say which commit counts, and everybody sees who said so, why, and what became of it.

use std::process::Output;

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// What a command printed on both streams, and how it ended.
fn said(output: &Output) -> (String, Option<i32>) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (text.concat(), output.status.code())
}

fn write_job(testbed: &Testbed, name: &str, node: &str) {
    let job = Job::once(name, node, soon(3_600), "10s", "true");
    testbed.repository.write(&format!("jobs/{name}.yaml"), job.yaml());
}

/// The generation that a node should hold.
fn generation(testbed: &Testbed, node: &str) -> u64 {
    testbed.json("alice", &["nodes", "show", node])["generation"].as_u64().unwrap()
}

fn holds_current(testbed: &mut Testbed, node: &str) {
    testbed.wait_for(&format!("{node} to hold what is in force"), |testbed| {
        testbed.holds_current(node).then_some(())
    });
}

#[test]
fn a_suspension_survives_sigkill_and_reaches_no_agent() {
    let mut testbed = Testbed::start(Runtime::Process);
    testbed.start_agent("london-01");
    let before = testbed.json("alice", &["sync", "status"])["appliedCommit"].clone();
    let generation_before = generation(&testbed, "london-01");

    let (text, code) = said(&testbed.almanac("bob", &["sync", "suspend", "--reason", "mine"]));
    assert_eq!((text.as_str(), code), ("error: user `bob` may not suspend the syncs; admins may\n", Some(3)));
    let suspend = ["sync", "suspend", "--reason", "the dish is being moved", "--for", "2h"];
    let hold = testbed.json("alice", &suspend);
    assert_eq!(hold["actor"], "alice");

    write_job(&testbed, "ping", "london-01");
    let commit = testbed.repository.push("a job");
    testbed.take_reconciler().kill();
    testbed.start_reconciler();
    let (text, code) = said(&testbed.almanac("alice", &["sync", "now"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("suspended by alice until 20"), "{text}");
    assert!(text.contains("help: `almanac sync resume`"), "{text}");
    let status = testbed.json("bob", &["sync", "status"]);
    assert_eq!((&status["suspended"], &status["appliedCommit"]), (&hold, &before));
    assert_eq!(generation(&testbed, "london-01"), generation_before);

    let sync = testbed.json("alice", &["sync", "resume"]);
    assert_eq!((&sync["commit"], &sync["outcome"]), (&commit.clone().into(), &"applied".into()));
    assert_eq!(generation(&testbed, "london-01"), generation_before + 1);
    holds_current(&mut testbed, "london-01");
    let actions = testbed.json("bob", &["sync", "actions"]);
    let deeds: Vec<_> = actions.as_array().unwrap().iter().map(|action| &action["action"]).collect();
    assert_eq!(deeds, ["resume", "suspend"]);
    let (text, code) = said(&testbed.almanac("alice", &["sync", "resume"]));
    assert_eq!((text.as_str(), code), ("error: the syncs are not suspended\n", Some(1)));
}

#[test]
fn a_large_removal_waits_and_a_pin_brings_it_back() {
    let mut testbed = Testbed::start(Runtime::Process);
    for number in 1..=20 {
        write_job(&testbed, &format!("job-{number}"), "london-01");
    }
    let whole = testbed.push("twenty jobs");
    testbed.start_agent("london-01");
    let current = generation(&testbed, "london-01");
    for number in 1..=11 {
        testbed.repository.remove(&format!("jobs/job-{number}.yaml"));
    }
    let commit = testbed.repository.push("tidy up");
    let (text, code) = said(&testbed.almanac("alice", &["sync", "now"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it removes 11 of 20 jobs"), "{text}");
    assert_eq!(generation(&testbed, "london-01"), current);

    let (text, code) = said(&testbed.almanac("alice", &["sync", "approve", &whole]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("the commit that waits is {commit}")), "{text}");
    let sync = testbed.json("alice", &["sync", "approve", &commit[..10]]);
    assert_eq!((&sync["outcome"], &sync["approvedBy"]), (&"applied".into(), &"alice".into()));
    holds_current(&mut testbed, "london-01");

    let pinned = testbed.json("alice", &["sync", "pin", &whole[..7], "--reason", "compare"]);
    assert_eq!((&pinned["pinned"]["commit"], &pinned["sync"]["outcome"]), (&whole.into(), &"applied".into()));
    assert_eq!(testbed.json("bob", &["jobs", "list"]).as_array().unwrap().len(), 20);
    holds_current(&mut testbed, "london-01");
    // What was approved was that removal; this one waits again.
    let (text, code) = said(&testbed.almanac("alice", &["sync", "unpin"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("waits for an approval"), "{text}");
    let sync = testbed.json("alice", &["sync", "approve"]);
    assert_eq!(sync["commit"], commit);
    assert_eq!(testbed.json("bob", &["jobs", "list"]).as_array().unwrap().len(), 9);

    let history = testbed.json("bob", &["jobs", "history", "job-1"]);
    let history = history.as_array().unwrap();
    let actions: Vec<_> = history.iter().map(|entry| &entry["change"]["action"]).collect();
    assert_eq!(actions, ["removed", "added", "removed", "added"]);
    assert_eq!(history[0]["sync"]["author"], "Alice Example <alice@example.org>");
    assert_eq!(history[1]["sync"]["message"], "11 added, 0 changed, 0 removed; pinned by alice: compare");
}

#[test]
fn a_node_that_does_not_hold_what_is_in_force_is_named() {
    let mut testbed = Testbed::start(Runtime::Process);
    for node in ["london-01", "paris-01"] {
        testbed.start_agent(node);
    }
    let status = testbed.json("bob", &["sync", "status"]);
    assert_eq!((&status["nodesCurrent"], &status["lagging"]), (&2.into(), &serde_json::json!([])));
    assert_eq!(testbed.json("bob", &["nodes", "show", "paris-01"])["conditions"][0]["reason"], "AsDeclared");

    testbed.take_agent("paris-01").kill();
    write_job(&testbed, "ping", "paris-01");
    let commit = testbed.push("a job for a node that is gone");
    let status = testbed.json("bob", &["sync", "status"]);
    assert_eq!((&status["appliedCommit"], &status["nodesCurrent"]), (&commit.into(), &1.into()));
    assert_eq!(status["lagging"][0]["name"], "paris-01");
    // First it may only be slow; then it is silent.
    testbed.wait_for("the silence of paris-01 to be told", |testbed| {
        let lagging = testbed.json("bob", &["sync", "status"])["lagging"].clone();
        (lagging[0]["reason"] == "Silent").then_some(())
    });
    let (text, _) = said(&testbed.almanac("bob", &["sync", "status"]));
    assert!(text.contains("1 of 2 hold what is in force") && text.contains("paris-01  Silent"), "{text}");
    let job = testbed.json("bob", &["jobs", "show", "ping"]);
    assert_eq!(job["conditions"][0]["reason"], "NodesNotReady");

    testbed.start_agent("paris-01");
    let status = testbed.json("bob", &["sync", "status"]);
    assert_eq!((&status["nodesCurrent"], &status["lagging"]), (&2.into(), &serde_json::json!([])));
    assert_eq!(testbed.json("bob", &["jobs", "show", "ping"])["conditions"][0]["reason"], "AsDeclared");
}

#[test]
fn a_run_is_cancelled_and_a_node_is_drained_from_the_command_line() {
    let mut testbed = Testbed::start(Runtime::Process);
    let long = |name: &str| Job::once(name, "london-01", soon(3), "10m", "sleep 600");
    for name in ["one", "two"] {
        testbed.repository.write(&format!("jobs/{name}.yaml"), long(name).yaml());
    }
    testbed.push("two long jobs");
    testbed.start_agent("london-01");
    let run = testbed.wait_run("one", "RUNNING")["id"].as_str().unwrap().to_owned();
    testbed.wait_run("two", "RUNNING");

    let (text, code) = said(&testbed.almanac("bob", &["nodes", "drain", "london-01", "--reason", "mine"]));
    let refusal = "error: user `bob` may not say whether runs start on `london-01`; the owner of the node and admins may\n";
    assert_eq!((text.as_str(), code), (refusal, Some(3)));
    let cancelled = testbed.json("alice", &["runs", "cancel", &run, "--reason", "wrong host"]);
    assert_eq!((&cancelled["phase"], &cancelled["reason"]), (&"ABORTED".into(), &"cancelled".into()));
    assert_eq!(cancelled["message"], "alice cancelled it: wrong host");
    let (text, code) = said(&testbed.almanac("alice", &["runs", "cancel", &run]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("has ended: ABORTED"), "{text}");

    let node = testbed.json("alice", &["nodes", "drain", "london-01", "--reason", "new kernel"]);
    assert_eq!(node["cordon"]["actor"], "alice");
    let drained = testbed.wait_run("two", "ABORTED");
    assert_eq!(
        (&drained["reason"], &drained["message"]),
        (&"cordoned".into(), &"alice drained the node: new kernel".into())
    );
    let (text, _) = said(&testbed.almanac("alice", &["nodes", "show", "london-01"]));
    assert!(text.contains("online, drained"), "{text}");
    let node = testbed.json("alice", &["nodes", "uncordon", "london-01"]);
    assert!(node["cordon"].is_null(), "{node}");
}
