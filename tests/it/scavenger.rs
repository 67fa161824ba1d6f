//! A node's owner wants its link: what is exclusive makes room, and what was to run once runs later.

use std::{path::Path, process::Command};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{self, Job, instant, soon},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// Goes on until it is told to stop, and says so.
const GOES_ON: &str = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.05; done";

/// A testbed whose one-shot runs move to 10 s later at the earliest.
fn testbed() -> Testbed {
    testbed_of(Runtime::Process)
}

pub(crate) fn testbed_of(runtime: Runtime) -> Testbed {
    let mut testbed = Testbed::start(runtime);
    testbed.repository.write("config.yaml", manifest::config() + "  scavenger: { delay: 10s }\n");
    testbed.push("runs are moved to soon");
    testbed
}

pub(crate) fn write(testbed: &Testbed, name: &str, job: &Job) {
    let yaml = job.yaml().replace("exclusive: false", "exclusive: true");
    testbed.repository.write(&format!("jobs/{name}.yaml"), yaml);
}

pub(crate) fn scavenge(testbed: &Testbed, node: &str, how: &[&str]) -> Value {
    testbed.json("alice", &[&["nodes", "scavenge", node], how].concat())
}

/// Says it on the host itself.
fn on_host(testbed: &Testbed, node: &str, how: &[&str]) {
    let mut command = Command::new(testbed.agent_command(node).get_program());
    command.arg("scavenge").args(how).arg("--state-dir").arg(testbed.state_dir(node));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

pub(crate) fn at(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("{value} is no instant")).parse().unwrap()
}

/// Waits for the run of a job at an instant to be in a phase.
fn wait_at(testbed: &mut Testbed, job: &str, start: DateTime<Utc>, phase: &str) -> Value {
    testbed.wait_for(&format!("{job} at {start} in {phase}"), |testbed| {
        testbed.runs(job).into_iter().find(|run| at(&run["scheduledAt"]) == start && run["phase"] == phase)
    })
}

fn end(run: &Value) -> (&str, &str) {
    (run["phase"].as_str().unwrap(), run["reason"].as_str().unwrap())
}

