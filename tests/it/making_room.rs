//! A node's owner wants its link, and containers make room: within the times that are promised, and both of a pair.

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, instant, soon},
};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    scavenger::{SAYS_WHEN, at, scavenge, testbed_of, uptime, wait_up, write},
    servers::{Pair, end, log, name, part, start_paris, wait_tidy},
};

/// A testbed with both agents, whose one-shot runs move to 10 s later at the earliest.
fn testbed() -> Testbed {
    let mut testbed = testbed_of(Runtime::Docker);
    testbed.start_agent("london-01");
    start_paris(&mut testbed);
    testbed
}

/// A pair whose client breaks off with its server.
fn pair() -> Pair {
    let web = Pair::of_web();
    let address = format!("http://$ALMANAC_SERVER_ADDRESS:$ALMANAC_SERVER_PORT_{}/", web.port);
    let client = format!(
        "trap 'exit 143' TERM; {} && echo got it && while wget -q -O - {address} > /dev/null; do sleep 0.1; done; echo broke off; exit 9",
        web.client
    );
    Pair { client, length: "20s", ..web }
}

/// Waits until a part of the pair that is due at an instant is in a phase.
fn wait_part(testbed: &mut Testbed, role: &str, start: DateTime<Utc>, phase: &str) -> Value {
    testbed.wait_for(&format!("the {role} of {start} to be {phase}"), |testbed| {
        testbed
            .runs(&name())
            .into_iter()
            .find(|run| run["role"] == role && at(&run["scheduledAt"]) == start && run["phase"] == phase)
    })
}

/// Waits until the client that is due at an instant has got something from its server.
fn wait_served(testbed: &mut Testbed, start: DateTime<Utc>) {
    let client = wait_part(testbed, "client", start, "RUNNING");
    testbed.wait_for("the client to be served", |testbed| {
        log(testbed, &client, &["--tail", "10"]).contains("got it").then_some(())
    });
}

/// Runs a pair, takes the link of a node from it, and gives it back. Returns the instant that it was moved to, having looked
/// that both of its parts ran there.
fn moved_from(testbed: &mut Testbed, node: &str) -> (DateTime<Utc>, DateTime<Utc>) {
    pair().declare(testbed, 6);
    let first = testbed.wait_for("the run", |testbed| part(testbed, "client"));
    let start = at(&first["scheduledAt"]);
    wait_served(testbed, start);
    scavenge(testbed, node, &["on", "--reason", "a call"]);
    let asked = Utc::now();
    let client = wait_part(testbed, "client", start, "RESCHEDULED");
    scavenge(testbed, node, &["off"]);
    let to = at(&client["movedTo"]);
    assert!(to > asked && at(&client["endedAt"]) < asked + chrono::TimeDelta::seconds(6), "{client}");
    wait_served(testbed, to);
    for role in ["client", "server"] {
        let again = wait_part(testbed, role, to, "COMPLETED");
        assert_eq!(end(&again).1, "length_reached", "{again}");
    }
    // Once, and there alone.
    let runs = testbed.runs(&name());
    assert_eq!(runs.len(), 4, "{runs:#?}");
    wait_tidy(testbed, &client);
    (start, to)
}

#[test]
#[ignore = "needs docker"]
fn a_pair_moves_when_the_node_of_its_server_is_wanted_and_runs_at_its_new_instant() {
    let mut testbed = testbed();
    let (start, to) = moved_from(&mut testbed, "paris-01");
    let server = wait_part(&mut testbed, "server", start, "RESCHEDULED");
    assert_eq!((end(&server).1, at(&server["movedTo"])), ("scavenger", to));
    let moved = format!("alice wants the node's link: a call; moved to {}", instant(to));
    assert_eq!(server["message"], moved.as_str());
    let client = wait_part(&mut testbed, "client", start, "RESCHEDULED");
    let message = client["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "`paris-01`, the node of its server, makes room: alice wants the node's link: a call"
        ),
        "{message}"
    );
    assert!(message.ends_with(&format!("; moved to {}", instant(to))), "{message}");
}

#[test]
#[ignore = "needs docker"]
fn a_pair_moves_when_the_node_of_its_client_is_wanted_and_runs_at_its_new_instant() {
    let mut testbed = testbed();
    let (start, to) = moved_from(&mut testbed, "london-01");
    let client = wait_part(&mut testbed, "client", start, "RESCHEDULED");
    let moved = format!("alice wants the node's link: a call; moved to {}", instant(to));
    assert_eq!(client["message"], moved.as_str());
    // It served until its client had ended.
    let server = wait_part(&mut testbed, "server", start, "COMPLETED");
    assert_eq!((end(&server).1, &server["message"]), ("length_reached", &"its client has ended".into()));
}

#[test]
#[ignore = "needs docker"]
fn a_pair_whose_servers_node_is_wanted_already_is_moved_before_it_begins() {
    let mut testbed = testbed();
    scavenge(&testbed, "paris-01", &["on"]);
    pair().declare(&mut testbed, 6);
    let client = testbed
        .wait_for("the move", |testbed| part(testbed, "client").filter(|run| run["phase"] == "RESCHEDULED"));
    assert!(client["startedAt"].is_null());
    let start = at(&client["scheduledAt"]);
    let server = wait_part(&mut testbed, "server", start, "RESCHEDULED");
    assert_eq!(server["movedTo"], client["movedTo"]);
    scavenge(&testbed, "paris-01", &["off"]);
    wait_served(&mut testbed, at(&client["movedTo"]));
}

/// A container that ends when it is told, and one that does not.
#[test]
#[ignore = "needs docker"]
fn a_container_is_told_within_two_seconds_and_killed_ten_seconds_later() {
    let mut testbed = testbed();
    let start = soon(6);
    write(&testbed, "polite", &Job::once("polite", "london-01", start, "10m", SAYS_WHEN));
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    write(&testbed, "stubborn", &Job::once("stubborn", "paris-01", start, "10m", stubborn));
    testbed.push("what runs");
    for job in ["polite", "stubborn"] {
        let run = testbed.wait_run(job, "RUNNING");
        wait_up(&mut testbed, &run);
    }
    let before = uptime(&std::fs::read_to_string("/proc/uptime").unwrap());
    scavenge(&testbed, "london-01", &["on"]);
    let polite = testbed.wait_run("polite", "RESCHEDULED");
    let told = uptime(log(&testbed, &polite, &[]).lines().nth(1).unwrap()) - before;
    let asked = Utc::now();
    scavenge(&testbed, "paris-01", &["on"]);
    let stubborn = testbed.wait_run("stubborn", "RESCHEDULED");
    let killed = (at(&stubborn["endedAt"]) - asked).as_seconds_f64();
    println!("SIGTERM after {told:.2} s, SIGKILL after {killed:.2} s");
    assert!(told < 2.0, "{told}");
    assert!((10.0..12.5).contains(&killed), "{killed}");
    wait_tidy(&mut testbed, &polite);
    wait_tidy(&mut testbed, &stubborn);
}
