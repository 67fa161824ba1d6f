//! What is read of a folder, and what is not.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use almanac_validate::{WalkError, check, walk};

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn manifests_are_found_and_everything_else_is_passed_over_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "b/x.yml", "");
    write(root, "a.yaml", "");
    write(root, "README.md", "not a manifest");
    write(root, ".github/ci.yaml", "on: push");
    write(root, ".almanacignore", "charts/\n*.tmpl.yaml\nignored-link\n");
    write(root, "charts/values.yaml", "}");
    write(root, "b/y.tmpl.yaml", "}");
    write(root, "b/large.yaml", " ".repeat((1 << 20) + 1));
    write(root, "sub/.git", "gitdir: ../.git/modules/sub");
    write(root, "sub/z.yaml", "}");
    symlink(root.join("b"), root.join("loop")).unwrap();
    symlink("nowhere", root.join("ignored-link")).unwrap();
    write(root, std::ffi::OsStr::from_bytes(b"bad\xff.yaml").to_string_lossy().as_ref(), "");
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"worse\xff.yaml")), "").unwrap();

    let sources = walk(root).unwrap();
    let paths: Vec<_> = sources.iter().map(|source| source.path()).collect();
    assert_eq!(
        paths,
        ["a.yaml", "b/large.yaml", "b/x.yml", "bad\u{fffd}.yaml", "loop", "sub", "worse\u{fffd}.yaml"]
    );
    let report = check(&sources, "2026-11-24T00:00:00Z".parse().unwrap());
    let rules: Vec<_> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["file-too-large", "symbolic-link", "submodule", "file-name"]);
    assert!(!report.sound);
}

#[test]
fn a_linked_list_of_exclusions_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "list", "a.yaml\n");
    write(root, "a.yaml", "");
    symlink(root.join("list"), root.join(".almanacignore")).unwrap();
    let paths: Vec<_> = walk(root).unwrap().iter().map(|source| source.path().to_owned()).collect();
    assert_eq!(paths, [".almanacignore", "a.yaml"]);
}

#[test]
fn what_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", "");
    assert!(matches!(walk(&folder.path().join("a.yaml")), Err(WalkError::NotAFolder(_))));
    assert!(matches!(walk(&folder.path().join("nothing")), Err(WalkError::Unreadable { .. })));
}
