//! The gate itself, as a process of this host.

use std::{
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{clock, run::RunKey};

use super::*;

struct Bed {
    folder: TempDir,
    gates: Gates,
    name: ContainerName,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder
            .path()
            .join("a-state-folder-that-lies-as-deep-as-some-people-have-them-on-their-machines-at-home");
        fs::create_dir(&runs).unwrap();
        let gates = Gates::new(folder.path().join("gate"), runs);
        gates.install().unwrap();
        let key = RunKey::from_text("6ba7b810-9dad-51d1-80b4-00c04fd430c8").unwrap();
        let name = ContainerName::of(&key);
        gates.prepare(&name).unwrap();
        Self { folder, gates, name }
    }

    fn start(&self, command: &[&str]) -> Child {
        let mut child = Command::new(self.folder.path().join("gate"));
        // As in a container, the path is short.
        child.arg(".").args(command).current_dir(self.gates.folder(&self.name));
        child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

#[tokio::test]
async fn a_command_begins_at_the_word_and_its_instant_is_noted() {
    let bed = Bed::new();
    let listener = bed.gates.listen(&bed.name).unwrap();
    let child = bed.start(&["sh", "-c", "echo $0 $1; exit 3", "a", "b c"]);
    bed.gates.hold(&bed.name, &listener).await.unwrap();
    assert!(bed.gates.holds(&bed.name));
    assert_eq!(bed.gates.passage(&bed.name).unwrap(), Passage::Closed);
    let before = clock::now();
    let Passage::Passed(at) = bed.gates.open(&bed.name).await.unwrap() else { panic!("it runs") };
    assert!(before <= at && at <= clock::now(), "{before} {at}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(3), b"a b c\n".to_vec()));
    assert_eq!(bed.gates.passage(&bed.name).unwrap(), Passage::Passed(at), "it stays known");
    assert!(bed.gates.open(&bed.name).await.is_err(), "nobody waits there any more");
}

#[tokio::test]
async fn a_command_that_cannot_run_says_why() {
    for (command, code) in [("/nothing/here", 127), ("/proc/self/mounts", 126)] {
        let bed = Bed::new();
        let listener = bed.gates.listen(&bed.name).unwrap();
        let child = bed.start(&[command]);
        bed.gates.hold(&bed.name, &listener).await.unwrap();
        let output = {
            let passage = bed.gates.open(&bed.name).await.unwrap();
            assert!(matches!(&passage, Passage::Failed(why) if why.contains(command)), "{passage:?}");
            child.wait_with_output().unwrap()
        };
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&output.stderr).contains(command));
    }
}

#[tokio::test]
async fn a_gate_waits_for_the_next_agent() {
    let bed = Bed::new();
    let listener = bed.gates.listen(&bed.name).unwrap();
    let child = bed.start(&["true"]);
    bed.gates.hold(&bed.name, &listener).await.unwrap();
    // The agent ends, with all that it has open; another one begins.
    bed.gates.forget(&bed.name);
    drop(listener);
    let runs = bed.gates.runs.clone();
    let next = Gates::new(bed.folder.path().join("gate"), runs);
    next.install().unwrap();
    assert!(!next.holds(&bed.name));
    let listener = next.listen(&bed.name).unwrap();
    next.hold(&bed.name, &listener).await.unwrap();
    assert!(matches!(next.open(&bed.name).await.unwrap(), Passage::Passed(_)));
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn what_a_command_puts_in_the_place_of_a_note_leads_nowhere() {
    let bed = Bed::new();
    let folder = bed.gates.folder(&bed.name);
    let secret = bed.folder.path().join("secret");
    fs::write(&secret, "of the host").unwrap();
    symlink(&secret, folder.join("failed")).unwrap();
    assert!(bed.gates.passage(&bed.name).is_err());
    fs::remove_file(folder.join("failed")).unwrap();
    let status = Command::new("mkfifo").arg(folder.join("passed")).status().unwrap();
    assert!(status.success());
    assert!(bed.gates.passage(&bed.name).is_err());
    fs::remove_file(folder.join("passed")).unwrap();
    fs::write(folder.join("failed"), "x".repeat(100_000)).unwrap();
    let passage = bed.gates.passage(&bed.name).unwrap();
    assert!(matches!(passage, Passage::Failed(why) if why.len() == 4096));
}
