//! What a container finds, and what it may not.

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

#[test]
#[ignore = "needs docker"]
fn a_container_finds_its_run_and_has_no_more_rights_than_it_needs() {
    let mut testbed = Testbed::start(Runtime::Docker);
    testbed.start_agent("london-01");
    let at = soon(4);
    let script = "env; cat /almanac/config.yaml /almanac/run.json; cat /proc/self/status; \
                  echo x > /almanac/config.yaml || echo read-only";
    let job = Job::once("look", "london-01", at, "20s", script).yaml() + "  config: { greeting: hello }\n";
    testbed.repository.write("jobs/look.yaml", job);
    testbed.push("look");
    let run = testbed.wait_run("look", "COMPLETED");
    let id = run["id"].as_str().unwrap();
    let log = String::from_utf8(testbed.almanac("bob", &["runs", "logs", id]).stdout).unwrap();
    let scheduled = almanac_tests::manifest::instant(at);
    for line in [
        "ALMANAC_JOB=look",
        "ALMANAC_NODE=london-01",
        &format!("ALMANAC_RUN={id}"),
        "ALMANAC_ROLE=client",
        &format!("ALMANAC_SCHEDULED_AT={scheduled}"),
        "ALMANAC_LENGTH=20",
        "greeting: hello",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "read-only",
    ] {
        assert!(log.lines().any(|found| found.trim_end() == line), "no `{line}` in:\n{log}");
    }
}

#[test]
#[ignore = "needs docker"]
fn a_container_is_stopped_at_the_end_of_its_length() {
    let mut testbed = Testbed::start(Runtime::Docker);
    testbed.start_agent("london-01");
    let script = "trap 'echo asked to stop; exit 0' TERM; echo begin; while true; do sleep 0.1; done";
    testbed
        .repository
        .write("jobs/overdue.yaml", Job::once("overdue", "london-01", soon(4), "3s", script).yaml());
    testbed.push("overdue");
    let run = testbed.wait_run("overdue", "COMPLETED");
    assert_eq!(run["reason"], "length_reached");
    let log = testbed.almanac("bob", &["runs", "logs", run["id"].as_str().unwrap()]);
    assert_eq!(String::from_utf8(log.stdout).unwrap(), "begin\nasked to stop\n");
}
