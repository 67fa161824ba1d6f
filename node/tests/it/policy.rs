//! The last word of the host's owner.

use std::fs;

use chrono::{TimeDelta, Utc};
use serde_json::json;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World, docker, output};

const FORBIDDEN: Option<(Phase, Reason)> = Some((Phase::Skipped, Reason::ForbiddenByHost));
const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// A world whose agents have a policy.
fn with_policy(world: World, policy: &str) -> World {
    let file = world.path("agent.toml");
    fs::write(&file, format!("[policy]\n{policy}\n")).unwrap();
    world.option("--config", file.to_str().unwrap())
}

#[test]
fn a_run_that_the_host_forbids_is_skipped_and_says_why_and_the_others_run() {
    let mut world = with_policy(
        World::new(),
        "registries = [\"docker.io/almanac-node-test\"]\ncapabilities = [\"NET_RAW\"]",
    );
    world.declare([
        Job::soon("elsewhere").container("image", json!("registry.example.org/x/y:1")),
        Job::soon("admin").container("capabilities", json!(["NET_RAW", "NET_ADMIN"])),
        Job::soon("raw").container("capabilities", json!(["NET_RAW"])),
    ]);
    world.start();
    let elsewhere = world.wait_end("elsewhere");
    assert_eq!((elsewhere.end(), elsewhere.phases().len()), (FORBIDDEN, 1));
    assert!(elsewhere.last().message.contains("`registry.example.org/x/y`"), "{:?}", elsewhere.last());
    let admin = world.wait_end("admin");
    assert_eq!(admin.end(), FORBIDDEN);
    assert!(admin.last().message.contains("`NET_ADMIN`"), "{:?}", admin.last());
    assert_eq!(world.wait_end("raw").end(), DONE);
}

#[test]
fn nothing_runs_in_quiet_hours() {
    // From a minute ago until an hour from now, in words of a clock.
    let clock = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let hours = format!("quiet-hours = [{{ daily = \"{}-{}\" }}]", clock(-1), clock(60));
    let mut world = with_policy(World::new(), &hours);
    world.declare([Job::soon("loud")]);
    world.start();
    let run = world.wait_end("loud");
    assert_eq!(run.end(), FORBIDDEN);
    assert!(run.last().message.contains("quiet"), "{:?}", run.last());
}

#[test]
fn the_network_of_the_host_takes_the_manifest_and_the_host() {
    let mut world = World::new();
    let job = |name: &str| Job::soon(name).container("network", json!("host"));
    world.declare([job("undeclared")]);
    world.start();
    let run = world.wait_end("undeclared");
    assert_eq!(run.end(), FORBIDDEN);
    assert!(run.last().message.contains("hostNetwork"), "{:?}", run.last());
    world.desired.node["hostNetwork"] = json!(true);
    world.declare([job("declared")]);
    assert_eq!(world.wait_end("declared").end(), DONE);

    let mut world = with_policy(World::new(), "host-network = false");
    world.desired.node["hostNetwork"] = json!(true);
    world.declare([job("forbidden")]);
    world.start();
    assert_eq!(world.wait_end("forbidden").end(), FORBIDDEN);
}

#[test]
#[ignore = "needs docker"]
fn the_host_narrows_what_a_container_may_take() {
    let mut world = with_policy(World::with_docker(), "cpus = 0.5\nmemory = \"32MiB\"\npids = 20");
    world.desired.node["limits"] = json!({"cpus": 2, "memory": "1GiB", "pids": 10});
    world.declare([Job::soon("narrow")
        .length("2m")
        .sh("sleep 60")
        .container("resources", json!({"cpus": 1}))]);
    world.start();
    let run = world.wait_phase("narrow", Phase::Running);
    let name = format!("almanac-{}", run.key.0);
    let format = "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}";
    assert_eq!(docker(&["inspect", "--format", format, &name]).trim(), "500000000 33554432 10");
}

#[test]
fn a_policy_that_makes_no_sense_keeps_the_agent_from_starting() {
    for (policy, named) in [
        ("quiet-hours = [{ daily = \"22:00\" }]", "22:00-06:00"),
        ("quiet-hour = []", "quiet-hours"),
        ("memory = \"0B\"", "512MiB"),
        ("capabilities = [\"CAP_NET_RAW\"]", "without `CAP_`"),
    ] {
        let world = with_policy(World::new(), policy);
        let done = output(world.command());
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{said}");
        let key = policy.split(' ').next().unwrap();
        for part in [world.path("agent.toml").to_str().unwrap(), "line 2", key, named] {
            assert!(said.contains(part), "`{part}` in {said}");
        }
    }
}
