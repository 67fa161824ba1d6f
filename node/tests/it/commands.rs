//! What a command finds: its environment, its files, and its arguments.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{Job, World};

#[test]
fn it_finds_out_what_it_is_part_of() {
    let mut world = World::new();
    let at = Utc::now() + TimeDelta::milliseconds(500);
    let job = Job::once("probe", at)
        .length("90s")
        .container("env", json!({"STREAMS": "4", "TARGET": "$(ALMANAC_NODE).example.org", "ALMANAC_ROLE": "boss"}))
        .sh("env; cat \"$ALMANAC_CONFIG\" > config.yaml; cat \"$(dirname \"$ALMANAC_CONFIG\")/run.json\" > run.json")
        .spec("config", json!({"target": "192.0.2.1", "sizes": [64, 1500], "nested": {"deep": true}}));
    let (run, log) = world.run("probe", job);
    let env: BTreeMap<&str, &str> = log.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(env["ALMANAC_JOB"], "probe");
    assert_eq!(env["ALMANAC_NODE"], world.node.as_str());
    assert_eq!(env["ALMANAC_RUN"], run.key.0);
    assert_eq!(env["ALMANAC_ROLE"], "client");
    assert_eq!(env["ALMANAC_LENGTH"], "90");
    assert_eq!(env["STREAMS"], "4");
    assert_eq!(env["TARGET"], format!("{}.example.org", world.node));
    let scheduled_at: almanac_schemas::Instant = env["ALMANAC_SCHEDULED_AT"].parse().unwrap();
    assert_eq!(scheduled_at.0, run.scheduled_at());

    let files = crate::harness::unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
    let file = |name: &str| {
        let (_, _, content) = files.iter().find(|(found, ..)| found == name).unwrap();
        String::from_utf8(content.clone().unwrap()).unwrap()
    };
    let config: Value = serde_yaml::from_str(&file("config.yaml")).unwrap();
    assert_eq!(config, json!({"target": "192.0.2.1", "sizes": [64, 1500], "nested": {"deep": true}}));
    let facts: Value = serde_json::from_str(&file("run.json")).unwrap();
    assert_eq!(facts["run"], run.key.0);
    assert_eq!(facts["job"], "probe");
    assert_eq!(facts["node"], world.node.as_str());
    assert_eq!(facts["role"], "client");
    assert_eq!(facts["length"], 90);
    assert_eq!(facts["scheduledAt"], env["ALMANAC_SCHEDULED_AT"]);
}

#[test]
fn variables_in_arguments_are_expanded() {
    let mut world = World::new();
    let script = "for argument; do echo \"[$argument]\"; done";
    let job = Job::soon("expand").container("env", json!({"SIZE": "64"})).container(
        "command",
        json!([
            "sh",
            "-c",
            script,
            "sh",
            "$(ALMANAC_JOB)-$(SIZE)",
            "$$(SIZE)",
            "$(UNKNOWN)",
            "$SIZE",
            "a b  c",
            ""
        ]),
    );
    let (_, log) = world.run("expand", job);
    assert_eq!(log, "[expand-64]\n[$(SIZE)]\n[$(UNKNOWN)]\n[$SIZE]\n[a b  c]\n[]\n");
}
