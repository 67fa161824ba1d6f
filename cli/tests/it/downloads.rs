//! Files of runs: continued, checked, unpacked.

use std::{fs, path::PathBuf};

use almanac_cli::Exit;

use crate::{
    reconciler::{COMPLETED, File, State},
    typed::Desk,
};

const TO: &str = "runs download 8d86 --to";

/// Content that compresses badly and shows where it was cut.
fn content() -> Vec<u8> {
    (0..10_000_u32).flat_map(u32::to_le_bytes).collect()
}

struct Download {
    desk: Desk,
    folder: PathBuf,
}

impl Download {
    async fn new(state: State) -> Self {
        let desk = Desk::new(state).await;
        let folder = desk.path().join("results").join(COMPLETED);
        Self { desk, folder }
    }

    async fn run(&self, options: &str) -> crate::typed::Said {
        self.desk.type_(&format!("{TO} {}/results {options}", self.desk.path().display())).await
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }

    /// The offsets that were asked for.
    fn offsets(&self) -> Vec<String> {
        let asked = self.desk.reconciler.asked();
        let offsets = asked.iter().filter_map(|question| Some(question.split_once("offset: ")?.1.to_owned()));
        offsets.map(|rest| rest.trim_end_matches(" }").to_owned()).collect()
    }
}

fn one(file: File) -> State {
    State { files: vec![file], ..State::default() }
}

#[tokio::test]
async fn files_arrive_whole_and_are_not_fetched_twice() {
    let mut server = File::new("run.log", b"listening\n");
    server.announced.role = almanac_proto::v1::Role::Server.into();
    let files = vec![File::new("data.bin", &content()), File::new("empty", b""), server];
    let download = Download::new(State { files, ..State::default() }).await;
    insta::assert_snapshot!("downloaded", download.run("").await);
    assert_eq!(download.read("data.bin"), content());
    assert_eq!(download.read("empty"), b"");
    assert_eq!(download.read("server/run.log"), b"listening\n");
    insta::assert_snapshot!("present", download.run("-o json").await);
    assert_eq!(download.offsets(), ["0", "0", "0"]);
    assert!(!download.folder.join("data.bin.part").exists());
}

#[tokio::test]
async fn what_was_cut_off_is_continued() {
    let state = State { breaks: [7_000].into(), ..one(File::new("data.bin", &content())) };
    let download = Download::new(state).await;
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Unavailable);
    assert!(said.err.contains("cannot answer now: the reconciler is stopping"), "{said}");
    assert_eq!(download.read("data.bin.part"), content()[..7_000]);
    assert!(!download.folder.join("data.bin").exists());
    let said = download.run("").await;
    assert!(said.out.contains("resumed"), "{said}");
    assert_eq!(download.read("data.bin"), content());
    assert_eq!(download.offsets(), ["0", "7000"]);
}

#[tokio::test]
async fn the_beginning_of_something_else_is_thrown_away() {
    let download = Download::new(one(File::new("data.bin", &content()))).await;
    fs::create_dir_all(&download.folder).unwrap();
    fs::write(download.folder.join("data.bin.part"), [7; 5_000]).unwrap();
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert_eq!(download.read("data.bin"), content());
    assert_eq!(download.offsets(), ["5000", "0"]);

    fs::write(download.folder.join("data.bin"), "changed by hand").unwrap();
    fs::write(download.folder.join("data.bin.part"), [7; 50_000]).unwrap();
    download.run("").await;
    assert_eq!(download.read("data.bin"), content());
    assert_eq!(download.offsets()[2..], ["0"]);
}

#[tokio::test]
async fn damaged_content_never_gets_its_name() {
    let mut file = File::new("data.bin", &content());
    file.content[20_000] ^= 1;
    let download = Download::new(one(file)).await;
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("data.bin does not have the SHA-256 it was stored with"), "{said}");
    assert_eq!(fs::read_dir(&download.folder).unwrap().count(), 0);

    let mut file = File::new("data.bin", &content());
    file.content.truncate(39_000);
    download.desk.reconciler.state.lock().unwrap().files = vec![file];
    let said = download.run("").await;
    assert!(said.err.contains("data.bin has 39000 bytes, and 40000 were announced"), "{said}");
    let mut file = File::new("data.bin", &content());
    file.content.resize(80_000, 0);
    download.desk.reconciler.state.lock().unwrap().files = vec![file];
    fs::remove_file(download.folder.join("data.bin.part")).unwrap();
    let said = download.run("").await;
    assert!(said.err.contains("and 40000 were announced"), "{said}");
}

#[tokio::test]
async fn names_do_not_lead_out_of_the_folder() {
    for name in ["../escape", "/tmp/escape", "a/b", "..", ""] {
        let download = Download::new(one(File::new(name, b"x"))).await;
        let said = download.run("").await;
        assert_eq!(said.exit, Exit::Failed);
        assert!(said.err.contains(&format!("`{name}` is not a plain file name")), "{said}");
        assert!(!download.folder.exists());
    }
}

#[tokio::test]
async fn archives_are_unpacked() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    tar.append_data(&mut header, "inner/rtt.csv", &b"1,2,3"[..]).unwrap();
    let archive = zstd::encode_all(&tar.into_inner().unwrap()[..], 0).unwrap();
    let files = vec![File::new("artifacts.tar.zst", &archive)];
    let download = Download::new(State { files, ..State::default() }).await;
    for _ in 0..2 {
        let said = download.run("--extract").await;
        assert!(said.out.trim_end().ends_with(&format!("~/results/{COMPLETED}/artifacts")), "{said}");
        assert_eq!(download.read("artifacts/inner/rtt.csv"), b"1,2,3");
    }

    let broken = File::new("artifacts.tar.zst", b"no archive");
    download.desk.reconciler.state.lock().unwrap().files = vec![broken];
    let said = download.run("--extract").await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("cannot unpack"), "{said}");
    assert_eq!(download.read("artifacts/inner/rtt.csv"), b"1,2,3");
}

#[tokio::test]
async fn several_runs_are_downloaded_and_each_problem_is_said() {
    let download = Download::new(one(File::new("run.log", b"x"))).await;
    let to = download.desk.path().join("results");
    let said =
        download.desk.type_(&format!("runs download 8d86 ffff {COMPLETED} --to {}", to.display())).await;
    insta::assert_snapshot!("several", said);
    let line = format!("runs download --phase completed --to {}", to.display());
    insta::assert_snapshot!("by_filter", download.desk.type_(&line).await);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let download = Download::new(one(File::new("run.log", b"x"))).await;
    fs::write(download.desk.path().join("results"), "a file").unwrap();
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Failed);
    insta::assert_snapshot!("no_folder", said);
}
