//! What is typed, and what comes of mistakes.

use std::{
    fs,
    process::{Command, Output},
};

fn node(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almanac-node"))
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap()
}

fn fails(arguments: &[&str], message: &str) {
    let output = node(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains(message), "{arguments:?}: {text}");
}

#[test]
fn a_key_is_made_once_and_its_manifest_line_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let path = path.to_str().unwrap();
    let output = node(&["keygen", "--out", path, "--name", "london-01"]);
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("keys: [ssh-ed25519 ") && line.ends_with("]\n"), "{line}");
    let public = fs::read_to_string(format!("{path}.pub")).unwrap();
    let key: Vec<&str> = public.split_whitespace().collect();
    assert!(line.contains(key[1]) && key[2] == "london-01");
    fails(&["keygen", "--out", path], "exists");
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert!(node(&["keygen", "--out", &path("key")]).status.success());
    let with = |key: &str, server: &str, state: &str, message: &str| {
        let arguments = [
            "run",
            "--name",
            "n",
            "--runtime",
            "process",
            "--server",
            server,
            "--key",
            key,
            "--state-dir",
            state,
        ];
        fails(&arguments, message);
    };
    let server = "http://127.0.0.1:1";
    with(&path("none"), server, &path("s"), "cannot read the key file");
    with(&path("key.pub"), server, &path("s"), "name the private one");
    with(&path("key"), "nonsense", &path("s"), "expected `http://HOST:PORT`");
    with(&path("key"), "http://testbed.example.org:7600", &path("s"), "use https://");
    with(&path("key"), server, &path("key/s"), "--state-dir");
    fails(&["run", "--name", "n"], "`server` is not given");
    fs::write(path("c.toml"), "sever = \"x\"").unwrap();
    fails(&["run", "--config", &path("c.toml")], "unknown field `sever`");
    fails(&["run", "--name", "Not A Name"], "is not a name");
}
