//! Occurrences that are not to run: each is recorded, with why.

use serde_json::json;

use almanac_proto::v1;
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

#[test]
fn a_cordoned_node_skips_its_runs() {
    let mut world = World::new();
    let ran = world.path("ran");
    world.desired.node["cordoned"] = json!(true);
    world.declare([Job::every_second("tick").sh(&format!("echo >> {}", ran.display()))]);
    world.start();
    let runs = world.wait_ended("tick", 3);
    for run in &runs {
        assert_eq!(run.end(), Some((Phase::Skipped, Reason::Cordoned)));
        assert_eq!(run.phases(), [Phase::Skipped]);
        assert!(run.last().message.contains("cordoned"));
    }
    assert!(world.lines("ran").is_empty());

    world.desired.node["cordoned"] = json!(false);
    world.declare_again();
    world.wait_told("a run", |record| {
        record
            .runs("tick")
            .iter()
            .any(|run| run.end() == Some((Phase::Completed, Reason::ExitCode)))
            .then_some(())
    });
}

#[test]
fn cordoning_leaves_what_runs_alone() {
    let mut world = World::new();
    world.declare([Job::soon("long").sh("echo one; sleep 1; echo two")]);
    world.start();
    world.wait_phase("long", Phase::Running);
    world.desired.node["cordoned"] = json!(true);
    world.declare_again();
    world.wait_followed();
    let run = world.wait_end("long");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert_eq!(world.log(&run), "one\ntwo\n");
}

#[test]
fn a_job_that_needs_what_this_agent_cannot_do_never_runs_without_it() {
    let mut world = World::new();
    let ran = world.path("ran");
    let job = |name: &str| Job::soon(name).sh(&format!("echo {name} >> {}", ran.display()));
    world.declare([
        job("trigger").spec("trigger", json!({"when": "a_newer.provider > 1"})),
        job("peer")
            .spec("server", json!({"node": "paris-01", "container": {"image": "x"}}))
            .role(v1::Role::Server),
        job("plain"),
    ]);
    world.start();
    let run = world.wait_end("trigger");
    assert_eq!(run.end(), Some((Phase::Skipped, Reason::Unsupported)));
    assert!(run.last().message.contains("trigger"), "{}", run.last().message);
    world.wait_end("plain");
    assert_eq!(world.lines("ran"), ["plain"]);
    assert!(world.reconciler.record().runs("peer").is_empty(), "a server has no schedule of its own");
}

#[test]
fn a_job_that_cannot_be_read_does_not_hold_up_the_others() {
    let mut world = World::new();
    world.declare([Job::soon("newer").spec("invented", json!(true)), Job::soon("known")]);
    world.start();
    world.wait_end("known");
    let log = world.agent.as_ref().unwrap().log();
    assert!(log.contains("newer") && log.contains("invented"), "{log}");
}