fn log(testbed: &Testbed, run: &Value) -> String {
    let output = testbed.almanac("alice", &["runs", "logs", run["id"].as_str().unwrap()]);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the command of a run has begun.
pub(crate) fn wait_up(testbed: &mut Testbed, run: &Value) {
    testbed.wait_for("its command", |testbed| log(testbed, run).contains("up").then_some(()));
}

#[test]
fn a_one_shot_run_moves_and_its_new_time_is_nobody_elses() {
    let mut testbed = testbed();
    testbed.start_agent("london-01");
    testbed.start_agent("paris-01");
    let start = soon(4);
    // On both nodes: only one of them is wanted.
    let once = Job::once("once", "london-01, paris-01", start, "15s", GOES_ON);
    write(&testbed, "once", &once);
    let shared = Job::once("shared", "london-01", start, "1h", GOES_ON);
    testbed.repository.write("jobs/shared.yaml", shared.yaml());
    testbed.push("what runs");
    for node in ["london-01", "paris-01"] {
        let run = testbed.wait_for("the run", |testbed| {
            testbed.runs("once").into_iter().find(|run| run["node"] == node && run["phase"] == "RUNNING")
        });
        wait_up(&mut testbed, &run);
    }
    let shared = testbed.wait_run("shared", "RUNNING");

    let node = scavenge(&testbed, "london-01", &["on", "--reason", "a call"]);
    assert_eq!(
        (&node["scavenging"]["actor"], &node["scavenging"]["reason"]),
        (&"alice".into(), &"a call".into())
    );
    let asked = Utc::now();
    let moved = testbed.wait_run("once", "RESCHEDULED");
    assert_eq!((end(&moved), &moved["node"]), (("RESCHEDULED", "scavenger"), &"london-01".into()));
    assert!(log(&testbed, &moved).ends_with("stopped\n"), "it was told first");
    let to = at(&moved["movedTo"]);
    assert!(to >= asked + TimeDelta::seconds(9) && to < asked + TimeDelta::seconds(30), "{to} after {asked}");
    let message = moved["message"].as_str().unwrap();
    let expected = format!("alice wants the node's link: a call; moved to {}", instant(to));
    assert_eq!(message, expected);
    let paris = testbed.runs("once").into_iter().find(|run| run["node"] == "paris-01").unwrap();
    assert_ne!(paris["phase"], "RESCHEDULED", "its own node is not wanted");
    assert_eq!(testbed.runs("shared")[0]["id"], shared["id"]);
    assert_eq!(testbed.runs("shared")[0]["phase"], "RUNNING", "it shares the node");

    let shown = String::from_utf8(testbed.almanac("bob", &["nodes", "list"]).stdout).unwrap();
    assert!(shown.contains("online, scavenger"), "{shown}");
    let schedule = testbed.json("bob", &["schedule", "--node", "london-01", "--to", "+1h"]);
    let there = schedule.as_array().unwrap().iter().find(|entry| entry["job"] == "once").unwrap();
    assert_eq!((at(&there["start"]), at(&there["movedFrom"])), (to, start));

    // A commit that would take the time is told so, and is as good as any once the time is free.
    let before = testbed.json("alice", &["sync", "status"])["appliedCommit"].clone();
    write(&testbed, "greedy", &Job::once("greedy", "london-01", to + TimeDelta::seconds(5), "10s", "true"));
    let greedy = testbed.repository.push("it wants that time");
    let said = testbed.wait_for("the refusal", |testbed| {
        let sync = testbed.json("alice", &["sync", "list"])[0].clone();
        (sync["commit"] == greedy.as_str() && sync["outcome"] == "rejected").then_some(sync)
    });
    let shown = testbed.almanac("alice", &["sync", "show", &said["id"].to_string()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let expected = format!("the run of `once` has that was moved from {} to {}", instant(start), instant(to));
    assert!(shown.contains("schedule-conflict") && shown.contains(&expected), "{shown}");
    assert_eq!(testbed.json("alice", &["sync", "status"])["appliedCommit"], before);

    scavenge(&testbed, "london-01", &["off"]);
    let ended = wait_at(&mut testbed, "once", to, "COMPLETED");
    assert_eq!((end(&ended), &ended["node"]), (("COMPLETED", "length_reached"), &"london-01".into()));
    // Its time is over, so that the commit is in nobody's way any more.
    testbed.wait_applied(&greedy);
}

#[test]
fn recurring_runs_end_and_come_again_when_it_is_over_by_itself() {
    let mut testbed = testbed();
    testbed.start_agent("london-01");
    write(&testbed, "often", &Job::recurring("often", "london-01", "*/3 * * * * *", "2s", GOES_ON));
    testbed.push("what recurs");
    let run = testbed.wait_run("often", "RUNNING");
    wait_up(&mut testbed, &run);
    // It may be over before it is told, so that another one is.
    let node = scavenge(&testbed, "london-01", &["on", "--for", "10s"]);
    let until = at(&node["scavenging"]["until"]);
    let skipped = testbed.wait_run("often", "SKIPPED");
    assert_eq!(
        (end(&skipped), &skipped["message"]),
        (("SKIPPED", "scavenger"), &"alice wants the node's link".into())
    );
    let ready = testbed.json("bob", &["nodes", "show", "london-01"]);
    let ready =
        ready["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap().clone();
    assert_eq!((&ready["status"], &ready["reason"]), (&false.into(), &"Scavenging".into()));
    let again = testbed.wait_for("a run after it", |testbed| {
        testbed
            .runs("often")
            .into_iter()
            .find(|run| at(&run["scheduledAt"]) >= until && run["phase"] == "RUNNING")
    });
    assert!(at(&again["startedAt"]) >= until);
    assert!(testbed.json("bob", &["nodes", "show", "london-01"])["scavenging"].is_null());
    let started = |run: &Value| !run["startedAt"].is_null();
    let during = testbed.runs("often").into_iter().filter(|run| {
        at(&run["scheduledAt"]) > at(&node["scavenging"]["since"]) && at(&run["scheduledAt"]) < until
    });
    assert!(!during.into_iter().any(|run| started(&run)), "none starts while the link is wanted");
}

#[test]
fn the_owner_takes_the_link_on_the_host_while_nobody_can_be_reached() {
    let mut testbed = testbed();
    testbed.start_agent("london-01");
    let start = soon(4);
    write(&testbed, "once", &Job::once("once", "london-01", start, "10s", GOES_ON));
    testbed.push("what runs");
    let run = testbed.wait_run("once", "RUNNING");
    wait_up(&mut testbed, &run);
    testbed.take_reconciler().kill();
    on_host(&testbed, "london-01", &["on", "--reason", "visitors"]);
    let outbox = testbed.state_dir("london-01");
    testbed.wait_for("the end of its process", |_| (!goes_on(&outbox)).then_some(()));
    // An agent that is started anew knows it still.
    testbed.take_agent("london-01").kill();
    testbed.start_reconciler();
    testbed.start_agent("london-01");
    let moved = testbed.wait_run("once", "RESCHEDULED");
    let to = at(&moved["movedTo"]);
    assert!(to > at(&moved["endedAt"]), "from when it was reported on");
    let seen = testbed.wait_for("what the host says", |testbed| {
        let node = testbed.json("bob", &["nodes", "show", "london-01"]);
        (!node["scavenging"].is_null()).then(|| node["scavenging"].clone())
    });
    assert_eq!((&seen["actor"], &seen["reason"]), (&"the host's owner".into(), &"visitors".into()));
    // While the link is wanted for longer, it moves again.
    let again = wait_at(&mut testbed, "once", to, "RESCHEDULED");
    assert!(again["startedAt"].is_null());
    assert!(at(&again["movedTo"]) > to);
    on_host(&testbed, "london-01", &["off"]);
    // Then nobody has to be reached for it to start.
    let to = at(&again["movedTo"]);
    testbed.take_reconciler().kill();
    testbed.wait_for("its process", |_| goes_on(&outbox).then_some(()));
    assert!(Utc::now() >= to);
    testbed.start_reconciler();
    let ended = wait_at(&mut testbed, "once", to, "COMPLETED");
    assert_eq!(end(&ended), ("COMPLETED", "length_reached"));
}

/// Whether a command of a run is there: its folder is its working directory.
fn goes_on(state: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
        .any(|folder| folder.starts_with(state.join("runs")))
}

#[test]
fn without_a_free_time_it_is_aborted_and_says_so() {
    let mut testbed = testbed();
    testbed.start_agent("london-01");
    let start = soon(4);
    let end_at = start + TimeDelta::seconds(5);
    let job = Job::once("once", "london-01", start, "1h", GOES_ON).yaml();
    let job = job.replace("exclusive: false", "exclusive: true");
    let job = job.replace("length: 1h", &format!("length: 1h, end: {}", instant(end_at)));
    testbed.repository.write("jobs/once.yaml", job);
    testbed.push("what runs");
    let run = testbed.wait_run("once", "RUNNING");
    wait_up(&mut testbed, &run);
    scavenge(&testbed, "london-01", &["on"]);
    let ended = testbed.wait_run("once", "ABORTED");
    assert_eq!(end(&ended), ("ABORTED", "no_slot"));
    assert!(ended["movedTo"].is_null());
    assert!(ended["message"].as_str().unwrap().contains("it is too late for that"), "{ended}");
    assert_eq!(testbed.runs("once").len(), 1);
}

#[test]
fn nobody_else_takes_a_link() {
    let testbed = testbed();
    for how in ["on", "off"] {
        let refused = testbed.almanac("bob", &["nodes", "scavenge", "london-01", how]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(
            said,
            "error: user `bob` may not say whether `london-01` is in scavenger mode; the owner of the node and admins may\n"
        );
    }
}

/// Says when it was told to stop, in seconds since the host was booted (`proc_uptime(5)`: to a hundredth).
pub(crate) const SAYS_WHEN: &str =
    "trap 'read told rest < /proc/uptime; echo $told; exit' TERM; echo up; while :; do sleep 0.02; done";

pub(crate) fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// From the start of the command to SIGTERM.
#[test]
fn an_exclusive_run_is_told_within_two_seconds() {
    let mut testbed = testbed();
    testbed.start_agent("london-01");
    write(&testbed, "often", &Job::recurring("often", "london-01", "*/4 * * * * *", "3s", SAYS_WHEN));
    testbed.push("what recurs");
    let mut took = Vec::new();
    while took.len() < 10 {
        let run = testbed.wait_run("often", "RUNNING");
        wait_up(&mut testbed, &run);
        let before = uptime(&std::fs::read_to_string("/proc/uptime").unwrap());
        scavenge(&testbed, "london-01", &["on"]);
        let id = run["id"].clone();
        let ended = testbed.wait_for("its end", |testbed| {
            testbed.runs("often").into_iter().find(|run| run["id"] == id && !run["reason"].is_null())
        });
        scavenge(&testbed, "london-01", &["off"]);
        // It may have reached its length just before.
        if end(&ended) == ("ABORTED", "scavenger") {
            let told = uptime(log(&testbed, &ended).lines().nth(1).unwrap());
            took.push(told - before);
        }
    }
    took.sort_by(f64::total_cmp);
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("SIGTERM after p50 {median:.2} s, at most {longest:.2} s, of {} runs", took.len());
    assert!(longest < 2.0, "{took:?}");
}
