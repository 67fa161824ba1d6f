//! `runs.csv` and `runs.json` of a download, and tables of runs: CSV, JSON and Parquet.

use std::{fs, path::Path};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde_json::Value;

use almanac_cli::{Exit, record::COLUMNS};

use crate::{
    reconciler::{COMPLETED, File, State, at},
    typed::Desk,
};

fn files() -> Vec<File> {
    vec![File::new("run.json", b"{}"), File::new("run.log", b"1\n")]
}

async fn desk() -> Desk {
    Desk::new(State { files: files(), ..State::default() }).await
}

/// The rows of a table, strictly: each has as many fields as the header.
fn rows(csv: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(csv);
    assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn field<'a>(row: &'a [String], name: &str) -> &'a str {
    &row[COLUMNS.iter().position(|column| *column == name).unwrap()]
}

fn index(to: &Path) -> (Vec<Vec<String>>, Vec<Value>) {
    let json = serde_json::from_slice(&fs::read(to.join("runs.json")).unwrap()).unwrap();
    (rows(&fs::read(to.join("runs.csv")).unwrap()), json)
}

#[tokio::test]
async fn a_download_leaves_an_index_that_later_ones_add_to() {
    let desk = desk().await;
    let to = desk.path().join("results");
    let download =
        async |line: &str| desk.type_(&format!("runs download {line} --to {}", to.display())).await;
    assert_eq!(download("8d86 --only run.log").await.exit, Exit::Done);
    let (csv, json) = index(&to);
    assert_eq!((csv.len(), json.len()), (1, 1));
    let row = |name| field(&csv[0], name);
    assert_eq!(
        (row("run"), row("phase"), row("exit_code"), row("kept")),
        (COMPLETED, "COMPLETED", "0", "true")
    );
    assert_eq!((row("scheduled_at"), row("duration_s")), ("2027-01-10T11:45:00.000000Z", "60"));
    assert_eq!((row("start_skew_ms"), row("image"), row("message")), ("12.345", "almanac/probe:1", ""));
    assert_eq!((row("files"), row("sizes")), (&*format!("{COMPLETED}/run.log"), "2"));
    assert_eq!((&json[0]["files"][0]["size"], &json[0]["message"]), (&2.into(), &Value::Null));

    // What is there stays; what was removed by hand does not.
    assert_eq!(download("--phase completed,failed,missed --only *.json").await.exit, Exit::Done);
    let (csv, json) = index(&to);
    let phases: Vec<_> = csv.iter().map(|row| field(row, "phase")).collect();
    assert_eq!(phases, ["FAILED", "MISSED", "COMPLETED"], "in the order of time");
    assert_eq!(field(&csv[2], "files"), format!("{COMPLETED}/run.json;{COMPLETED}/run.log"));
    assert_eq!(field(&csv[2], "sizes"), "2;2");
    assert_eq!(json.len(), 3);
    fs::remove_file(to.join(COMPLETED).join("run.log")).unwrap();
    download("8d86 --only run.json").await;
    assert_eq!(field(&index(&to).0[2], "files"), format!("{COMPLETED}/run.json"));
    let there: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there.len(), 3, "{there:?}");
}

#[tokio::test]
async fn a_file_that_is_no_index_is_not_replaced() {
    let desk = desk().await;
    for (name, content) in [("runs.csv", "my own,table\n1,2\n"), ("runs.json", "{}")] {
        let to = desk.path().join(name.replace('.', "-"));
        fs::create_dir(&to).unwrap();
        fs::write(to.join(name), content).unwrap();
        let said = desk.type_(&format!("runs download 8d86 --to {}", to.display())).await;
        assert_eq!(said.exit, Exit::Usage, "{said}");
        assert!(said.err.contains(&format!("{name} is not an index that a download wrote")), "{said}");
        assert_eq!(fs::read_to_string(to.join(name)).unwrap(), content);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1, "nothing was fetched");
    }
    // Another download holds the folder.
    let to = desk.path().join("held");
    fs::create_dir(&to).unwrap();
    let held = fs::File::open(&to).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let said = desk.type_(&format!("runs download 8d86 --to {}", to.display())).await;
    assert!(said.err.contains("another download into ~/held is under way"), "{said}");
    drop(held);
    assert_eq!(desk.type_(&format!("runs download 8d86 --to {}", to.display())).await.exit, Exit::Done);
}

