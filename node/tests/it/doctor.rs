//! `almanac-node doctor`: what is wrong with a host, and what to do about it. That it finds a good host good is shown
//! with a real reconciler, in `tests/`.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::harness::{World, command, output};

/// What the doctor finds with an agent's own options; `change` replaces some.
fn examine(world: &World, change: impl Fn(&mut Vec<String>)) -> (Option<i32>, Value, String) {
    let usual = world.command();
    let mut options: Vec<String> =
        usual.get_args().skip(1).map(|option| option.to_str().unwrap().to_owned()).collect();
    change(&mut options);
    let run = |form: &str| {
        let mut doctor: Command = command();
        doctor.args(["doctor", "--output", form]).args(&options);
        output(doctor)
    };
    let done = run("json");
    let findings = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    (done.status.code(), findings, String::from_utf8(run("human").stdout).unwrap())
}

fn set(options: &mut [String], name: &str, value: &str) {
    let place = options.iter().position(|option| option == name).unwrap();
    options[place + 1] = value.to_owned();
}

/// The health of what was looked at, and its text.
fn of<'a>(findings: &'a Value, check: &str) -> (&'a str, String) {
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} in {findings}"));
    (found["health"].as_str().unwrap(), format!("{} {}", found["found"], found["remedy"]))
}

#[test]
fn it_names_what_is_missing_and_what_to_do() {
    let world = World::new();
    let (code, findings, text) = examine(&world, |options| {
        set(options, "--server", "http://127.0.0.1:9");
        set(options, "--runtime", "docker");
        options.extend(["--docker-host".to_owned(), "unix:///no/such/engine.sock".to_owned()]);
        // Also root cannot make a folder in a file.
        let file = world.path("file");
        fs::write(&file, "").unwrap();
        set(options, "--state-dir", file.to_str().unwrap());
    });
    assert_eq!(code, Some(1));
    assert_eq!(of(&findings, "key").0, "good");
    let (health, said) = of(&findings, "engine");
    assert!(
        health == "bad" && said.contains("/no/such/engine.sock") && said.contains("docker-host"),
        "{said}"
    );
    let (health, said) = of(&findings, "reconciler");
    assert!(health == "bad" && said.contains("127.0.0.1:9") && said.contains("network"), "{said}");
    assert_eq!(of(&findings, "state folder").0, "bad");
    let (health, said) = of(&findings, "agent");
    assert!(health == "warning" && said.contains("does not run"), "{said}");
    assert!(text.contains("PROBLEM") && text.contains("3 problems"), "{text}");
    assert!(!world.state_dir().exists(), "it changes nothing");
}

#[test]
fn a_configuration_that_cannot_be_read_is_what_there_is_to_see() {
    let world = World::new();
    let (code, findings, _) = examine(&world, |options| set(options, "--key", "/no/such/key"));
    assert_eq!(code, Some(1));
    assert_eq!(findings.as_array().unwrap().len(), 1);
    let (health, said) = of(&findings, "key");
    assert!(health == "bad" && said.contains("/no/such/key") && said.contains("keygen"), "{said}");
}

#[test]
fn an_agent_that_runs_is_seen() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait_followed();
    let (_, findings, _) = examine(&world, |_| {});
    assert_eq!(of(&findings, "agent"), ("good", "\"it runs, and is connected\" \"\"".to_owned()));
    assert_eq!(of(&findings, "state folder").0, "good");
    let (health, said) = of(&findings, "engine");
    assert!(health == "warning" && said.contains("nothing confines"), "{said}");
    assert_eq!(of(&findings, "clock").0, "good", "both are this host's");
}

#[test]
fn what_an_agent_does_not_measure_is_seen() {
    let mut world = World::new();
    world.desired.node["telemetry"] = json!({"dish": {"address": "127.0.0.1:9"}, "satellites": {}});
    world.declare([]);
    world.start();
    world.wait("the terminal to be missed", |world| {
        world.agent.as_ref().unwrap().log().contains("nothing is measured").then_some(())
    });
    let (_, findings, text) = examine(&world, |_| {});
    let all = findings.as_array().unwrap().iter().filter(|finding| finding["check"] == "telemetry");
    assert_eq!(all.count(), 4, "the two that are declared, and what each host has");
    for said in [
        "dish is not measured: the terminal at 127.0.0.1:9 is not reached",
        "see that the terminal is on",
        "satellites is not measured: the node's manifest has no `coordinates`",
        "host is measured when a run wants it",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
#[ignore = "needs docker"]
fn a_real_engine_is_asked_what_it_can_do() {
    let world = World::with_docker();
    let (_, findings, _) = examine(&world, |_| {});
    let (health, said) = of(&findings, "engine");
    assert!(health == "good" && said.contains("docker "), "{said}");
    let (health, said) = of(&findings, "cgroups");
    assert!(health != "bad" && said.contains("version"), "{said}");
}
