//! The machine-readable forms are valid by the schemas that others have published, with findings and
//! without any. The schemas are in the sources of crates that tests depend on; none is copied here.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use almanac_validate::{
    Report, Source,
    render::{json, junit::junit, sarif::sarif},
};
use serde_json::Value;

use crate::formats::{checked, hostile};

/// Trees with findings of all sorts, with none, and with no file at all.
fn reports() -> Vec<(Report, Vec<Arc<Source>>)> {
    let user = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";
    let mut nowhere = checked(&[("a.yaml", "a: [")]);
    nowhere.0.findings[0].location = None;
    vec![hostile(), checked(&[("a.yaml", user)]), checked(&[]), nowhere]
}

/// A file of the sources of a crate that this one depends on.
fn file_of(package: &str, file: &str) -> PathBuf {
    let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let arguments = ["metadata", "--format-version=1", "--locked", "--filter-platform", &platform];
    let output =
        Command::new(env!("CARGO")).current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|found| found["name"] == package).unwrap();
    Path::new(found["manifest_path"].as_str().unwrap()).with_file_name("").join(file)
}

fn assert_valid(schema: &Value, document: &str) {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}

#[test]
fn sarif_is_valid_by_the_standard() {
    let schema = fs::read_to_string(file_of("serde-sarif", "src/schema.json")).unwrap();
    // A slip of the standard: a bracket that was never opened, which the validator refuses to read.
    let schema = schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["$id"].as_str().unwrap().ends_with("/sarif-schema-2.1.0.json"), "{}", schema["$id"]);
    for (report, sources) in reports() {
        for root in ["", "test bed", "/somewhere"] {
            let text = sarif(&report, &sources, Path::new(root));
            assert_valid(&schema, &text);
            let log: serde_sarif::sarif::Sarif = serde_json::from_str(&text).unwrap();
            assert_eq!(log.runs[0].results.as_ref().map(Vec::len), Some(report.findings.len()));
        }
    }
}

#[test]
fn json_is_valid_by_its_own_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/findings.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for (report, sources) in reports() {
        assert_valid(&schema, &json::json(&report, sources.len()));
    }
}

#[test]
#[ignore = "needs xmllint"]
fn junit_is_valid_by_the_schema_of_jenkins() {
    let schema = file_of("junit-report", "tests/JUnit.xsd");
    for (report, sources) in reports() {
        let text = junit(&report, &sources, Path::new(""));
        let mut lint = Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .args([&schema, Path::new("-")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        lint.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = lint.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    }
}
