//! Where settings come from. The environment is that of a real process.

use std::{fs, path::Path, process::Command};

use crate::{reconciler::State, typed::Desk};

struct Answer {
    out: String,
    err: String,
    code: Option<i32>,
}

/// Runs the program with a home folder and nothing else in its environment but what is given.
async fn run(home: &Path, environment: &[(&str, &str)], words: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
    command.env_clear().env("HOME", home).envs(environment.iter().copied()).args(words);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
}

fn write(home: &Path, text: &str) {
    let folder = home.join(".config/almanac");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), text).unwrap();
}

const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_before_environment_before_file() {
    let desk = Desk::new(State::default()).await;
    let home = desk.path();
    let whoami = ["whoami"];
    write(home, &format!("server = \"{}\"\nuser = \"alice\"\nkey = \"~/.ssh/id_ed25519\"\n", desk.address));
    let answer = run(home, &[], &whoami).await;
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.out.starts_with("name  alice\n"), "{}", answer.out);

    let answer = run(home, &[("ALMANAC_SERVER", NOWHERE)], &whoami).await;
    assert_eq!(answer.code, Some(4));
    assert!(
        answer.err.starts_with("error: nothing answers at http://127.0.0.1:1: the connection is refused\n")
    );

    let words = ["--server", &desk.address, "whoami"];
    assert_eq!(run(home, &[("ALMANAC_SERVER", NOWHERE)], &words).await.code, Some(0));
    let answer = run(home, &[("ALMANAC_KEY", "/nowhere")], &whoami).await;
    assert!(answer.err.starts_with("error: cannot read the key file /nowhere"), "{}", answer.err);
    let answer = run(home, &[("ALMANAC_USER", "Alice")], &whoami).await;
    assert!(answer.err.contains("`Alice` is not a name"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_says_how_data_is_written_and_may_be_elsewhere() {
    let desk = Desk::new(State::default()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let text = format!("server = \"{}\"\nuser = \"alice\"\noutput = \"json\"\n", desk.address);
    fs::create_dir(elsewhere.path().join("almanac")).unwrap();
    fs::write(elsewhere.path().join("almanac/config.toml"), &text).unwrap();
    let config_home = elsewhere.path().to_str().unwrap();
    let answer = run(desk.path(), &[("XDG_CONFIG_HOME", config_home)], &["whoami"]).await;
    assert!(answer.out.starts_with("{\n  \"name\": \"alice\""), "{}{}", answer.out, answer.err);
    let file = format!("{config_home}/almanac/config.toml");
    let answer = run(desk.path(), &[], &["-o", "yaml", "--config", &file, "whoami"]).await;
    assert!(answer.out.starts_with("name: alice\n"), "{}{}", answer.out, answer.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_wrong_says_where() {
    let desk = Desk::new(State::default()).await;
    write(desk.path(), "user = \"alice\"\nsever = \"http://127.0.0.1:1\"\n");
    let answer = run(desk.path(), &[], &["whoami"]).await;
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.contains("line 2") && answer.err.contains("unknown field `sever`"), "{}", answer.err);
    let answer = run(desk.path(), &[], &["--config", "/nowhere.toml", "whoami"]).await;
    assert!(answer.err.starts_with("error: cannot read the settings in /nowhere.toml"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_assumed() {
    let desk = Desk::new(State::default()).await;
    let answer = run(desk.path(), &[], &["whoami"]).await;
    assert_eq!(answer.code, Some(2));
    let help =
        "help: give `--user NAME` before the command, set ALMANAC_USER, or write `user = \"NAME\"` into ";
    assert!(answer.err.starts_with(&format!("error: it is not known who you are\n{help}")), "{}", answer.err);
}

#[tokio::test]
async fn who_asks_and_whose_runs_are_two_things() {
    let desk = Desk::new(State::default()).await;
    let line = format!("almanac --user alice runs list --user bob --server {}", desk.address);
    let said = desk.type_words(&line).await;
    assert_eq!(said.err, "");
    assert!(desk.reconciler.asked()[0].contains("user: \"bob\""), "{:?}", desk.reconciler.asked());
    let said = desk.type_words(&format!("almanac --server {} --user alice runs list", desk.address)).await;
    assert_eq!(said.err, "");
    assert!(desk.reconciler.asked()[1].contains("user: \"\""), "{:?}", desk.reconciler.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::new(State::default()).await;
    let line = format!(
        "set -o pipefail; '{}' --server {} --user alice -o json runs list | true",
        env!("CARGO_BIN_EXE_almanac"),
        desk.address
    );
    let mut shell = Command::new("bash");
    shell.env("HOME", desk.path()).args(["-c", &line]);
    let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}
