//! `watch`, as a process of its own: each change of the folder shows.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";

/// How long a process may take to say something. It takes a tenth of a second; a machine that is busy
/// with other tests takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that watches a folder. It is killed when the test ends.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_almanac-validate"))
            .args(["watch", folder.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Waits for a line, and fails at once when the process is gone.
    fn says(&mut self, wanted: &str) -> Duration {
        let since = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(since.elapsed())) {
                Ok(line) if line.contains(wanted) => return since.elapsed(),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("it did not say `{wanted}`"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without saying `{wanted}`: {:?}", self.child.wait())
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_change_shows() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("testbed");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("alice.yaml"), USER).unwrap();
    let mut watch = Watch::start(&root);
    watch.says("1 file checked, nothing found");

    // Written in place.
    fs::write(root.join("alice.yaml"), USER.replace("{}", "{ teem: a }")).unwrap();
    let took = watch.says("unknown field `teem`");
    println!("shown {took:?} after the change");
    watch.says("1 file checked: 1 error");

    // Written beside it and moved into its place, as editors do.
    fs::write(root.join(".alice.yaml.swp"), USER).unwrap();
    fs::rename(root.join(".alice.yaml.swp"), root.join("alice.yaml")).unwrap();
    watch.says("1 file checked, nothing found");

    // A new folder, filled before anybody can have begun to watch it.
    fs::create_dir_all(root.join("users/more")).unwrap();
    fs::write(root.join("users/more/bob.yaml"), USER).unwrap();
    watch.says("2 files checked: 1 error");
    // By now it is watched.
    fs::write(root.join("users/more/bob.yaml"), USER.replace("alice", "bob")).unwrap();
    watch.says("2 files checked, nothing found");

    fs::write(root.join(".almanacignore"), "users/\n").unwrap();
    watch.says("1 file checked, nothing found");
    fs::remove_file(root.join(".almanacignore")).unwrap();
    watch.says("2 files checked, nothing found");
    fs::remove_dir_all(root.join("users")).unwrap();
    watch.says("1 file checked, nothing found");

    // The folder itself goes, and comes back.
    fs::remove_dir_all(&root).unwrap();
    watch.says("is gone: waiting for it to come back");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("alice.yaml"), USER).unwrap();
    watch.says("1 file checked, nothing found");
    fs::write(root.join("bob.yaml"), USER).unwrap();
    watch.says("2 files checked: 1 error");

    // Another one takes its place.
    let other = outer.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::rename(&root, outer.path().join("old")).unwrap();
    fs::rename(&other, &root).unwrap();
    watch.says("0 files checked");
    fs::write(root.join("alice.yaml"), USER).unwrap();
    watch.says("1 file checked, nothing found");
}

#[test]
fn signals_end_it_with_0() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut watch = Watch::start(folder.path());
        watch.says("0 files checked");
        let id = watch.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(watch.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_folder_that_was_never_there_is_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_almanac-validate"))
        .args(["watch", "nowhere"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "error: cannot read `nowhere`: No such file or directory (os error 2)\n");
}
