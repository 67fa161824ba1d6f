//! What a run leaves: its log, its artifacts, and `run.json`.

use almanac_proto::log::{Line, Stream, plain};
use almanac_schemas::{Phase, Reason};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Job, World, unpack};

#[test]
fn artifacts_arrive_byte_for_byte() {
    let mut world = World::new();
    let script = r#"
        cd "$ALMANAC_ARTIFACTS"
        mkdir -p results/empty
        printf 'a\0b\377\n' > results/binary
        : > nothing
        seq 1 20000 > numbers
        printf '#!/bin/sh\n' > tool; chmod 750 tool
        ln -s ../numbers results/link
        echo ä > "with space and ä"
    "#;
    let (run, _) = world.run("pack", Job::soon("pack").sh(script));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{:?}", run.last());
    let files = unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
    let found: Vec<(&str, Option<&[u8]>)> =
        files.iter().map(|(name, _, content)| (name.as_str(), content.as_deref())).collect();
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(
        found,
        [
            ("nothing", Some(&b""[..])),
            ("numbers", Some(numbers.as_bytes())),
            ("results", None),
            ("results/binary", Some(&b"a\0b\xff\n"[..])),
            ("results/empty", None),
            // Of links and folders, the harness says no content.
            ("results/link", None),
            ("tool", Some(&b"#!/bin/sh\n"[..])),
            ("with space and ä", Some("ä\n".as_bytes())),
        ]
    );
    assert_eq!(files.iter().find(|(name, ..)| name == "tool").unwrap().1 & 0o777, 0o750);
}

#[test]
fn a_run_without_artifacts_sends_none() {
    let mut world = World::new();
    let (run, log) = world.run("quiet", Job::soon("quiet").sh("true"));
    assert_eq!(log, "");
    assert!(world.file(&run, "run.log").is_some(), "an empty log is a log");
    assert_eq!(world.file(&run, "artifacts.tar.zst"), None);
}

#[test]
fn the_log_holds_output_and_errors_each_in_its_order() {
    let mut world = World::new();
    let script = "for i in $(seq 1 300); do echo out $i; echo err $i >&2; done; printf 'no newline'";
    let (run, _) = world.run("talk", Job::soon("talk").sh(script));
    let log = world.file(&run, "run.log").unwrap();
    // Two pipes have no order between them, whoever reads them.
    for (stream, word, end) in [(Stream::Stdout, "out", "no newline"), (Stream::Stderr, "err", "")] {
        let raw = log.split_inclusive(|byte| *byte == b'\n');
        let mine = raw.filter(|raw| Line::parse(raw).unwrap().stream == stream);
        let mine = plain(&mine.flatten().copied().collect::<Vec<u8>>());
        let lines: String = (1..=300).map(|i| format!("{word} {i}\n")).collect();
        assert_eq!(String::from_utf8(mine).unwrap(), format!("{lines}{end}"));
    }
}

#[test]
fn run_json_says_how_it_ended() {
    let mut world = World::new();
    let (run, _) = world.run("facts", Job::soon("facts").sh("exit 3"));
    let facts: Value = serde_json::from_str(&world.text(&run, "run.json")).unwrap();
    assert_eq!(facts["run"], run.key.0);
    assert_eq!(facts["job"], "facts");
    assert_eq!(facts["phase"], "FAILED");
    assert_eq!(facts["reason"], "exit_code");
    assert_eq!(facts["exitCode"], 3);
    for instant in ["scheduledAt", "startedAt", "endedAt"] {
        assert!(facts[instant].as_str().unwrap().parse::<almanac_schemas::Instant>().is_ok(), "{facts}");
    }
    let skew = facts["startSkew"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&skew), "{facts}");
    assert_eq!(facts["manifest"]["container"]["command"][2], "exit 3");
    assert_eq!(facts["agentVersion"], env!("CARGO_PKG_VERSION"));
    let log = world.file(&run, "run.log").unwrap();
    let sha256: String = Sha256::digest(&log).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(facts["files"], json!([{"name": "run.log", "size": log.len(), "sha256": sha256}]));
    assert!(facts["leftOut"].is_null());
}

#[test]
fn what_cannot_be_packed_is_named_and_the_run_completes() {
    let mut world = World::new();
    let script = "cd \"$ALMANAC_ARTIFACTS\"; echo kept > kept; mkfifo pipe; ln -s /etc/passwd password";
    let (run, _) = world.run("odd", Job::soon("odd").sh(script));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{:?}", run.last());
    let message = "2 entries are not in its artifacts, such as `password`: a symbolic link out of the folder";
    assert_eq!(run.last().message, message);
    let facts: Value = serde_json::from_str(&world.text(&run, "run.json")).unwrap();
    assert_eq!(facts["message"], message);
    let entries = json!([{"path": "password", "why": "link"}, {"path": "pipe", "why": "pipe"}]);
    assert_eq!(facts["leftOut"], json!({"count": 2, "entries": entries}));
    let files = unpack(&world.file(&run, "artifacts.tar.zst").unwrap());
    assert_eq!(files.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["kept"]);
    world.wait_tidy();
}

/// A path of 20,000 bytes can be made step by step, and opened by nobody.
#[test]
fn folders_in_folders_without_end_are_left_out_and_removed() {
    let mut world = World::new();
    let deep = "d".repeat(200);
    let script = format!(
        "cd \"$ALMANAC_ARTIFACTS\"; echo kept > kept; \
         for i in $(seq 100); do mkdir {deep}; cd -P {deep} 2>/dev/null || cd ./{deep}; done"
    );
    let (run, _) = world.run("deep", Job::soon("deep").sh(&script));
    assert_eq!(run.end().map(|(phase, _)| phase), Some(Phase::Completed), "{:?}", run.last());
    assert!(run.last().message.ends_with("its path is too long"), "{:?}", run.last());
    world.wait_tidy();
}

#[test]
fn artifacts_that_are_too_large_fail_the_run_and_its_log_still_arrives() {
    let fill = "head -c 100000 /dev/zero > \"$ALMANAC_ARTIFACTS/zeros\"; echo wrote";
    let mut world = World::new();
    let job = Job::soon("job-limit").sh(fill).spec("artifacts", json!({"maxSize": "64KiB"}));
    let (run, log) = world.run("job-limit", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ArtifactsTooLarge)));
    assert!(run.last().message.contains("65536"), "{}", run.last().message);
    assert_eq!(log, "wrote\n");
    assert_eq!(world.file(&run, "artifacts.tar.zst"), None);

    // The node's own limit holds in any case.
    world.desired.node["limits"] = json!({"artifacts": "32KiB"});
    let job = Job::soon("node-limit").sh(fill).spec("artifacts", json!({"maxSize": "1GiB"}));
    let (run, _) = world.run("node-limit", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ArtifactsTooLarge)));
    assert!(run.last().message.contains("32768"), "{}", run.last().message);
    world.wait_tidy();
}

#[test]
fn a_run_that_failed_by_itself_keeps_its_reason() {
    let mut world = World::new();
    let script = "head -c 100000 /dev/zero > \"$ALMANAC_ARTIFACTS/zeros\"; exit 9";
    let job = Job::soon("both").sh(script).spec("artifacts", json!({"maxSize": "1KiB"}));
    let (run, _) = world.run("both", job);
    assert_eq!(run.end(), Some((Phase::Failed, Reason::ExitCode)));
    assert_eq!(run.last().exit_code, Some(9));
}
