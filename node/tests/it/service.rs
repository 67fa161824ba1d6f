//! The agent as a service of systemd.

use std::{fs, os::unix::net::UnixDatagram, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;

use almanac_schemas::{Phase, Reason};

use crate::harness::{Agent, Job, World};

/// The unit, with the agent that is tested.
fn unit(folder: &std::path::Path) -> PathBuf {
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/almanac-node.service")).unwrap();
    let file = folder.join("almanac-node.service");
    let agent = "/usr/local/bin/almanac-node";
    assert!(text.contains(agent));
    fs::write(&file, text.replace(agent, env!("CARGO_BIN_EXE_almanac-node"))).unwrap();
    file
}

#[test]
fn it_says_that_it_is_ready_that_it_lives_and_that_it_stops() {
    let mut world = World::new();
    let path = world.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut buffer = [0; 100];
        let read = socket.recv(&mut buffer).expect("a word of the agent");
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    };
    world.declare([]);
    let mut command = world.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    world.agent = Some(Agent::spawn(command, &world.path("agent.log")));
    // The first two come at the same moment.
    let first = [hear(), hear()];
    assert!(first.contains(&"READY=1".to_owned()) && first.contains(&"WATCHDOG=1".to_owned()), "{first:?}");
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1");
    }
    assert!(world.terminate().success());
    let mut last = hear();
    while last == "WATCHDOG=1" {
        last = hear();
    }
    assert_eq!(last, "STOPPING=1");
}

#[test]
#[ignore = "needs systemd"]
fn the_unit_is_one_that_systemd_understands_and_exposes_little() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let analyze = |arguments: &[&str]| {
        let done =
            Command::new("systemd-analyze").args(arguments).arg(&unit).output().expect("install systemd");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.success(), String::from_utf8(done.stdout).unwrap(), said)
    };
    let (good, _, said) = analyze(&["verify", "--man=no"]);
    // Of other units it says what is wrong with them.
    let own: Vec<&str> = said.lines().filter(|line| line.contains("almanac-node")).collect();
    assert!(good && own.is_empty(), "{said}");

    let (good, report, said) =
        analyze(&["security", "--offline=true", "--no-pager", "--json=short", "--threshold=25"]);
    assert!(good, "{report}{said}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report.as_array().is_some_and(|entries| entries.len() > 50), "{report}");
}

#[test]
#[ignore = "needs docker"]
fn a_container_reads_its_files_whatever_the_mask_of_the_agent_is() {
    let mut world = World::with_docker();
    let job = Job::soon("strict").sh("cat /almanac/config.yaml /almanac/run.json && echo x > /artifacts/x");
    world.declare([job.spec("config", serde_json::json!({"greeting": "hello"}))]);
    let usual = world.command();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(usual.get_program()).args(usual.get_args());
    world.agent = Some(Agent::spawn(command, &world.path("agent.log")));
    let run = world.wait_end("strict");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{:?}", run.last());
    assert!(world.log(&run).contains("greeting: hello"));
}
