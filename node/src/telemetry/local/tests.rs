use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _};

use almanac_schemas::trigger::Value;

use super::{source::ask, *};

fn settings(toml: &str) -> Result<LocalSettings, toml::de::Error> {
    toml::from_str(toml)
}

fn source(toml: &str) -> SourceSettings {
    settings(&format!("[x]\n{toml}")).unwrap().remove(&LocalName::try_from("x".to_owned()).unwrap()).unwrap()
}

fn sh(script: &str, rest: &str) -> SourceSettings {
    source(&format!("command = [\"sh\", \"-c\", {}]\n{rest}", serde_json::to_string(script).unwrap()))
}

async fn said(settings: &SourceSettings) -> Result<Sample, String> {
    let name = LocalName::try_from("x".to_owned()).unwrap();
    ask(&name, settings).await.map_err(|error| chain(&error))
}

#[test]
fn settings_say_what_makes_no_sense() {
    for (toml, problem) in [
        ("[modem]\ncommand = []", "`command` is empty"),
        ("[modem]\nfile = \"data.json\"", "absolute"),
        ("[modem]", "either `command"),
        ("[modem]\ncommand = [\"a\"]\nfile = \"/b\"", "either `command"),
        ("[modem]\nfile = \"/b\"\nevery = \"100ms\"", ""),
        ("[modem]\nfile = \"/b\"\nevery = \"0s\"", "from 1s"),
        ("[modem]\nfile = \"/b\"\nevery = \"5s\"\ndeadline = \"6s\"", "`deadline`"),
        ("[modem]\nfile = \"/b\"\nshell = true", "unknown field"),
        ("[Modem]\nfile = \"/b\"", "no name of a source"),
        ("[my-modem]\nfile = \"/b\"", "no name of a source"),
    ] {
        let error = settings(toml).unwrap_err().to_string();
        assert!(error.contains(problem), "{toml}: {error}");
    }
    let all = settings("[modem]\ncommand = [\"a\", \"b\"]\nevery = \"5s\"\n[gps]\nfile = \"/run/gps.json\"")
        .unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(source("file = \"/b\"\nevery = \"2m\"").deadline(), Duration::from_secs(10));
    assert_eq!(source("file = \"/b\"\nevery = \"2s\"").deadline(), Duration::from_secs(2));
}

#[tokio::test]
async fn a_command_says_numbers() {
    let json = r#"echo '{"rsrp": -95.5, "cell": {"id": 7, "up time": 3}, "roaming": true, "name": "x", "list": [1], "none": null}'"#;
    let sample = said(&sh(json, "")).await.unwrap();
    let expected = [("x_cell_id", 7.0), ("x_cell_up_time", 3.0), ("x_roaming", 1.0), ("x_rsrp", -95.5)];
    let expected: Sample =
        expected.into_iter().map(|(name, number)| (name.to_owned(), Value::Number(number))).collect();
    assert_eq!(sample, expected);
}

#[tokio::test]
async fn a_command_that_does_not_is_said_to() {
    let deep = format!("echo '{}1{}'", "{\"a\":".repeat(20), "}".repeat(20));
    let many: Vec<String> = (0..300).map(|number| format!("\"k{number}\":1")).collect();
    let many = format!("echo '{{{}}}'", many.join(","));
    for (script, problem) in [
        ("echo no", "no JSON object"),
        ("echo 7", "no JSON object"),
        ("", "no JSON object"),
        ("echo '{\"a\": \"b\"}'", "no number"),
        ("echo '{\"a\": 1e999}'", "no JSON object"),
        ("echo out of order >&2; exit 3", "exit status: 3: out of order"),
        ("kill -9 $$", "signal: 9"),
        ("head -c 200000 /dev/zero", "more than 65536 bytes"),
        ("yes", "more than 65536 bytes"),
        (&deep, "deep"),
        (&many, "more than 256"),
    ] {
        let why = said(&sh(script, "")).await.unwrap_err();
        assert!(why.contains(problem), "{script}: {why}");
    }
    let why = said(&source("command = [\"/nonexistent/program\"]")).await.unwrap_err();
    assert!(why.contains("/nonexistent/program cannot be run"), "{why}");
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let why = said(&sh(&script, "every = \"1s\"\ndeadline = \"1s\"")).await.unwrap_err();
    assert!(why.contains("deadline of 1 s"), "{why}");
    let pid = fs::read_to_string(pid).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    // Killed; whoever inherits it removes what is left.
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_file_says_numbers_and_what_is_none_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gps.json");
    let file = source(&format!("file = \"{}\"", path.display()));
    assert!(said(&file).await.unwrap_err().contains("gps.json cannot be read"));
    fs::write(&path, "{\"satellites\": 9}").unwrap();
    assert_eq!(said(&file).await.unwrap()["x_satellites"], Value::Number(9.0));
    fs::File::create(&path).unwrap().write_all(&vec![b' '; 70_000]).unwrap();
    assert!(said(&file).await.unwrap_err().contains("more than 65536"));
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(said(&file).await.unwrap_err().contains("no file"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn one_that_fails_leaves_the_others() {
    let all = settings("[good]\ncommand = [\"echo\", '{\"a\": 1}']\n[bad]\ncommand = [\"false\"]").unwrap();
    let mut local = Local::new(&all).unwrap();
    assert_eq!(local.every(), Duration::from_secs(10));
    assert_eq!(local.ask().await.unwrap().keys().collect::<Vec<_>>(), ["good_a"]);
    let mut bad = Local::new(&settings("[bad]\ncommand = [\"false\"]").unwrap()).unwrap();
    assert!(bad.ask().await.unwrap_err().0.starts_with("`bad`: the command ended with"), "it is named");
    assert!(Local::new(&LocalSettings::new()).is_none());
}
