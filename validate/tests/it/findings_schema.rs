//! The JSON Schema of findings that is checked in is what the types say.

use std::{fs, path::Path};

#[test]
fn the_checked_in_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/findings.json");
    assert!(
        fs::read_to_string(path).unwrap_or_default() == almanac_validate::render::json::schema(),
        "schemas/json/findings.json is out of date: run `cargo run -p almanac-validate --example findings_schema`"
    );
}
