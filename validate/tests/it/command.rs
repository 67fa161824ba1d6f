//! The command: what it prints and how it ends.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const NOW: [&str; 2] = ["--now", "2026-11-24T00:00:00Z"];

pub(crate) const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_almanac-validate");
    Command::new(program).current_dir(folder).args(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What was printed, without the time that it took.
pub(crate) fn untimed(text: &str) -> String {
    let Some((findings, rest)) = text.rsplit_once(" checked in ") else { return text.to_owned() };
    let end = rest.find([',', ':']).unwrap();
    let (number, unit) = rest[..end].split_once(' ').unwrap();
    assert!(number.parse::<f64>().is_ok() && ["ms", "s"].contains(&unit), "{text}");
    format!("{findings} checked{}", &rest[end..])
}

pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        fs::write(folder.path().join(path), text).unwrap();
    }
    folder
}

#[test]
fn a_clean_folder_ends_with_0() {
    let folder = folder(&[("alice.yaml", USER)]);
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("1 file checked in "));
    assert_eq!(untimed(text(&output.stdout)), "1 file checked, nothing found\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_folder_without_manifests_is_told_from_one_without_mistakes() {
    let output = run(folder(&[("README.md", "")]).path(), &["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).starts_with("note: there is no `*.yaml` or `*.yml` below `"));
    assert_eq!(text(&run(folder(&[("a.yaml", "")]).path(), &["check"]).stderr), "");
}

#[test]
fn findings_end_with_1_and_paths_can_be_opened() {
    let folder = folder(&[("alice.yaml", &USER.replace("{}", "{ teem: a }"))]);
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "error[unknown-field]: unknown field `teem`\n --> alice.yaml:4:9\n";
    assert!(text(&output.stdout).starts_with(expected), "{}", text(&output.stdout));
    assert!(!text(&output.stdout).contains('\u{1b}'), "colours without a terminal");

    let root = folder.path().to_str().unwrap();
    let output = run(Path::new("/"), &["check", root]);
    assert!(text(&output.stdout).contains(&format!("--> {root}/alice.yaml:4:9")), "{}", text(&output.stdout));
}

#[test]
fn warnings_alone_end_with_0() {
    let node = "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alice }\n";
    let job = "apiVersion: almanac/v1\nkind: Job\nmetadata: { name: j }\nspec:\n  owner: alice\n  nodes: [n]\n  \
               schedule: { at: 2020-01-01T00:00:00Z, length: 1m }\n  container: { image: x }\n";
    let folder = folder(&[("a.yaml", USER), ("b.yaml", node), ("c.yaml", job)]);
    let output = run(folder.path(), &["check", NOW[0], NOW[1]]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with("warning[schedule-past]"));
    assert!(untimed(text(&output.stdout)).ends_with("3 files checked: 1 warning\n"));
    let earlier = run(folder.path(), &["check", "--now", "2019-01-01T00:00:00Z"]);
    assert!(text(&earlier.stdout).ends_with("nothing found\n"), "{}", text(&earlier.stdout));
}

#[test]
fn json_has_every_field() {
    let folder = folder(&[("a.yaml", USER), ("b.yaml", USER)]);
    let output = run(folder.path(), &["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        document,
        serde_json::json!({
            "findings": [{
                "rule": "duplicate-name",
                "severity": "error",
                "message": "the user `alice` is declared twice",
                "file": "b.yaml", "line": 3, "column": 19, "endLine": 3, "endColumn": 24,
                "related": [{
                    "message": "first declared here",
                    "file": "a.yaml", "line": 3, "column": 19, "endLine": 3, "endColumn": 24,
                }],
                "notes": [],
                "help": "rename or remove one of them",
                "fix": null,
            }],
            "summary": { "files": 2, "errors": 1, "warnings": 0, "silenced": 0 },
        })
    );
}

#[test]
fn what_is_silenced_is_counted_and_in_no_output() {
    let node = "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alice }\n";
    let job = "# almanac: allow(schedule-past) an example\napiVersion: almanac/v1\nkind: Job\nmetadata: { name: j }\n\
               spec:\n  owner: alice\n  nodes: [n]\n  schedule: { at: 2020-01-01T00:00:00Z, length: 1m }\n  \
               container: { image: x }\n";
    let folder = folder(&[("a.yaml", USER), ("b.yaml", node), ("c.yaml", job)]);
    let output = run(folder.path(), &["check", NOW[0], NOW[1]]);
    assert_eq!(untimed(text(&output.stdout)), "3 files checked, nothing found (1 warning silenced)\n");
    let output = run(folder.path(), &["check", NOW[0], NOW[1], "--format", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = serde_json::json!({ "files": 3, "errors": 0, "warnings": 0, "silenced": 1 });
    assert_eq!(document, serde_json::json!({ "findings": [], "summary": summary }));
}

#[test]
fn json_has_fixes() {
    let folder = folder(&[("a.yaml", &USER.replace("{}", "{ teem: a }"))]);
    let output = run(folder.path(), &["check", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        document["findings"][0]["fix"],
        serde_json::json!({
            "message": "rename `teem` to `team`",
            "edits": [{
                "file": "a.yaml", "line": 4, "column": 9, "endLine": 4, "endColumn": 13,
                "replacement": "team",
            }],
        })
    );
}

#[test]
fn what_cannot_run_ends_with_2() {
    let folder = folder(&[("a.yaml", USER)]);
    let nowhere = run(folder.path(), &["check", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert_eq!(text(&nowhere.stdout), "");
    assert_eq!(
        text(&nowhere.stderr),
        "error: cannot read `nowhere`: No such file or directory (os error 2)\n"
    );
    assert_eq!(run(folder.path(), &["check", "a.yaml"]).status.code(), Some(2));
    let wrong = run(folder.path(), &["check", "--now", "tomorrow"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("`tomorrow` is not an instant"), "{}", text(&wrong.stderr));
    assert_eq!(run(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn rules_are_listed_in_columns_that_fit() {
    let output = run(Path::new("/"), &["explain"]);
    assert_eq!(output.status.code(), Some(0));
    let list = text(&output.stdout);
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    for rule in almanac_validate::Rule::ALL {
        let line = list.lines().find(|line| line.starts_with(&format!("{rule} "))).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(rule.severity().as_str()));
    }
}

#[test]
fn a_page_is_shown_without_its_markup() {
    for rule in almanac_validate::Rule::ALL {
        let output = run(Path::new("/"), &["explain", rule.as_str()]);
        let page = text(&output.stdout);
        assert!(page.starts_with(&format!("{rule}\n\n")), "{page}");
        assert!(page.contains("\nWhat fails\n") && page.contains(&format!("[{rule}]")), "{page}");
        assert!(!page.contains("```") && !page.contains("\n#"), "{page}");
    }
    let wrong = run(Path::new("/"), &["explain", "croon"]);
    assert_eq!(wrong.status.code(), Some(2));
    let expected = "there is no rule `croon` (did you mean `cron`?)";
    assert!(text(&wrong.stderr).contains(expected), "{}", text(&wrong.stderr));
}
