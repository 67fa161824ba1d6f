//! Images from a real, private registry.

use std::fs;

use serde_json::json;

use almanac_schemas::{Phase, Reason};

use crate::harness::{
    Job, World,
    registry::{PASSWORD, Registry, USER},
};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// A world whose agents have a configuration of their own.
fn configured(text: &str) -> World {
    let world = World::with_docker();
    let (file, password) = (world.path("agent.toml"), world.path("password"));
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    fs::write(&file, text.replace("PASSWORD-FILE", password.to_str().unwrap())).unwrap();
    world.option("--config", file.to_str().unwrap()).option("--log", "debug")
}

fn job(name: &str, image: &str) -> Job {
    Job::soon(name).length("2m").start_deadline("2m").container("image", json!(image)).sh("echo here")
}

fn password_file(host: &str) -> String {
    format!("[registries.\"{host}\"]\nusername = \"{USER}\"\npassword-file = \"PASSWORD-FILE\"\n")
}

#[test]
#[ignore = "needs docker"]
fn a_private_image_is_pulled_by_tag_and_by_digest_and_the_password_is_nowhere() {
    let mut registry = Registry::start();
    let digest = registry.push("probes/ping:1", 1000);
    let host = registry.host();
    let mut world = configured(&password_file(&host));
    for (name, image) in
        [("by-tag", format!("{host}/probes/ping:1")), ("by-digest", format!("{host}/probes/ping@{digest}"))]
    {
        registry.forget_later(&image);
        let (run, log) = world.run(name, job(name, &image));
        assert_eq!((run.end(), log.as_str()), (DONE, "here\n"), "{:?}", run.last());
        assert_eq!(run.last().image_digest, digest);
        crate::harness::docker(&["rmi", "--force", &image]);
    }
    let said = world.agent.as_ref().unwrap().log();
    assert!(said.contains("pulling an image") && !said.contains(PASSWORD), "{said}");
    for entry in fs::read_dir(world.state_dir()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(!text.unwrap_or_default().contains(PASSWORD), "{}", path.display());
    }
}

#[test]
#[ignore = "needs docker"]
fn what_docker_login_wrote_will_do_and_without_it_the_run_says_what_is_missing() {
    let mut registry = Registry::start();
    registry.push("probes/ping:1", 1000);
    let image = format!("{}/probes/ping:1", registry.host());
    let mut stranger = World::with_docker();
    stranger.declare([job("stranger", &image)]);
    stranger.start();
    let run = stranger.wait_end("stranger");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ImagePull)));
    assert!(run.last().message.contains("`[registries]`"), "{}", run.last().message);

    let config = registry.docker_config();
    let table = format!("[registries.\"{}\"]\ndocker-config = {config:?}\n", registry.host());
    let (run, _) = configured(&table).run("known", job("known", &image));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
}

#[test]
#[ignore = "needs docker"]
fn one_pull_serves_all_that_wait_for_an_image() {
    let mut registry = Registry::start();
    registry.push("probes/ping:1", 4 << 20);
    // Slow enough for all of them to be waiting.
    let host = format!("127.0.0.1:{}", registry.slow_way(1 << 20, u64::MAX));
    let image = format!("{host}/probes/ping:1");
    registry.forget_later(&image);
    let before = registry.log().len();
    let mut world = configured(&password_file(&host));
    let names: Vec<String> = (0..8).map(|index| format!("job-{index}")).collect();
    world.declare(
        names.iter().map(|name| job(name, &image).spec("exclusive", json!(false))).collect::<Vec<_>>(),
    );
    world.start();
    for name in &names {
        let run = world.wait_end(name);
        assert_eq!(run.end(), DONE, "{:?}", run.last());
    }
    let said = world.agent.as_ref().unwrap().log();
    assert_eq!(said.matches("pulling an image").count(), 1, "{said}");
    let asked = &registry.log()[before..];
    let blobs = asked.lines().filter(|line| line.contains("\"GET /v2/probes/ping/blobs/")).count();
    assert_eq!(blobs, 2, "the layer and the configuration, each once: {asked}");
}

#[test]
#[ignore = "needs docker"]
fn a_pull_may_take_long_and_may_not_stand_still() {
    let mut registry = Registry::start();
    registry.push("probes/large:1", 6 << 20);
    let patience = "pull-patience = \"2s\"\n";

    let host = format!("127.0.0.1:{}", registry.slow_way(1 << 20, u64::MAX));
    let slow = format!("{host}/probes/large:1");
    registry.forget_later(&slow);
    let (run, _) = configured(&(patience.to_owned() + &password_file(&host))).run("slow", job("slow", &slow));
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    let took = run.at(Phase::Running) - run.at(Phase::Deploying);
    assert!(took > chrono::TimeDelta::seconds(4), "longer than the patience: {took}");
    crate::harness::docker(&["rmi", "--force", &slow]);

    let host = format!("127.0.0.1:{}", registry.slow_way(1 << 20, 2 << 20));
    let stuck = format!("{host}/probes/large:1");
    let mut world = configured(&(patience.to_owned() + &password_file(&host)));
    world.declare([job("stuck", &stuck)]);
    world.start();
    let run = world.wait_end("stuck");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ImagePull)), "{:?}", run.last());
    assert!(run.last().message.contains("nothing more of it came for 2 s"), "{}", run.last().message);
}

#[test]
fn credentials_that_are_not_there_keep_the_agent_from_starting() {
    let world = World::new();
    let file = world.path("agent.toml");
    let (key, state) = (world.path("key"), world.state_dir());
    let text = format!(
        "name = \"{}\"\nserver = \"{}\"\nkey = {key:?}\nstate-dir = {state:?}\n\
         [registries.\"r.example.org\"]\nusername = \"x\"\npassword-file = \"/no/such/file\"\n",
        world.node,
        world.reconciler.url()
    );
    fs::write(&file, text).unwrap();
    let mut command = crate::harness::command();
    command.args(["run", "--config"]).arg(&file);
    let done = crate::harness::output(command);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("/no/such/file") && said.contains("r.example.org"), "{said}");
}
