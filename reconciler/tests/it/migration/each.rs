//! Each version since both engines have the same ones.

use std::{fs, time::Duration};

use almanac_proto::v1::{self, Phase, TaskState};
use sqlx::Connection;
use tokio::time::timeout;

use crate::harness::{Tables, Testbed, Version, instant, run_id};

/// The version from whose rows on each next one's are kept.
const BASE: &str = "retention";

/// The tables that came since.
const SINCE: [&str; 4] = ["scavengings", "reservations", "tasks", "surroundings"];

/// What is declared in every version since.
const DECLARED: &str = include_str!("../data/versions/testbed.yaml");

/// Orbits, as they are kept: packed.
const ORBITS: &str = "two lines of a satellite";

/// What a version wrote; nothing for one before [`BASE`], whose rows the base has.
fn rows(testbed: &Testbed, version: &Version, commit: &str) -> Option<String> {
    let file = format!("{}/tests/it/data/versions/{}.sql", env!("CARGO_MANIFEST_DIR"), version.name);
    let content: String = zstd::bulk::compress(ORBITS.as_bytes(), 0)
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let content = match testbed.database().starts_with("sqlite") {
        true => format!("X'{content}'"),
        false => format!("'\\x{content}'::bytea"),
    };
    let rows = fs::read_to_string(file).ok()?.replace("COMMIT", commit).replace("CONTENT", &content);
    Some(with_keys(testbed, rows))
}

fn with_keys(testbed: &Testbed, mut text: String) -> String {
    for name in ["alice", "bob", "london-01", "paris-01"] {
        let key = fs::read_to_string(testbed.folder().join(format!("{name}.pub"))).unwrap();
        text = text.replace(&format!("KEY_OF_{name}"), key.trim());
    }
    text
}

/// A testbed whose database is of a version, and holds what that version and those before it wrote.
async fn testbed_of(versions: &[Version]) -> (Testbed, String) {
    let testbed = Testbed::prepare();
    for folder in ["users", "nodes"] {
        fs::remove_dir_all(testbed.repository.clone_path().join(folder)).unwrap();
    }
    testbed.repository.write("testbed.yaml", with_keys(&testbed, DECLARED.to_owned()));
    let commit = testbed.repository.push("everything");
    Version::write(testbed.database(), versions, |version| rows(&testbed, version, &commit)).await;
    (testbed, commit)
}

/// What a node's stream begins with, until it was told of orbits and tasks.
async fn told(testbed: &Testbed, node: &str, is_all: impl Fn(&Told) -> bool) -> Told {
    let mut stream = testbed.watch(node).await;
    let mut told = Told::default();
    while !is_all(&told) {
        let message = timeout(Duration::from_secs(60), stream.message()).await;
        let message = message.expect("a message in time").unwrap().expect("the stream goes on");
        told.snapshot = message.snapshot.or(told.snapshot);
        told.instructions = message.instructions.or(told.instructions);
        told.tasks = message.tasks.or(told.tasks);
        told.orbits = message.orbits.or(told.orbits);
    }
    told
}

#[derive(Debug, Default)]
struct Told {
    snapshot: Option<v1::Snapshot>,
    instructions: Option<v1::Instructions>,
    tasks: Option<v1::Tasks>,
    orbits: Option<v1::Orbits>,
}

/// Each version of the engine that the tests run on, with what it and those before it wrote, is taken over by the program
/// as it is, which serves it.
#[tokio::test]
async fn what_each_version_wrote_is_kept_and_served() {
    let all = Version::all(Testbed::prepare().database());
    let base = all.iter().position(|version| version.name == BASE).unwrap();
    for count in base + 1..=all.len() {
        let version = &all[count - 1].name;
        let (mut testbed, commit) = testbed_of(&all[..count]).await;
        let before = Tables::read(testbed.database()).await;
        if count == all.len() {
            assert!(SINCE.iter().all(|table| before.count(table) > 0), "{version}");
        } else {
            // Whoever adds a version says what the one before it wrote into what it brought.
            let rows = rows(&testbed, &all[count - 1], &commit);
            assert!(rows.is_some(), "data/versions/{version}.sql is missing");
        }
        testbed.serve().await;
        testbed.wait_applied(&commit).await;
        serves(&testbed, &before, version).await;
        testbed.take_daemon().terminate().await;
        assert_eq!(before.lost(testbed.database()).await, <[String; 0]>::default(), "{version}");
        keeps_references(&testbed, version).await;

        // And what is lost would be seen.
        let mut database = Tables::connect(testbed.database()).await;
        sqlx::query("UPDATE kept_runs SET reason = 'another'").execute(&mut database).await.unwrap();
        database.close().await.unwrap();
        assert_eq!(before.lost(testbed.database()).await.len(), 1, "{version}");
    }
}