#[tokio::test]
async fn files_that_have_expired_are_said_and_not_listed() {
    let mut gone = File::new("run.log", b"1\n");
    gone.announced.expired_at = at("2027-01-10T11:59:00Z");
    gone.announced.kept_for_seconds = 90 * 86_400;
    let desk = Desk::new(State { files: vec![gone.clone()], ..State::default() }).await;
    let to = desk.path().join("results");
    let said = desk.type_(&format!("runs download 8d86 --to {}", to.display())).await;
    assert_eq!(said.exit, Exit::Negative);
    insta::assert_snapshot!("expired", said);
    let said = desk.type_(&format!("runs download --phase completed --to {}", to.display())).await;
    assert_eq!(said.exit, Exit::Done);
    assert!(said.err.contains("expired and not there any more: 1 file of 1 run"), "{said}");
    assert_eq!(field(&index(&to).0[0], "files"), "");
    insta::assert_snapshot!("expired_shown", desk.type_("runs show 8d86").await);
    // Where another file is left, that one comes.
    desk.reconciler.state.lock().unwrap().files.push(File::new("run.json", b"{}"));
    let said = desk.type_(&format!("runs download 8d86 --to {}", to.display())).await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert_eq!(field(&index(&to).0[0], "files"), format!("{COMPLETED}/run.json"));
}

#[tokio::test]
async fn runs_are_exported_as_what_a_download_would_list() {
    for most in [None, Some(1)] {
        let desk = Desk::new(State { files: files(), most, ..State::default() }).await;
        let said = desk.type_("runs export").await;
        assert_eq!((said.exit, said.err.as_str()), (Exit::Done, ""));
        let csv = rows(said.out.as_bytes());
        let phases: Vec<_> = csv.iter().map(|row| field(row, "phase")).collect();
        assert_eq!(phases, ["RUNNING", "COMPLETED", "MISSED", "FAILED"]);
        assert_eq!(field(&csv[1], "files"), format!("{COMPLETED}/run.json;{COMPLETED}/run.log"));
        assert_eq!(field(&csv[2], "message"), "the agent was not running");

        let json = desk.type_("runs export --format json").await.out;
        let json: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(json.len(), 4);
        assert_eq!(json[1]["start_skew_ms"], 12.345);
        assert_eq!(desk.type_("runs export --phase aborted --format json").await.out, "[]\n");
        let said = desk.type_("runs export --limit 2").await;
        assert_eq!(rows(said.out.as_bytes()).len(), 2);
        assert!(said.err.contains("`--limit 0` exports all"), "{said}");
        assert_eq!(desk.type_("runs export --limit 4").await.err, "");
    }
}

#[tokio::test]
async fn parquet_has_types() {
    let desk = desk().await;
    let refused = desk.type_("runs export --format parquet").await;
    assert_eq!((refused.exit, refused.out.as_str()), (Exit::Usage, ""), "the desk is a terminal");
    let to = desk.path().join("runs.parquet");
    let said = desk.type_(&format!("runs export --format parquet --to {}", to.display())).await;
    assert_eq!((said.exit, said.err.as_str()), (Exit::Done, "wrote 4 runs to ~/runs.parquet\n"));
    let reader = SerializedFileReader::new(fs::File::open(&to).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<_> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, COLUMNS);
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4);
    let place = |name: &str| COLUMNS.iter().position(|column| *column == name).unwrap();
    let done = &rows[1];
    assert_eq!(done.get_string(place("run")).unwrap(), COMPLETED);
    let noon = at("2027-01-10T11:45:00Z").unwrap().seconds * 1_000_000;
    assert_eq!(done.get_timestamp_micros(place("scheduled_at")).unwrap(), noon);
    assert_eq!(done.get_int(place("exit_code")).unwrap(), 0);
    assert_eq!(done.get_double(place("duration_s")).unwrap(), 60.0);
    assert!(done.get_bool(place("kept")).unwrap());
    assert!(rows[2].get_int(place("exit_code")).is_err(), "what is absent is null");
    assert!(rows[2].get_timestamp_micros(place("started_at")).is_err());
    assert_eq!(rows[2].get_string(place("message")).unwrap(), "the agent was not running");
}

#[tokio::test]
async fn an_export_that_fails_leaves_the_file_as_it_was() {
    let desk = desk().await;
    let to = desk.path().join("runs.csv");
    fs::write(&to, "of yesterday").unwrap();
    desk.reconciler.state.lock().unwrap().refusal = Some(tonic::Status::unavailable("not now"));
    let said = desk.type_(&format!("runs export --to {}", to.display())).await;
    assert_eq!(said.exit, Exit::Unavailable);
    assert_eq!(fs::read_to_string(&to).unwrap(), "of yesterday");
    assert!(!to.with_file_name("runs.csv.part").exists());
    desk.reconciler.state.lock().unwrap().refusal = None;
    desk.type_(&format!("runs export --to {}", to.display())).await;
    assert_eq!(rows(&fs::read(&to).unwrap()).len(), 4);
    let said =
        desk.type_(&format!("runs export --to {}", desk.path().join("no/such/folder.csv").display())).await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("cannot write ~/no/such/folder.csv"), "{said}");
}
