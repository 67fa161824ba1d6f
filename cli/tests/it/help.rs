//! Help texts, and the reference that is made from them.

use std::{fs, path::Path};

use almanac_cli::reference;

use crate::typed::named;

#[test]
fn every_command_says_what_it_does() {
    for (name, help) in reference::helps() {
        insta::assert_snapshot!(named(&format!("help {name}")), help);
    }
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    assert!(
        fs::read_to_string(path).unwrap_or_default() == reference::text(),
        "docs/cli.md is out of date: run `cargo run -p almanac --example cli_reference`"
    );
}
