//! `almanac-node keygen`: a key, and the line that declares it.

use std::{fs, os::unix::fs::PermissionsExt};

use almanac_proto::Identity;
use almanac_schemas::PublicKey;

use crate::harness::{command, output};

#[test]
fn it_writes_a_key_that_its_owner_alone_can_read_and_prints_the_line_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("london-01");
    let mut keygen = command();
    keygen.args(["keygen", "--name", "london-01", "--out"]).arg(&path);
    let done = output(keygen);
    assert!(done.status.success(), "{done:?}");

    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("pub")), 0o644);
    let identity = Identity::read(&path, "london-01".parse().unwrap(), "almanac").unwrap();
    let public: PublicKey = fs::read_to_string(path.with_extension("pub")).unwrap().trim().parse().unwrap();
    assert_eq!(*identity.public_key(), public);

    // It can be pasted below `spec:` as it is.
    let stdout = String::from_utf8(done.stdout).unwrap();
    let printed: serde_json::Value = serde_yaml::from_str(&stdout).unwrap();
    let line = printed["keys"][0].as_str().unwrap();
    assert_eq!(line.parse::<PublicKey>().unwrap(), public);
    assert!(line.ends_with(" london-01"), "{line}");
}

#[test]
fn an_existing_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "precious").unwrap();
    let mut keygen = command();
    keygen.args(["keygen", "--out"]).arg(&path);
    let refused = output(keygen);
    assert!(!refused.status.success());
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains(path.to_str().unwrap()) && stderr.contains("exists"), "{stderr}");
    assert!(refused.stdout.is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(!path.with_extension("pub").exists());
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere").join("key");
    let mut keygen = command();
    keygen.args(["keygen", "--out"]).arg(&path);
    let refused = output(keygen);
    assert!(!refused.status.success());
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains(path.parent().unwrap().to_str().unwrap()), "{stderr}");
}
