//! The JSON Schemas under `schemas/json/` are what the types say.

use std::{fs, path::Path};

#[test]
fn the_checked_in_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    for (name, text) in almanac_schemas::json_schema::files() {
        let found = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            found == text,
            "schemas/json/{name} is out of date: run `cargo run -p almanac-schemas --example json_schemas`"
        );
    }
}
