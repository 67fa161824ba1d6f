//! A real engine.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use chrono::{TimeDelta, Utc};
use serde_json::json;

use almanac_node::settings::RuntimeChoice;
use almanac_proto::v1;

use crate::{
    agent::Agent,
    fake::{Fake, unpack},
    kill::Binary,
};

const IMAGE: &str = "almanac-node-test:1";

const ENGINE: RuntimeChoice = RuntimeChoice::Docker { host: None };

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes an image of nothing but a static busybox.
fn make_image() {
    let busybox = std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox"));
    let busybox = busybox.expect("busybox-static is installed");
    let mut root = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    root.append_data(&mut header, "bin/busybox", busybox.as_slice()).unwrap();
    for name in ["sh", "sleep", "cat", "id", "grep", "ls"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        root.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    let mut import = Command::new("docker")
        .args(["import", "-", IMAGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&root.into_inner().unwrap()).unwrap();
    assert!(import.wait().unwrap().success());
}

fn job(script: &str) -> serde_json::Value {
    json!({ "container": { "image": IMAGE, "command": ["/bin/sh", "-c", script] } })
}

/// What the engine has of a run.
fn containers(run: &str) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label=almanac.run={run}")])
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker"]
async fn a_container_gets_what_it_is_promised_and_nothing_else() {
    make_image();
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    fake.publish(|snapshot| {
        snapshot.node_spec = r#"{"owner":"alice","limits":{"memory":"64MiB","pids":20}}"#.to_owned();
    });
    let agent = Agent::start_as(&fake, folder.path(), ENGINE, "docker-promises");
    let mut hello = job(
        "cat $ALMANAC_CONFIG > $ALMANAC_ARTIFACTS/config; grep -h -E 'CapEff|NoNewPrivs' /proc/self/status;
         cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;
         echo err >&2; (echo x > /almanac/config.yaml) 2>/dev/null || echo read-only; exit 3",
    );
    hello["config"] = json!({ "streams": 4 });
    hello["container"]["capabilities"] = json!(["NET_RAW"]);
    fake.declare("hello", Utc::now() + TimeDelta::seconds(1), hello);
    let last = fake.ended("hello").await;
    assert_eq!((last.phase(), last.exit_code), (v1::Phase::Failed, Some(3)), "{}", last.message);
    let log = String::from_utf8(fake.file(&last, "run.log").unwrap()).unwrap();
    assert!(log.contains("CapEff:\t0000000000002000"), "{log}");
    assert!(log.contains("NoNewPrivs:\t1") && log.contains("67108864"), "{log}");
    assert!(log.contains("err\n") && log.contains("read-only\n"), "{log}");
    assert!(last.image_digest.starts_with("sha256:"));
    let artifacts = unpack(&fake.file(&last, "artifacts.tar.zst").unwrap());
    assert_eq!(artifacts[std::path::Path::new("config")], "streams: 4\n");
    assert_eq!(containers(&last.run_id), "");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker"]
async fn an_image_that_does_not_exist_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Agent::start_as(&fake, folder.path(), ENGINE, "docker-image");
    let missing = json!({ "container": { "image": "localhost:1/no/such-image:1" } });
    fake.declare("missing", Utc::now() + TimeDelta::seconds(1), missing);
    let mut command = job("");
    command["container"]["command"] = json!(["/no/such/program"]);
    make_image();
    fake.declare("program", Utc::now() + TimeDelta::seconds(1), command);
    let last = fake.ended("missing").await;
    assert_eq!((last.phase(), last.reason()), (v1::Phase::Failed, v1::Reason::ImagePull));
    assert!(last.message.contains("localhost:1/no/such-image:1"), "{}", last.message);
    let last = fake.ended("program").await;
    assert_eq!((last.phase(), last.reason()), (v1::Phase::Failed, v1::Reason::Runtime));
    assert!(last.message.contains("/no/such/program"), "{}", last.message);
    fake.wait("its container to go", |_| containers(&last.run_id).is_empty().then_some(())).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker"]
async fn killed_while_a_container_runs_it_takes_it_up_and_stops_it_at_its_length() {
    make_image();
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let agent = Binary::start_as(&fake, folder.path(), "docker", "docker-killed");
    let mut long = job("trap 'echo bye; exit 9' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done");
    long["schedule"] = json!({ "length": "5s" });
    fake.declare("long", Utc::now() + TimeDelta::seconds(1), long);
    let running = fake.reaches("long", v1::Phase::Running).await;
    agent.kill();
    let _agent = Binary::start_as(&fake, folder.path(), "docker", "docker-killed");
    let last = fake.ended("long").await;
    assert_eq!((last.phase(), last.reason()), (v1::Phase::Completed, v1::Reason::LengthReached));
    assert_eq!(last.run_id, running.run_id);
    assert_eq!(fake.phases("long"), ["DEPLOYING", "RUNNING", "UPLOADING", "COMPLETED"]);
    let log = String::from_utf8(fake.file(&last, "run.log").unwrap()).unwrap();
    let numbers: Vec<usize> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.len() > 10 && numbers.iter().copied().eq(0..numbers.len()), "no gap, no repeat: {log}");
    assert!(log.ends_with("bye\n"), "{log}");
    assert_eq!(containers(&last.run_id), "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker"]
async fn a_container_of_nobody_is_removed_and_memory_is_held_to() {
    make_image();
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let run = "0c5a5a53-1c5a-5f0e-9d5e-2f4f3c1f7b11";
    docker(&[
        "run",
        "-d",
        "--label",
        "almanac.node=docker-stray",
        "--label",
        &format!("almanac.run={run}"),
        "--label",
        "almanac.role=client",
        "--name",
        &format!("almanac-{run}"),
        IMAGE,
        "/bin/sleep",
        "600",
    ]);
    let agent = Agent::start_as(&fake, folder.path(), ENGINE, "docker-stray");
    fake.wait("the stray to go", |_| containers(run).is_empty().then_some(())).await;
    let mut greedy = job("x=0123456789abcdef; while :; do x=$x$x; done");
    greedy["container"]["resources"] = json!({ "memory": "16MiB" });
    greedy["container"]["network"] = json!("none");
    fake.declare("greedy", Utc::now() + TimeDelta::seconds(1), greedy);
    let last = fake.ended("greedy").await;
    assert_eq!(
        (last.phase(), last.reason()),
        (v1::Phase::Failed, v1::Reason::OutOfMemory),
        "{}",
        last.message
    );
    agent.stop().await;
}
