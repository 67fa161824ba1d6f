//! Where settings come from, and what is said about them.

use std::{fs, process::Command};

use crate::harness::{Ended, Testbed};

fn config(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
    command.arg("config").args(arguments);
    command
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let testbed = Testbed::prepare();
    let file = testbed.folder().join("reconciler.toml");
    fs::write(&file, "repo = \"/file\"\nbranch = \"file\"\nname = \"file\"\n[limits]\nburst = 7\n").unwrap();
    let mut command = config(&["show", "--format", "json", "--branch", "flag"]);
    command
        .env("ALMANAC_RECONCILER_CONFIG", &file)
        .env("ALMANAC_RECONCILER_BRANCH", "environment")
        .env("ALMANAC_RECONCILER_NAME", "environment")
        .env("ALMANAC_RECONCILER_LOG", "")
        .env("ALMANAC_RECONCILER_DATABASE", "sqlite:///environment")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let shown: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let row = |name: &str| shown.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    for (name, value, origin) in [
        ("repo", "/file", "file"),
        ("branch", "flag", "flag"),
        ("name", "environment", "environment"),
        ("database", "sqlite:///environment", "environment"),
        ("log", "info", "default"),
        ("otlp-endpoint", "http://127.0.0.1:4317", "environment"),
        ("limits.burst", "7", "file"),
        ("limits.streams-per-node", "4", "default"),
    ] {
        assert_eq!((&row(name)["value"], &row(name)["origin"]), (&value.into(), &origin.into()), "{name}");
    }
    assert_eq!(row("tls-cert")["value"], serde_json::Value::Null);

    let ended =
        Ended::of(config(&["show", "--database", "sqlite:///b"]).env("ALMANAC_RECONCILER_REPO", "/a"));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let column = lines[0].find("FROM").unwrap();
    let repo = lines.iter().find(|line| line.starts_with("repo ")).unwrap();
    assert_eq!(&repo[column..], "environment (ALMANAC_RECONCILER_REPO)");
}

#[test]
fn a_secret_that_stands_where_its_place_should_is_not_shown() {
    let testbed = Testbed::prepare();
    let file = testbed.folder().join("reconciler.toml");
    fs::write(&file, "git-token = \"canary-1\"\n[[notify]]\nname = \"a\"\nkind = \"github\"\nrepository = \"a/b\"\nsecret = \"canary-2\"\n").unwrap();
    for format in ["text", "json"] {
        let ended = Ended::of(
            config(&["show", "--format", format, "--webhook-github", "canary-3"]).arg("--config").arg(&file),
        );
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("canary") && said.contains("***"), "{said}");
    }
}

#[test]
fn check_says_everything_that_is_wrong_at_once() {
    let testbed = Testbed::prepare();
    let file = testbed.folder().join("reconciler.toml");
    fs::write(&file, "repository = \"/a\"\npoll-interval = \"soon\"\n[limits]\nbrust = 1\n").unwrap();
    let said = Ended::refusal(
        config(&["check", "--listen", "0.0.0.0:7600", "--tls-cert", "/c"])
            .arg("--config")
            .arg(&file)
            .env("ALMANAC_RECONCILER_LOG_FORMAT", "xml"),
    );
    for part in [
        "reconciler.toml: unknown key `repository`; did you mean `repo`?",
        "`poll-interval` in ",
        "did you mean `burst`?",
        "`--repo` is missing",
        "ALMANAC_RECONCILER_DATABASE",
        "`ALMANAC_RECONCILER_LOG_FORMAT` is wrong",
        "`--tls-cert` and `--tls-key` go together",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.lines().all(|line| line.starts_with("error: ")), "{said}");

    fs::write(&file, "repo = \"/a\"\ndatabase = \"sqlite:///b\"\n").unwrap();
    let ended = Ended::of(config(&["check"]).arg("--config").arg(&file));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("reconciler.toml") && ended.stdout.lines().count() == 1);
}

#[test]
fn the_help_names_the_variables() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
    let ended = Ended::of(
        command.args(["serve", "--help"]).env("ALMANAC_RECONCILER_DATABASE", "postgres://a:hunter2@b/c"),
    );
    // Where a line breaks depends on the terminal.
    let help = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in almanac_reconciler::config::SETTINGS {
        assert!(help.contains(&format!("[env: {}]", setting.variable)), "{}", setting.name);
        assert!(help.contains(&format!("--{}", setting.name)), "{}", setting.name);
    }
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
}
