//! The example testbed is one that could be put in force.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("experiments/testbed")
}

#[test]
fn the_example_testbed_validates_cleanly() {
    let output = Command::new(almanac_tests::binary("almanac-validate"))
        .args(["check", "--now", "2026-12-01T00:00:00Z"])
        .arg(folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("nothing found"), "{said}");
}

/// Their server is not there, and their key is another: what counts is that an agent understands every line.
#[test]
fn the_settings_of_its_hosts_are_understood() {
    let scratch = tempfile::tempdir().unwrap();
    let key = scratch.path().join("node.key");
    let keygen = Command::new(almanac_tests::binary("almanac-node"))
        .args(["keygen", "--out"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(keygen.status.success(), "{}", String::from_utf8_lossy(&keygen.stderr));
    let files: Vec<_> =
        fs::read_dir(folder().join("hosts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let output = Command::new(almanac_tests::binary("almanac-node"))
            .args(["doctor", "--output", "json", "--server", "http://127.0.0.1:1", "--config"])
            .arg(&file)
            .arg("--key")
            .arg(&key)
            .arg("--state-dir")
            .arg(scratch.path().join("state"))
            .output()
            .unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let settings = checks.iter().find(|check| check["check"] == "configuration").unwrap();
        assert_eq!(settings["health"], "good", "{}: {settings}", file.display());
        let node = file.file_stem().unwrap().to_str().unwrap();
        assert!(settings["found"].as_str().unwrap().contains(&format!("`{node}`")), "{settings}");
        assert!(folder().join("nodes").join(node).with_extension("yaml").is_file(), "{node}");
    }
}
