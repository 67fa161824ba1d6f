//! The hook for pre-commit at the root of the repository.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_yaml::Value;

#[test]
fn the_hook_runs_a_script_of_this_repository_for_the_files_that_count() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let hooks = fs::read_to_string(root.join(".pre-commit-hooks.yaml")).unwrap();
    let hooks: Value = serde_yaml::from_str(&hooks).unwrap();
    let hook = &hooks[0];
    let entry = root.join(hook["entry"].as_str().unwrap());
    assert_ne!(fs::metadata(&entry).unwrap().permissions().mode() & 0o111, 0, "it can be run");
    // All manifests are checked together: a change of one may be a conflict with another.
    assert_eq!(hook["pass_filenames"], Value::Bool(false));
    let files = jsonschema::options()
        .build(&serde_json::json!({ "pattern": hook["files"].as_str().unwrap() }))
        .unwrap();
    for (file, counts) in [
        ("jobs/a.yaml", true),
        ("b.yml", true),
        (".almanacignore", true),
        ("README.md", false),
        ("a.yaml.orig", false),
    ] {
        assert_eq!(files.is_valid(&serde_json::json!(file)), counts, "{file}");
    }
}
