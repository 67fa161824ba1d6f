//! Where the files of runs go: a folder, Azure and S3.

use std::{fs, path::Path, time::Duration};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
    object_store::{Azurite, RESULTS, S3},
};
use sha2::{Digest, Sha256};

/// Leaves 6 MiB that no compression makes smaller, and says their hash.
const SCRIPT: &str = "head -c 6291456 /dev/urandom > data; sha256sum < data";

/// Runs a job on a testbed whose agent holds no secret, and fetches what it left.
fn a_run_is_fetched(testbed: &mut Testbed, secrets: &[&str]) -> String {
    testbed.start_agent_with("london-01", &["--log", "trace"]);
    testbed
        .repository
        .write("jobs/large.yaml", Job::once("large", "london-01", soon(2), "20s", SCRIPT).yaml());
    testbed.push("large");
    let run = testbed.wait_run("large", "COMPLETED");
    let id = run["id"].as_str().unwrap();
    let shown = testbed.json("bob", &["runs", "show", id]);
    let path = shown["artifacts"].as_array().unwrap().iter().find(|file| file["name"] == "artifacts.tar.zst");
    let path = path.unwrap()["path"].as_str().unwrap().to_owned();
    let at: chrono::DateTime<chrono::Utc> = run["scheduledAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(path, format!("london-01/large/{}/{id}/artifacts.tar.zst", at.format("%Y/%m/%d")));

    assert_fetched_whole(testbed, id);

    // The node never sees what opens the store.
    let agent = testbed.agent_log("london-01");
    assert!(agent.contains("TRACE"), "it says all that it ever says");
    for secret in secrets {
        assert!(!agent.contains(secret), "a secret is in the agent's log");
        for path in files(&testbed.state_dir("london-01")) {
            // A socket has no content.
            let Ok(content) = fs::read(&path) else { continue };
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", path.display());
        }
        for name in ["environ", "cmdline"] {
            let content = fs::read(format!("/proc/{}/{name}", testbed.agent_id("london-01"))).unwrap();
            assert!(
                !content.windows(secret.len()).any(|window| window == secret.as_bytes()),
                "a secret is in its {name}"
            );
        }
    }
    path
}

/// Fetches what a run left, and compares it with the hash that the run wrote.
fn assert_fetched_whole(testbed: &Testbed, id: &str) {
    let to = testbed.folder().join("fetched");
    let output = testbed.almanac("bob", &["runs", "download", id, "--extract", "--to", to.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = files(&to).into_iter().find(|path| path.file_name().unwrap() == "data").unwrap();
    let hash: String =
        Sha256::digest(fs::read(data).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let log = String::from_utf8(testbed.almanac("bob", &["runs", "logs", id]).stdout).unwrap();
    assert!(log.starts_with(&hash), "{log}");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A secret in a file of the reconciler's.
fn secret(testbed: &Testbed, name: &str, secret: &str) -> String {
    let path = testbed.folder().join(name);
    fs::write(&path, secret).unwrap();
    format!("{{ fromFile: {} }}", path.display())
}

pub(crate) fn on_s3(s3: &S3) -> Testbed {
    Testbed::with_store(Runtime::Process, |testbed| {
        format!(
            "store: s3://{RESULTS}/a/b\nendpoint: http://127.0.0.1:{}\ncredentials:\n  accessKeyId: {}\n  secretAccessKey: {}\n",
            s3.port(),
            secret(testbed, "id", S3::KEY_ID),
            secret(testbed, "secret", S3::SECRET)
        )
    })
}

#[test]
fn a_run_leaves_its_files_in_a_folder() {
    let mut testbed = Testbed::with_store(Runtime::Process, |testbed| {
        format!("store: file://{}\n", testbed.folder().join("elsewhere").display())
    });
    let path = a_run_is_fetched(&mut testbed, &[]);
    assert!(testbed.folder().join("elsewhere").join(path).exists());
}

#[test]
fn a_run_leaves_its_files_in_s3() {
    let s3 = S3::start();
    let path = a_run_is_fetched(&mut on_s3(&s3), &[S3::SECRET, S3::KEY_ID]);
    assert!(s3.bucket().join("a/b").join(path).exists());
}

#[test]
#[ignore = "needs azurite"]
fn a_run_leaves_its_files_in_azure() {
    let azurite = Azurite::start();
    let mut testbed = Testbed::with_store(Runtime::Process, |testbed| {
        let string = secret(testbed, "string", &Azurite::connection_string(azurite.port()));
        format!("store: az://{RESULTS}/a/b\ncredentials: {{ connectionString: {string} }}\n")
    });
    a_run_is_fetched(&mut testbed, &[Azurite::KEY, "AccountKey"]);
}

#[test]
fn agent_and_reconciler_are_killed_again_and_again_and_the_file_is_whole() {
    let s3 = S3::start();
    let mut testbed = on_s3(&s3);
    testbed.start_agent("london-01");
    let script = "head -c 62914560 /dev/urandom > data; sha256sum < data";
    testbed
        .repository
        .write("jobs/large.yaml", Job::once("large", "london-01", soon(2), "30s", script).yaml());
    testbed.push("large");
    testbed.wait_run("large", "UPLOADING");
    for round in 0..6 {
        std::thread::park_timeout(Duration::from_millis(150 * round));
        testbed.take_agent("london-01").kill();
        testbed.take_reconciler().kill();
        testbed.start_reconciler();
        testbed.start_agent("london-01");
    }
    let run = testbed.wait_run("large", "COMPLETED");
    assert_fetched_whole(&testbed, run["id"].as_str().unwrap());
}

/// How many MiB the large file has: in a normal run, four times what either side may take for it.
fn mebibytes() -> u64 {
    if std::env::var_os("ALMANAC_NIGHTLY").is_some() { 1024 } else { 256 }
}

/// How much more memory each side takes while a large file is on its way, in MiB: agent, then reconciler.
fn growth_for_a_large_file(mut testbed: Testbed) -> [u64; 2] {
    const LIMIT: Duration = Duration::from_secs(900);
    testbed.start_agent("london-01");
    let script = format!("head -c {}M /dev/urandom > data", mebibytes());
    let job =
        Job::once("large", "london-01", soon(2), "5m", &script).yaml() + "  artifacts: { maxSize: 2GiB }\n";
    testbed.repository.write("jobs/large.yaml", job);
    testbed.push("large");
    let is_in = |phase: &str| testbed.runs("large").into_iter().any(|run| run["phase"] == phase);
    almanac_tests::wait_for("the beginning of the upload", LIMIT, || is_in("UPLOADING").then_some(()));
    let processes = [testbed.agent_id("london-01"), testbed.reconciler_id()];
    let before = processes.map(|process| {
        // From now on it is the peak of what follows (proc_pid_clear_refs(5)).
        fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
        memory(process, "VmRSS:")
    });
    almanac_tests::wait_for("the end of the upload", LIMIT, || is_in("COMPLETED").then_some(()));
    let after = processes.map(|process| memory(process, "VmHWM:"));
    // The kernel counts in batches, so that a peak may be some KiB below what there was before.
    [0, 1].map(|side| after[side].saturating_sub(before[side]) >> 10)
}

/// A line of what a process takes, in KiB.
fn memory(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_large_file_takes_no_more_than_64_mib_of_memory_on_either_side() {
    let s3 = S3::start();
    for (way, testbed) in
        [("to S3 itself", on_s3(&s3)), ("through the reconciler", Testbed::start(Runtime::Process))]
    {
        let growth = growth_for_a_large_file(testbed);
        println!("{} MiB {way}: agent {} MiB, reconciler {} MiB", mebibytes(), growth[0], growth[1]);
        assert!(growth.iter().all(|growth| *growth <= 64), "{way}: {growth:?} MiB");
    }
}
