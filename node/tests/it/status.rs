//! `almanac-node status`: how an agent is, for whoever stands in front of the host.

use std::{fs, process::Command};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tonic::Code;

use almanac_schemas::Phase;

use crate::harness::{Job, World, command, output};

fn ask(world: &World, form: &str) -> Command {
    let mut command = command();
    command.args(["status", "--output", form, "--state-dir"]).arg(world.state_dir());
    command
}

fn human(world: &World) -> String {
    let done = output(ask(world, "human"));
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn json(world: &World) -> Value {
    let done = output(ask(world, "json"));
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn it_shows_what_runs_and_what_will_and_what_the_host_forbids_before_it_is_due() {
    let world = World::new();
    let file = world.path("agent.toml");
    fs::write(&file, "[policy]\nregistries = [\"docker.io\"]\n").unwrap();
    let mut world = world.option("--config", file.to_str().unwrap());
    let at = Utc::now() + TimeDelta::hours(1);
    world.declare([
        Job::soon("going").length("1h").sh("sleep 600"),
        Job::once("later", at),
        Job::once("elsewhere", at).container("image", json!("registry.example.org/x:1")),
    ]);
    world.start();
    let run = world.wait_phase("going", Phase::Running);
    let seen = world.wait("its line", |world| {
        let seen = json(world);
        (seen["runs"][0]["stage"] == "running").then_some(seen)
    });
    assert_eq!(seen["node"], world.node.as_str());
    assert_eq!(seen["contact"]["state"], "connected");
    assert_eq!((&seen["state"]["generation"], &seen["state"]["jobs"]), (&json!(1), &json!(3)));
    assert_eq!(seen["runs"][0]["run"], run.key.0);
    let next: Vec<(&str, &Value)> =
        seen["next"].as_array().unwrap().iter().map(|next| (next["job"].as_str().unwrap(), next)).collect();
    assert_eq!(next.iter().map(|(job, _)| *job).collect::<Vec<_>>(), ["elsewhere", "later"]);
    assert_eq!(next[0].1["omitted"]["reason"], "forbidden_by_host");
    assert_eq!(next[1].1.get("omitted"), None);

    let text = human(&world);
    for part in [
        world.node.as_str(),
        &world.reconciler.url(),
        ": connected for ",
        "3 jobs, generation 1 of commit 0000000000",
        "valid for 6 d 23 h",
        &format!("going {} running, until ", &run.key.0[..8]),
        "(in 59 min) later",
        "will not run, forbidden_by_host: the host does not allow images from `registry.example.org/x`",
    ] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }
}

#[test]
fn without_the_reconciler_it_says_so_and_counts_what_waits() {
    let mut world = World::new();
    world.declare([Job::every_second("tick").sh("echo x > file")]);
    world.start();
    world.wait_ended("tick", 1);
    world.reconciler.faults().refuse = Some(Code::Unauthenticated);
    world.reconciler.cut_streams(None);
    let seen = world.wait("a backlog", |world| {
        let seen = json(world);
        (seen["backlog"]["files"].as_u64() > Some(0) && seen["contact"]["state"] == "lost").then_some(seen)
    });
    assert!(seen["backlog"]["events"].as_u64() > Some(0), "{seen}");
    let text = human(&world);
    assert!(text.contains("not connected for") && text.contains("`keys`"), "what to do: {text}");
    assert!(text.contains("to be delivered to the reconciler"), "{text}");
    world.reconciler.faults().refuse = None;
    world.declare([]);
    world.wait("its delivery", |world| {
        let text = human(world);
        (text.contains("the reconciler has everything") && text.contains(": connected for")).then_some(())
    });
}

#[test]
fn an_agent_that_never_reached_a_reconciler_says_that_it_holds_nothing() {
    let mut world = World::new();
    world.reconciler.vanish();
    world.start();
    world.wait("an answer", |world| {
        let done = output(ask(world, "human"));
        String::from_utf8(done.stdout).unwrap().contains("none was ever received").then_some(())
    });
}

#[test]
fn where_no_agent_runs_it_says_what_to_do() {
    let mut world = World::new();
    let refusal = |world: &World| {
        let done = output(ask(world, "human"));
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(done.stdout.is_empty());
        String::from_utf8(done.stderr).unwrap()
    };
    let said = refusal(&world);
    assert!(said.contains("agent.sock") && said.contains("systemctl start"), "{said}");
    // What a killed agent leaves behind misleads nobody, and the next one takes its place.
    world.declare([]);
    world.start();
    world.wait_followed();
    world.kill();
    assert!(world.state_dir().join("agent.sock").exists());
    let said = refusal(&world);
    assert!(said.contains("systemctl start"), "{said}");
    world.start();
    world.wait("its answer", |world| output(ask(world, "json")).status.success().then_some(()));
}
