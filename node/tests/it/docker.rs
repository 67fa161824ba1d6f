//! Runs in containers of a real engine.

use std::{fs, process::Command};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_schemas::{Phase, PublicKey, Reason};

use crate::harness::{Disk, IMAGE, Job, World, docker, unpack};

const DONE: Option<(Phase, Reason)> = Some((Phase::Completed, Reason::ExitCode));

/// What the engine knows of a container.
fn inspect(name: &str) -> Value {
    let text = docker(&["inspect", name]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// The one container of the node, once it runs.
fn running(world: &mut World, job: &str) -> (String, Value) {
    let run = world.wait_phase(job, Phase::Running);
    let name = format!("almanac-{}", run.key.0);
    assert_eq!(world.containers(), [name.as_str()]);
    let seen = inspect(&name);
    (name, seen)
}

#[test]
#[ignore = "needs docker"]
fn a_run_goes_from_its_image_to_its_artifacts() {
    let mut world = World::with_docker();
    let script = "echo out; echo err >&2; cat /almanac/config.yaml > /artifacts/config; echo $ALMANAC_ARTIFACTS; exit 4";
    let job = Job::soon("ping").sh(script).spec("config", json!({"target": "192.0.2.1"}));
    let (run, log) = world.run("ping", job);
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Running, Phase::Uploading, Phase::Failed]);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)));
    assert_eq!(run.last().exit_code, Some(4));
    assert!(run.last().image_digest.starts_with("sha256:"), "{:?}", run.last());
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/artifacts", "err", "out"], "two pipes have no order between them");
    let files = unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
    assert_eq!(files.len(), 1);
    let config: Value = serde_yaml::from_slice(files[0].2.as_ref().unwrap()).unwrap();
    assert_eq!(config, json!({"target": "192.0.2.1"}));
    let engine = world.reconciler.record().heartbeats[0].engine.clone();
    assert!(engine.starts_with("docker "), "{engine}");
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_carries_its_run_and_is_confined() {
    let mut world = World::with_docker();
    world.desired.node["limits"] = json!({"cpus": 0.5, "memory": "64MiB", "pids": 32});
    let job = Job::soon("confined")
        .length("2m")
        .sh("cat /proc/self/status; ip link; echo more >> /almanac/config.yaml; sleep 60")
        .container("capabilities", json!(["NET_RAW"]))
        .container("resources", json!({"cpus": 2, "memory": "32MiB", "pids": 64}));
    world.declare([job]);
    world.start();
    let (name, seen) = running(&mut world, "confined");
    let labels = &seen["Config"]["Labels"];
    assert_eq!(labels["almanac.node"], world.node.as_str());
    assert_eq!(labels["almanac.job"], "confined");
    assert_eq!(labels["almanac.role"], "client");
    assert_eq!(format!("almanac-{}", labels["almanac.run"].as_str().unwrap()), name);

    let host = &seen["HostConfig"];
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    let kept = host["CapAdd"].as_array().unwrap();
    assert!(kept.len() == 1 && kept[0].as_str().unwrap().ends_with("NET_RAW"), "{kept:?}");
    let security = host["SecurityOpt"].to_string();
    assert!(security.contains("no-new-privileges"), "{security}");
    assert_eq!(host["NanoCpus"], 500_000_000, "the smaller of the two limits");
    assert_eq!(host["Memory"], 32 << 20);
    assert_eq!(host["PidsLimit"], 32);
    assert_eq!(host["NetworkMode"], "none");
    for mount in seen["Mounts"].as_array().unwrap() {
        let writable = mount["Destination"] == "/artifacts" || mount["Destination"] == "/almanac/held";
        assert_eq!(mount["RW"], writable, "{mount}");
    }

    // And so it is, seen from inside.
    world.wait("its output", |_| docker(&["logs", &name]).contains("1: lo").then_some(()));
    let output = Command::new("docker").args(["logs", &name]).output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    let field = |field: &str| {
        status.lines().find_map(|line| line.strip_prefix(field)).map(str::trim).unwrap_or_default().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(u64::from_str_radix(&field("CapBnd:"), 16).unwrap(), 1 << 13, "NET_RAW is capability 13");
    assert!(!status.contains("eth0"), "{status}");
    let refused = String::from_utf8(output.stderr).unwrap();
    assert!(refused.contains("Read-only file system"), "{refused}");
}

#[test]
#[ignore = "needs docker"]
fn an_image_that_cannot_be_had_fails_the_run_and_is_named() {
    let mut world = World::with_docker();
    let image = "127.0.0.1:9/almanac-node-test/no-such-image:1";
    let job = Job::soon("absent").length("1m").container("image", json!(image));
    world.declare([job]);
    world.start();
    let run = world.wait_end("absent");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ImagePull)));
    assert_eq!(run.phases(), [Phase::Deploying, Phase::Failed]);
    assert!(run.last().message.contains(image), "{}", run.last().message);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_command_that_the_image_does_not_have_fails_the_run_and_is_named() {
    let mut world = World::with_docker();
    world.declare([Job::soon("absent").container("command", json!(["/no/such/program"]))]);
    world.start();
    let run = world.wait_end("absent");
    assert_eq!(run.end(), Some((Phase::Failed, Reason::Runtime)));
    assert!(run.last().message.contains("/no/such/program"), "{}", run.last().message);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn reaching_its_length_stops_the_container() {
    let mut world = World::with_docker();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    let script = "trap 'echo stopping; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let (run, log) = world.run("measure", Job::once("measure", at).length("3s").sh(script));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::LengthReached)));
    assert_eq!(log, "up\nstopping\n");
    let ended = run.at(Phase::Uploading) - at;
    assert!(ended >= TimeDelta::seconds(3) && ended < TimeDelta::seconds(8), "{ended}");
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_killed_agent_finds_its_container_again_and_the_log_is_whole() {
    let mut world = World::with_docker();
    let script = "for i in $(seq 1 200); do echo $i; sleep 0.03; done; echo kept > /artifacts/file; exit 6";
    world.declare([Job::soon("long").length("2m").sh(script)]);
    world.start();
    let (name, before) = running(&mut world, "long");
    for _ in 0..3 {
        world.kill();
        world.start();
        world.wait_told("a heartbeat of the next", |record| {
            (record.heartbeats.last()?.generation == 1).then_some(())
        });
        assert_eq!(world.containers(), [name.as_str()]);
    }
    assert_eq!(inspect(&name)["Id"], before["Id"], "it is the same container");
    assert_eq!(inspect(&name)["State"]["StartedAt"], before["State"]["StartedAt"], "started once");
    let run = world.wait_end("long");
    assert_eq!(run.last().exit_code, Some(6));
    let expected: String = (1..=200).map(|i| format!("{i}\n")).collect();
    assert_eq!(world.log(&run), expected);
    assert_eq!(unpack(&world.file(&run, "artifacts.tar.zst").unwrap()).len(), 1);
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_ends_while_no_agent_runs_is_delivered_by_the_next() {
    let mut world = World::with_docker();
    world.declare([Job::soon("short").length("2m").sh("echo one; sleep 1; echo two; exit 8")]);
    world.start();
    let (name, _) = running(&mut world, "short");
    world.kill();
    world.wait("its end", |_| (inspect(&name)["State"]["Running"] == false).then_some(()));
    let ended = Utc::now();
    world.start();
    let run = world.wait_end("short");
    assert_eq!(run.last().exit_code, Some(8));
    assert_eq!(world.log(&run), "one\ntwo\n");
    assert!(run.at(Phase::Uploading) <= ended, "the instant of its end is that of its end");
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_disappears_fails_its_run() {
    let mut world = World::with_docker();
    world.declare([Job::soon("lost").length("2m").sh("echo up; sleep 60")]);
    world.start();
    let (name, _) = running(&mut world, "lost");
    docker(&["rm", "--force", &name]);
    let run = world.wait_end("lost");
    let (phase, _) = run.end().unwrap();
    assert_eq!(phase, Phase::Failed, "{:?}", run.last());
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_belongs_to_no_run_is_removed_at_the_start() {
    let mut world = World::with_docker();
    let stray = format!("almanac-{}", uuid::Uuid::new_v4());
    let node = format!("almanac.node={}", world.node);
    let key: PublicKey = fs::read_to_string(world.path("key.pub")).unwrap().parse().unwrap();
    let agent = format!("almanac.agent={}", key.fingerprint());
    let run = format!("almanac.run={}", stray.trim_start_matches("almanac-"));
    let labels = [&node, &agent, &run, "almanac.role=client", "almanac.job=x"];
    let mut arguments = vec!["run", "--detach", "--network", "none", "--name", &stray];
    arguments.extend(labels.iter().flat_map(|label| ["--label", *label]));
    arguments.extend([IMAGE, "sleep", "300"]);
    docker(&arguments);
    assert_eq!(world.containers(), [stray]);
    world.start();
    world.wait("its removal", |world| world.containers().is_empty().then_some(()));
}

#[test]
#[ignore = "needs docker"]
fn a_container_that_takes_too_much_memory_fails_with_that_reason() {
    let mut world = World::with_docker();
    // `tail` of an endless line keeps all of it in memory.
    let job = Job::soon("greedy")
        .length("1m")
        .container("command", json!(["tail", "/dev/zero"]))
        .container("resources", json!({"memory": "16MiB"}));
    let (run, _) = world.run("greedy", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::OutOfMemory)), "{:?}", run.last());
    assert_eq!(run.last().exit_code, Some(137));
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_bridged_container_joins_the_network_of_the_testbed() {
    let mut world = World::with_docker();
    world.desired.network = world.node.to_string();
    let job = Job::soon("bridged").sh("ip -o link").container("network", json!("bridge"));
    let (run, log) = world.run("bridged", job);
    let network = world.node.to_string();
    let driver = docker(&["network", "inspect", "--format", "{{.Driver}}", &network]);
    docker(&["network", "rm", &network]);
    assert_eq!(run.end(), DONE, "{:?}", run.last());
    assert!(log.contains("eth0"), "{log}");
    assert_eq!(driver.trim(), "bridge");
}

#[test]
#[ignore = "needs docker"]
fn a_disk_that_is_full_fails_the_run_and_not_the_agent() {
    let mut world = World::new();
    let disk = Disk::mount(world.state_dir().join("runs"), "8m");
    // What is written once fits, and packed a second time it does not.
    let script = "echo wrote; head -c 5000000 /dev/urandom > data";
    let (run, log) = world.run("large", Job::soon("large").length("1m").sh(script));
    assert_eq!(run.end(), Some((Phase::Failed, Reason::Artifacts)), "{:?}", run.last());
    assert!(run.last().message.contains("no space left on the disk but"), "{}", run.last().message);
    assert_eq!(log, "wrote\n");
    world.wait_tidy();

    // With the disk free again, everything goes on.
    let (run, _) = world.run("small", Job::soon("small").sh("echo kept > file"));
    assert_eq!(run.end(), DONE);
    drop(world.agent.take());
    drop(disk);
}
