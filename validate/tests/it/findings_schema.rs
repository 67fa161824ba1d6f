//! The JSON Schemas of findings and of plans that are checked in are what the types say.

use std::{fs, path::Path};

#[test]
fn the_checked_in_schema_of_plans_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/plan.json");
    assert!(
        fs::read_to_string(path).unwrap_or_default() == almanac_validate::render::plan::schema(),
        "schemas/json/plan.json is out of date: run `cargo run -p almanac-validate --example plan_schema`"
    );
}

#[test]
fn the_checked_in_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/findings.json");
    assert!(
        fs::read_to_string(path).unwrap_or_default() == almanac_validate::render::json::schema(),
        "schemas/json/findings.json is out of date: run `cargo run -p almanac-validate --example findings_schema`"
    );
}
