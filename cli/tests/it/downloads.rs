//! Files of runs: continued, checked, unpacked.

use std::{fs, path::PathBuf};

use almanac_cli::Exit;

use crate::{
    reconciler::{COMPLETED, File, RUNNING, State},
    typed::Desk,
};

const TO: &str = "runs download 8d86 --to";

/// Content that compresses badly and shows where it was cut, too large to come with others.
fn content() -> Vec<u8> {
    (0..20_000_u32).flat_map(u32::to_le_bytes).collect()
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
    assert_eq!(download.offsets(), ["0"], "small ones come together");
    let asked = download.desk.reconciler.asked();
    assert_eq!(asked.iter().filter(|question| question.starts_with("DownloadFiles")).count(), 1);
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
    fs::write(download.folder.join("data.bin.part"), [7; 90_000]).unwrap();
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
    file.content.truncate(79_000);
    download.desk.reconciler.state.lock().unwrap().files = vec![file];
    let said = download.run("").await;
    assert!(said.err.contains("data.bin has 79000 bytes, and 80000 were announced"), "{said}");
    let mut file = File::new("data.bin", &content());
    file.content.resize(160_000, 0);
    download.desk.reconciler.state.lock().unwrap().files = vec![file];
    fs::remove_file(download.folder.join("data.bin.part")).unwrap();
    let said = download.run("").await;
    assert!(said.err.contains("and 80000 were announced"), "{said}");
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

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    use std::os::unix::fs::symlink;
    let small = File::new("run.log", b"64 bytes\n");
    let state = State { files: vec![File::new("data.bin", &content()), small], ..State::default() };
    let download = Download::new(state).await;
    let outside = download.desk.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("mine"), "as it was").unwrap();
    // Where files and their parts go; one that is what it should be counts no more.
    fs::create_dir_all(&download.folder).unwrap();
    fs::write(outside.join("same"), content()).unwrap();
    symlink(outside.join("same"), download.folder.join("data.bin")).unwrap();
    for name in ["data.bin.part", "run.log.part", "run.log"] {
        symlink(outside.join("mine"), download.folder.join(name)).unwrap();
    }
    symlink(outside.join("mine"), download.folder.with_file_name("runs.json.part")).unwrap();
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert_eq!(download.read("data.bin"), content());
    assert!(!fs::symlink_metadata(download.folder.join("data.bin")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(outside.join("mine")).unwrap(), "as it was");

    // A pipe is not waited for, and makes room.
    fs::remove_file(download.folder.join("run.log")).unwrap();
    let pipe = download.folder.join("run.log");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(download.run("").await.exit, Exit::Done);
    assert_eq!(download.read("run.log"), b"64 bytes\n");

    // The folder of the run itself.
    fs::remove_dir_all(&download.folder).unwrap();
    symlink(&outside, &download.folder).unwrap();
    let said = download.run("--extract").await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("is not a folder, so nothing is written there"), "{said}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
}

#[tokio::test]
async fn a_named_run_without_files_is_said() {
    let desk = Desk::new(State { files: Vec::new(), ..State::default() }).await;
    for (run, why) in [
        (RUNNING, "is RUNNING and has no files: they come when it has ended\n"),
        (COMPLETED, "is COMPLETED and has no files\n"),
    ] {
        let said = desk.type_(&format!("runs download {run} --to {}/results", desk.path().display())).await;
        assert_eq!(said.exit, Exit::Done, "{said}");
        assert!(said.err.contains(&format!("run {run} {why}")), "{said}");
    }
}

#[tokio::test]
async fn a_reconciler_that_has_too_many_calls_is_asked_again() {
    let state = State { too_many: 3, ..one(File::new("run.log", b"x")) };
    let download = Download::new(state).await;
    let said = download.run("").await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert_eq!(download.read("run.log"), b"x");
}

#[tokio::test]
async fn small_files_are_checked_one_by_one() {
    let mut bad = File::new("bad.log", b"damaged");
    bad.content[0] ^= 1;
    let files = vec![File::new("a.log", b"a"), bad, File::new("z.log", b"z"), File::new("run.json", b"{}")];
    let download = Download::new(State { files, ..State::default() }).await;
    let said = download.run("--only *.log").await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("bad.log does not have the SHA-256"), "{said}");
    let mut there: Vec<_> =
        fs::read_dir(&download.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["a.log", "z.log"]);
}

#[tokio::test]
async fn links_within_an_archive_are_unpacked() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    tar.append_data(&mut header, "rtt.csv", &b"1,2,3"[..]).unwrap();
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "latest.csv", "rtt.csv").unwrap();
    let archive = zstd::encode_all(&tar.into_inner().unwrap()[..], 0).unwrap();
    let download = Download::new(one(File::new("artifacts.tar.zst", &archive))).await;
    assert_eq!(download.run("--extract").await.exit, Exit::Done);
    assert_eq!(download.read("artifacts/latest.csv"), b"1,2,3");
}

/// What a download says on a full disk, and what it leaves there.
#[tokio::test]
#[ignore = "needs root"]
async fn a_full_disk_is_said_and_nothing_is_half_there() {
    let files = vec![File::new("a.log", &[1; 60_000]), File::new("b.log", &[2; 60_000])];
    let download = Download::new(State { files, ..State::default() }).await;
    let disk = download.desk.path().join("results");
    fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).arg(&disk).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    mount(&["-t", "tmpfs", "-o", "size=100k", "tmpfs"]);
    let said = download.run("").await;
    let names = |folder: &std::path::Path| -> Vec<_> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let left = names(&download.folder);
    mount(&["-o", "remount,size=8m"]);
    let again = download.run("").await;
    let whole = (download.read("a.log"), download.read("b.log"));
    assert!(std::process::Command::new("umount").arg(&disk).status().unwrap().success());
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("No space left on device") && said.err.contains("free some space"), "{said}");
    assert_eq!(left, ["a.log"]);
    assert_eq!(again.exit, Exit::Done, "{again}");
    assert!(whole == (vec![1; 60_000], vec![2; 60_000]));
}
