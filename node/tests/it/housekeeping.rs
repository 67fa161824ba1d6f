//! The host stays tidy, whatever was cut off.

use std::{fs, process::Command};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use almanac_schemas::{Phase, PublicKey, Reason};

use crate::harness::{
    IMAGE, Job, World, docker,
    registry::{PASSWORD, Registry, USER},
};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// A world whose agents tidy up all the time.
fn tidy(world: World, images: &str, more: &str) -> World {
    let (file, password) = (world.path("agent.toml"), world.path("password"));
    fs::write(&password, PASSWORD).unwrap();
    let settings = format!("[housekeeping]\nevery = \"1s\"\ngrace = \"2s\"\nimages = \"{images}\"\n");
    fs::write(&file, settings + &more.replace("PASSWORD-FILE", password.to_str().unwrap())).unwrap();
    world.option("--config", file.to_str().unwrap())
}

fn is_there(kind: &str, name: &str) -> bool {
    Command::new("docker").args([kind, "inspect", name]).output().unwrap().status.success()
}

/// Starts a container as an agent of a key would, for a run that nobody knows of.
fn stray(world: &World, agent: &str) -> String {
    let run = Uuid::new_v4();
    let name = format!("almanac-{run}");
    let labels = [
        format!("almanac.node={}", world.node),
        format!("almanac.agent={agent}"),
        format!("almanac.run={run}"),
        "almanac.role=client".to_owned(),
    ];
    let mut arguments = vec!["run", "--detach", "--network", "none", "--name", &name];
    arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
    arguments.extend([IMAGE, "sleep", "300"]);
    docker(&arguments);
    name
}

#[test]
#[ignore = "needs docker"]
fn what_is_made_ready_is_of_a_run_that_is_to_come() {
    let mut world = tidy(World::with_docker(), "10GiB", "");
    let at = Utc::now() + TimeDelta::seconds(7);
    world.declare([Job::once("later", at).sh("true")]);
    world.start();
    // An engine lists a container a moment before it knows it by its name.
    let name = world.wait("a container that is made ready", |world| {
        world.containers().pop().filter(|name| is_there("container", name))
    });
    let made = docker(&["inspect", "--format", "{{.Id}}", &name]);
    // It grows older than what belongs to nobody may become.
    world.wait("the last moment before its instant", |_| {
        (Utc::now() > at - TimeDelta::milliseconds(500)).then_some(())
    });
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &name]), made);
    let run = world.wait_end("later");
    assert_eq!(run.end(), DONE);
    assert!(run.at(Phase::Running) - at < TimeDelta::seconds(1), "{run:?}");
}

#[test]
#[ignore = "needs docker"]
fn what_belongs_to_no_run_goes_after_a_while_and_what_runs_stays() {
    let mut world = tidy(World::with_docker(), "10GiB", "");
    let key: PublicKey = fs::read_to_string(world.path("key.pub")).unwrap().parse().unwrap();
    world.desired.network = world.node.to_string();
    let job = Job::soon("going").length("2m").sh("sleep 100").container("network", json!("bridge"));
    world.declare([job]);
    world.start();
    let run = world.wait_phase("going", Phase::Running);
    // While an agent runs, as after a crash between what it does and what it records.
    let (own, other) = (stray(&world, &key.fingerprint()), stray(&world, "SHA256:somebody-else"));
    let folder = world.state_dir().join("runs").join(Uuid::new_v4().to_string());
    fs::create_dir(&folder).unwrap();
    let since = Utc::now();
    world.wait("their removal", |_| (!is_there("container", &own) && !folder.exists()).then_some(()));
    assert!(Utc::now() - since >= TimeDelta::seconds(1), "it has its time");
    assert!(is_there("container", &other), "it is another agent's");
    assert!(is_there("container", &format!("almanac-{}", run.key.0)));
    assert!(world.state_dir().join("runs").join(&run.key.0).exists());

    // The network that was in use goes with the last container that is in it.
    let network = world.node.to_string();
    world.desired.network = format!("{network}-other");
    world.declare([]);
    world.wait_followed();
    assert!(is_there("network", &network));
    docker(&["rm", "--force", &format!("almanac-{}", run.key.0), &other]);
    world.wait("the removal of the network", |_| (!is_there("network", &network)).then_some(()));
}

#[test]
#[ignore = "needs docker"]
fn images_that_no_job_needs_go_when_there_are_too_many_and_never_those_of_others() {
    let mut registry = Registry::start();
    let host = registry.host();
    let table =
        format!("[registries.\"{host}\"]\nusername = \"{USER}\"\npassword-file = \"PASSWORD-FILE\"\n");
    let mut world = tidy(World::with_docker(), "3MiB", &table);
    let image = |name: &str| format!("{host}/probes/{name}:1");
    for name in ["old", "weekly", "theirs"] {
        registry.push(&format!("probes/{name}:1"), 2 << 20);
    }
    // Somebody had this one before, and a job uses it.
    let config = registry.docker_config();
    docker(&["--config", config.parent().unwrap().to_str().unwrap(), "pull", &image("theirs")]);
    let job = |name: &str| {
        Job::soon(name)
            .length("1m")
            .container("image", json!(image(name)))
            .sh("true")
            .spec("exclusive", json!(false))
    };
    let again =
        Job::once("again", Utc::now() + TimeDelta::days(3)).container("image", json!(image("weekly")));
    world.declare([job("old"), job("weekly"), job("theirs"), again.clone()]);
    world.start();
    for name in ["old", "weekly", "theirs"] {
        assert_eq!(world.wait_end(name).end(), DONE);
    }
    world.declare([again]);
    world.wait("the removal of what is not needed", |_| (!is_there("image", &image("old"))).then_some(()));
    assert!(is_there("image", &image("weekly")), "it is needed in three days");
    assert!(is_there("image", &image("theirs")), "it is not the agent's");
    // Without that job it is the next to go: with busybox in it, it has more than 3 MiB.
    world.declare([]);
    world.wait("the removal of the other", |_| (!is_there("image", &image("weekly"))).then_some(()));
    assert!(is_there("image", &image("theirs")));
}
