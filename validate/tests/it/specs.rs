//! One file of `specs/` per rule, beside its page: the cases that nobody needs to read about it.

use std::{fs, path::PathBuf};

use super::book;

#[test]
fn every_spec_holds() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/specs");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let rule = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let cases = book::execute(&path);
        let shown = cases.iter().any(|case| case.printed.contains(&format!("[{rule}]")));
        assert!(shown, "{} does not show `{rule}`", path.display());
    }
}
