//! Journals of versions before: an agent takes each over with all that it held, and nothing is lost or runs twice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use almanac_schemas::{Phase, Reason};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection, migrate::Migrator};

use crate::harness::{Job, World};

/// What an agent must not lose, whatever it does meanwhile: rows that do not change any more, until a reconciler hears of them.
const LASTING: [(&str, &str); 4] =
    [("events", "true"), ("uploads", "true"), ("runs", "stage = 'finished'"), ("instructions", "true")];

/// The migrations, the oldest first.
fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn open(journal: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", journal.display())).await.unwrap()
}

async fn texts(journal: &mut SqliteConnection, query: String) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(journal).await.unwrap()
}

/// Puts a journal aside, and one of a version before in its place: with what that version knew of what an agent wrote. Returns
/// where the one before is.
async fn age(journal: &Path, migrations: &[PathBuf]) -> PathBuf {
    let aside = tempfile::tempdir_in(journal.parent().unwrap().parent().unwrap()).unwrap().keep();
    for ending in ["", "-wal", "-shm"] {
        let name = format!("journal.sqlite{ending}");
        let _ = fs::rename(journal.with_file_name(&name), aside.join(&name));
    }
    let before = aside.join("journal.sqlite");
    // What a killed agent left in its log becomes part of the file.
    open(&before).await.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in migrations {
        fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let mut aged = open(journal).await;
    Migrator::new(folder.path().to_owned()).await.unwrap().run(&mut aged).await.unwrap();
    let attach = format!("ATTACH '{}' AS before", before.display());
    aged.execute(AssertSqlSafe(attach)).await.unwrap();
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sqlite%'
                  AND name NOT LIKE '%sqlx%' ORDER BY name";
    for table in texts(&mut aged, tables.to_owned()).await {
        let columns =
            texts(&mut aged, format!("SELECT name FROM pragma_table_info('{table}', 'main')")).await;
        let columns = columns.join(", ");
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM before.{table}");
        aged.execute(AssertSqlSafe(copy)).await.unwrap();
    }
    let numbers = "DELETE FROM main.sqlite_sequence;
                   INSERT INTO main.sqlite_sequence SELECT * FROM before.sqlite_sequence";
    aged.execute(numbers).await.unwrap();
    aged.close().await.unwrap();
    // Notes would make up for what is lost.
    fs::remove_dir_all(journal.with_file_name("notes")).unwrap();
    before
}

/// How many rows there were that have to stay, and those that are not there as they were.
async fn lost(before: &Path, journal: &Path, of_that_version: &[String]) -> (usize, Vec<String>) {
    let mut now = open(journal).await;
    let attach = format!("ATTACH '{}' AS before", before.display());
    now.execute(AssertSqlSafe(attach)).await.unwrap();
    let (mut count, mut lost) = (0, Vec::new());
    for (table, which) in LASTING {
        if !of_that_version.iter().any(|known| known == table) {
            continue;
        }
        let columns = texts(&mut now, format!("SELECT name FROM pragma_table_info('{table}', 'main')")).await;
        let row: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
        let row = row.join(" || ', ' || ");
        let rows = |of: &str| format!("SELECT {row} FROM {of}.{table} WHERE {which}");
        count += texts(&mut now, rows("before")).await.len();
        let missing = format!("{} EXCEPT {}", rows("before"), rows("main"));
        lost.extend(texts(&mut now, missing).await.into_iter().map(|row| format!("{table}: {row}")));
    }
    let strays = texts(&mut now, "SELECT \"table\" FROM pragma_foreign_key_check".to_owned()).await;
    assert!(strays.is_empty(), "{strays:?}");
    now.close().await.unwrap();
    (count, lost)
}

#[test]
fn a_journal_of_each_version_is_taken_over_with_all_that_it_held() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut world = World::new();
    let script = format!("echo $ALMANAC_RUN >> {}; echo out; echo kept > file", world.path("ran").display());
    world.declare([Job::every_second("tick").sh(&script)]);
    world.start();
    world.wait_ended("tick", 1);
    world.reconciler.vanish();
    let journal = world.state_dir().join("journal.sqlite");
    let all = migrations();
    for known in 1..=all.len() {
        let version = all[known - 1].file_stem().unwrap().to_str().unwrap();
        // There is always something new that only the journal knows.
        let ran = world.lines("ran").len();
        world.wait("runs", |world| (world.lines("ran").len() >= ran + 2).then_some(()));
        world.kill();
        let before = runtime.block_on(age(&journal, &all[..known]));
        let tables = runtime.block_on(async {
            texts(&mut open(&journal).await, "SELECT name FROM sqlite_schema WHERE type = 'table'".to_owned())
                .await
        });
        let ran = world.lines("ran").len();
        world.start();
        world.wait("runs after it", |world| (world.lines("ran").len() >= ran + 2).then_some(()));
        world.kill();
        let (count, lost) = runtime.block_on(lost(&before, &journal, &tables));
        assert!(count >= 6, "{version}: {count} rows are none to speak of");
        assert!(lost.is_empty(), "{version}: {lost:#?}");
        world.start();
    }

    // All of it arrives, each once.
    world.reconciler.come_back();
    let ran = world.lines("ran");
    let runs = world.wait_told("everything", |record| {
        let runs = record.runs("tick");
        let ended = |id: &String| runs.iter().any(|run| run.key.0 == *id && run.end().is_some());
        ran.iter().all(ended).then_some(runs)
    });
    for id in &ran {
        assert_eq!(ran.iter().filter(|other| *other == id).count(), 1, "{id} ran more than once");
    }
    let done = Some((Phase::Completed, Reason::ExitCode));
    let whole = runs.iter().filter(|run| run.end() == done).collect::<Vec<_>>();
    assert!(whole.len() >= 2 * all.len(), "{} of {} ended well", whole.len(), runs.len());
    for run in whole {
        world.wait("its log", |world| (world.log(run) == "out\n").then_some(()));
    }
    assert!(
        !fs::read_dir(world.state_dir())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("corrupt") })
    );
}
