//! Downloads that are ended in the middle.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
    object_store::S3,
    wait_for,
};
use sha2::{Digest, Sha256};

use crate::stores::on_s3;

/// What the job leaves, which no compression makes smaller: 64 MiB.
const SCRIPT: &str = "head -c 67108864 /dev/urandom > data; sha256sum < data";

/// How long a download may take to get on.
const LIMIT: Duration = Duration::from_secs(60);

/// The archive of the run, or what there is of it.
fn archive(to: &Path, id: &str, part: &str) -> PathBuf {
    to.join(id).join(format!("artifacts.tar.zst{part}"))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Ends a download by one signal after the other, and sees it go on where it was.
fn is_ended_and_goes_on(testbed: &mut Testbed) {
    testbed.start_agent("london-01");
    let job = Job::once("large", "london-01", soon(2), "30s", SCRIPT).yaml();
    testbed.repository.write("jobs/large.yaml", job);
    testbed.push("large");
    let run = testbed.wait_run("large", "COMPLETED");
    let id = run["id"].as_str().unwrap();
    let to = testbed.folder().join("fetched");
    let (part, whole) = (archive(&to, id, ".part"), archive(&to, id, ""));
    let mut there = 0;
    let mut signals = ["-KILL", "-INT", "-TERM", "-KILL"].into_iter().peekable();
    let mut too_late = 0;
    while let Some(signal) = signals.peek() {
        let mut command = testbed.almanac_command("bob", &testbed.server());
        command.args(["runs", "download", "--job", "large", "--to"]).arg(&to);
        let mut download = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the download to get on", LIMIT, || {
            (length(&part) > there || download.try_wait().unwrap().is_some()).then_some(())
        });
        let ended = Command::new("kill").args([*signal, &download.id().to_string()]).status().unwrap();
        assert!(ended.success());
        let status = download.wait().unwrap();
        if status.success() {
            // The signal came too late, on a busy machine. Once more, from the start.
            too_late += 1;
            assert!(too_late < 20, "it is too fast to be ended");
            fs::remove_dir_all(&to).unwrap();
            there = 0;
            continue;
        }
        assert!(status.signal().is_some(), "{status}");
        signals.next();
        assert!(!whole.exists(), "half a file has the name of a whole one");
        assert!(length(&part) >= there, "nothing that arrived is lost");
        there = length(&part);
    }
    let fetched = testbed.json("bob", &["runs", "download", id, "--extract", "--to", to.to_str().unwrap()]);
    let fetched = fetched.as_array().unwrap().iter().find(|file| file["name"] == "artifacts.tar.zst");
    assert_eq!(fetched.unwrap()["state"], "resumed");
    assert!(!part.exists());
    let content = fs::read(to.join(id).join("artifacts/data")).unwrap();
    let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let log = testbed.almanac("bob", &["runs", "logs", id]).stdout;
    assert!(String::from_utf8(log).unwrap().starts_with(&hash));
    let index = fs::read_to_string(to.join("runs.csv")).unwrap();
    assert_eq!(index.lines().filter(|line| line.contains(id)).count(), 1, "{index}");
}

#[test]
fn one_through_the_reconciler_is_ended_and_goes_on() {
    is_ended_and_goes_on(&mut Testbed::start(Runtime::Process));
}

#[test]
fn one_from_the_store_itself_is_ended_and_goes_on() {
    let s3 = S3::start();
    is_ended_and_goes_on(&mut on_s3(&s3));
}
