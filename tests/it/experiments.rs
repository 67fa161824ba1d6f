//! The example testbed is one that could be put in force.

use std::{path::Path, process::Command};

#[test]
fn the_example_testbed_validates_cleanly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("experiments/testbed");
    let output = Command::new(almanac_tests::binary("almanac-validate"))
        .args(["check", "--now", "2026-12-01T00:00:00Z"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("nothing found"), "{said}");
}