/// What was written before is what is told now.
async fn serves(testbed: &Testbed, before: &Tables, version: &str) {
    let wrote = |table: &str| before.count(table) > 0;
    let alice = || testbed.ask("alice");
    let syncs = alice().list_syncs(v1::ListSyncsRequest::default()).await.unwrap().into_inner().syncs;
    assert_eq!(syncs.len(), 2, "{version}: what it wrote is what this one would: {syncs:?}");

    // What every version knew.
    let ping = |at: &str| run_id("ping", "london-01", instant(at));
    let run = testbed.run(&ping("2030-01-01T05:00:00Z")).await.run.unwrap();
    assert_eq!(
        (run.phase(), run.kept.unwrap().reason.as_str()),
        (Phase::Completed, "for a paper"),
        "{version}"
    );
    let request = v1::GetNodeRequest { name: "paris-01".to_owned() };
    let paris = alice().get_node(request).await.unwrap().into_inner().node.unwrap();
    assert_eq!(paris.cordon.unwrap().reason, "a new dish", "{version}");
    let london =
        told(testbed, "london-01", |told| told.instructions.is_some() && told.orbits.is_some()).await;
    let snapshot = london.snapshot.unwrap();
    assert_eq!(
        (snapshot.epoch.as_str(), snapshot.generation),
        ("7c1e5f0a-0000-4000-8000-000000000001", 7),
        "{version}"
    );
    let instructions = london.instructions.unwrap();
    let cancelled: Vec<_> = instructions.cancellations.iter().map(|it| it.run_id.clone()).collect();
    assert_eq!(cancelled, [ping("2030-01-01T06:00:00Z")], "{version}");

    // What came with versions since.
    let scavenging = instructions.scavenging.map(|scavenging| scavenging.reason);
    assert_eq!(scavenging.as_deref(), wrote("scavengings").then_some("a call"), "{version}");
    let moved: Vec<_> =
        instructions.moves.iter().map(|moved| (moved.job.as_str(), moved.to.unwrap().seconds)).collect();
    let to = instant("2030-01-01T12:30:00Z");
    let expected: &[_] = if wrote("reservations") { &[("survey", to.timestamp())] } else { &[] };
    assert_eq!(moved, expected, "{version}");
    if wrote("reservations") {
        let survey = run_id("survey", "london-01", instant("2030-01-01T12:00:00Z"));
        let survey = testbed.run(&survey).await.run.unwrap();
        assert_eq!(
            (survey.phase(), survey.moved_to.unwrap().seconds),
            (Phase::Rescheduled, to.timestamp()),
            "{version}"
        );
    }
    let tasks = told(testbed, "paris-01", |told| told.tasks.is_some()).await.tasks.unwrap().tasks;
    let tasks: Vec<_> = tasks.iter().map(|task| (task.run_id.clone(), task.state())).collect();
    let expected = wrote("tasks").then(|| (run_id("survey", "london-01", to), TaskState::Ready));
    assert_eq!(tasks, expected.into_iter().collect::<Vec<_>>(), "{version}");
    let orbits = london.orbits.unwrap();
    let text = match orbits.tle_zstd.is_empty() {
        true => String::new(),
        false => String::from_utf8(zstd::bulk::decompress(&orbits.tle_zstd, 1 << 20).unwrap()).unwrap(),
    };
    assert_eq!(text, if wrote("surroundings") { ORBITS } else { "" }, "{version}");
}

/// Rows that belong to others still do, and none can be written that belongs to none.
async fn keeps_references(testbed: &Testbed, version: &str) {
    let mut database = Tables::connect(testbed.database()).await;
    let stray = "INSERT INTO findings (sync_id, position, rule, severity, message, file, line, col, end_line, end_col, help)
                 VALUES (999, 0, '', '', '', '', 0, 0, 0, 0, '')";
    let refused = sqlx::query(stray).execute(&mut database).await.unwrap_err();
    assert!(refused.as_database_error().unwrap().is_foreign_key_violation(), "{version}: {refused}");
    if testbed.database().starts_with("sqlite") {
        let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut database).await.unwrap();
        assert!(strays.is_empty(), "{version}");
    }
    database.close().await.unwrap();
}
