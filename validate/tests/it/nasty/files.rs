//! Files and folders that are odd: what cannot be opened, never ends, vanishes, or hides others.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use almanac_validate::{Entry, Source, check, walk};

use super::USER;

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What is found in a folder, as "path: rule".
fn found(root: &Path) -> Vec<String> {
    let report = check(&walk(root).unwrap(), "2026-11-24T00:00:00Z".parse().unwrap());
    let line =
        |finding: almanac_validate::Finding| format!("{}: {}", finding.location.unwrap().file, finding.rule);
    report.findings.into_iter().map(line).collect()
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-validate"));
    command.arg("check").arg(root);
    command
}

/// A pipe that nobody writes to would be waited for, and forever.
#[test]
fn pipes_and_devices_are_findings_and_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    mkfifo(&folder.path().join("a.yaml"));
    mkfifo(&folder.path().join("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b.yml")).unwrap();
    symlink("/dev/zero", folder.path().join("c.yaml")).unwrap();
    assert_eq!(
        found(folder.path()),
        ["a.yaml: special-file", "b.yml: special-file", "c.yaml: symbolic-link"]
    );
}

#[test]
fn loops_of_links_end() {
    let folder = tempfile::tempdir().unwrap();
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    symlink(".", folder.path().join("here")).unwrap();
    fs::create_dir(folder.path().join("c")).unwrap();
    symlink("..", folder.path().join("c/up.yaml")).unwrap();
    let links = ["a", "b", "c/up.yaml", "here"].map(|path| format!("{path}: symbolic-link"));
    assert_eq!(found(folder.path()), links);
}

/// What is to be passed over is not known then, so that nothing is, and somebody is told.
#[test]
fn a_list_of_exclusions_that_is_none_is_a_finding() {
    let with = |make: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.yaml"), "}").unwrap();
        make(&folder.path().join(".almanacignore"));
        found(folder.path())
    };
    let rule = |rule: &str| [format!(".almanacignore: {rule}"), "x.yaml: syntax".to_owned()];
    assert_eq!(with(&|path| fs::create_dir(path).unwrap()), rule("special-file"));
    assert_eq!(with(&mkfifo), rule("special-file"));
    assert_eq!(with(&|path| symlink("/dev/zero", path).unwrap()), rule("symbolic-link"));
    assert_eq!(with(&|path| fs::write(path, b"x.yaml\n\xff\n").unwrap()), rule("file-encoding"));
    assert_eq!(with(&|path| fs::write(path, vec![b'#'; (1 << 20) + 1]).unwrap()), rule("file-too-large"));
    assert_eq!(
        with(&|path| fs::write(path, b"\0\x07[\nx.yaml\n").unwrap()),
        [""; 0],
        "lines that are no patterns"
    );
    assert_eq!(with(&|path| fs::write(path, "*.yaml\n".repeat(100_000)).unwrap()), [""; 0]);
}

#[test]
fn names_that_are_no_text_are_findings() {
    let folder = tempfile::tempdir().unwrap();
    let latin = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    fs::write(latin(b"z\xfcrich.yaml"), USER).unwrap();
    fs::create_dir(latin(b"z\xfcrich")).unwrap();
    fs::write(latin(b"z\xfcrich/a.yaml"), USER).unwrap();
    fs::write(latin(b"z\xfcrich.txt"), USER).unwrap();
    assert_eq!(found(folder.path()), ["z\u{fffd}rich: file-name", "z\u{fffd}rich.yaml: file-name"]);
}

/// Where the file system ignores case or normal forms, one of the two would be gone.
#[test]
fn paths_that_collide_elsewhere_are_findings() {
    let source = |path: &str| Arc::new(Source::read(path, Entry::File(b"")));
    let found = |paths: &[&str]| {
        let sources: Vec<_> = paths.iter().map(|path| source(path)).collect();
        let report = check(&sources, "2026-11-24T00:00:00Z".parse().unwrap());
        let line = |finding: almanac_validate::Finding| {
            format!("{} {}: {}", finding.rule, finding.location.unwrap().file, finding.message)
        };
        report.findings.into_iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&["Jobs/a.yaml", "jobs/a.yaml", "jobs/b.yaml"]),
        ["path-collision jobs/a.yaml: this path and `Jobs/a.yaml` differ in upper and lower case alone"]
    );
    assert_eq!(
        found(&["caf\u{e9}.yaml", "cafe\u{301}.yaml"]),
        [
            "path-collision caf\u{e9}.yaml: this path and `cafe\u{301}.yaml` are the same letters, written in different bytes"
        ]
    );
    assert_eq!(found(&["Jobs/a.yaml", "jobs/b.yaml", "jobs/a.yml", "e.yaml", "\u{e9}.yaml"]), [""; 0]);
}

/// The command as a user who may not read everything: root may, and there is a user for that.
fn unprivileged(root: &Path) -> (Option<i32>, String) {
    let output = match fs::read_dir("/proc/self/task").is_ok() && is_root() {
        true => {
            let program = env!("CARGO_BIN_EXE_almanac-validate");
            // Where the program is, that user may have nothing to look for.
            let copy = root.parent().unwrap().join("almanac-validate");
            fs::copy(program, &copy).unwrap();
            let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
            Command::new("setpriv").args(user).arg(copy).arg("check").arg(root).output().unwrap()
        }
        false => command(root).output().unwrap(),
    };
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[test]
fn what_must_not_be_read_is_named() {
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
    let root = outer.path().join("testbed");
    fs::create_dir_all(root.join("closed")).unwrap();
    fs::write(root.join("a.yaml"), USER).unwrap();
    fs::write(root.join("closed/b.yaml"), USER).unwrap();

    fs::set_permissions(root.join("closed"), Permissions::from_mode(0o000)).unwrap();
    let (code, text) = unprivileged(&root);
    fs::set_permissions(root.join("closed"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("cannot read `{}`", root.join("closed").display())), "{text}");
    assert!(text.contains("Permission denied"), "{text}");

    fs::write(root.join("closed/b.yaml"), USER.replace("alice", "bob")).unwrap();
    fs::set_permissions(root.join("a.yaml"), Permissions::from_mode(0o000)).unwrap();
    let (code, text) = unprivileged(&root);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("cannot read `{}`", root.join("a.yaml").display())), "{text}");

    // What does not count is not touched.
    fs::write(root.join(".almanacignore"), "a.yaml\n").unwrap();
    let (code, text) = unprivileged(&root);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn what_vanishes_meanwhile_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    fs::write(root.join("stays.yaml"), USER).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let restless = std::thread::spawn({
        let (root, stop) = (root.clone(), Arc::clone(&stop));
        move || {
            let mut rounds = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                for name in ["a", "b", "c"] {
                    fs::create_dir_all(root.join(name).join("d")).unwrap();
                    fs::write(root.join(name).join("d/x.yaml"), "").unwrap();
                }
                for name in ["a", "b", "c"] {
                    fs::remove_dir_all(root.join(name)).unwrap();
                }
                rounds += 1;
            }
            rounds
        }
    });
    for _ in 0..2_000 {
        let sources = walk(&root).unwrap();
        assert!(sources.iter().any(|source| source.path() == "stays.yaml"));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(restless.join().unwrap() > 0);
}
