use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::{run::RunKey, state_dir::StateDir};

use super::*;

struct Fixture {
    _folder: tempfile::TempDir,
    dir: RunDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir_below(folder.path());
    Fixture { _folder: folder, dir }
}

fn dir_below(path: &Path) -> RunDir {
    let state = StateDir::open(path).unwrap();
    let dir = state.run(&RunKey::from_text("0c5a5a53-1c5a-5f0e-9d5e-2f4f3c1f7b11").unwrap());
    dir.prepare("", "").unwrap();
    fs::write(dir.outbox().join(LOG), "log\n").unwrap();
    dir
}

fn packed(dir: &RunDir, limit: u64) -> Packed {
    collect(dir, limit, u64::MAX, |_, _, left_out| Ok(left_out.to_string()))
}

/// What `run.json` was told.
fn said(dir: &RunDir) -> String {
    fs::read_to_string(dir.outbox().join(FACTS)).unwrap()
}

/// The entries of the archive: their kinds, sizes, and where links lead.
fn entries(dir: &RunDir) -> BTreeMap<Vec<u8>, (tar::EntryType, u64, Option<PathBuf>)> {
    let file = File::open(dir.outbox().join(ARCHIVE)).unwrap();
    let mut tar = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let entries = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let target = entry.link_name().unwrap().map(|target| target.into_owned());
        let name = entry
            .path_bytes()
            .strip_suffix(b"/")
            .map_or_else(|| entry.path_bytes().into_owned(), <[u8]>::to_vec);
        (name, (entry.header().entry_type(), entry.size(), target))
    });
    entries.collect()
}

fn names(packed: &Packed) -> Vec<&str> {
    packed.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn files_folders_and_links_within_are_packed_and_nothing_is_followed() {
    let Fixture { _folder, dir } = fixture();
    let artifacts = dir.files().artifacts;
    fs::create_dir_all(artifacts.join("sub/empty")).unwrap();
    fs::write(artifacts.join("sub/a"), "hello").unwrap();
    fs::write(artifacts.join(OsStr::from_bytes(b"\xff")), "").unwrap();
    symlink("../sub/a", artifacts.join("sub/latest")).unwrap();

    let done = packed(&dir, u64::MAX);
    assert_eq!(done.collected, Collected::Whole);
    assert_eq!(names(&done), [ARCHIVE, LOG, FACTS]);
    let archive = fs::read(dir.outbox().join(ARCHIVE)).unwrap();
    assert_eq!(done.files[0].size, archive.len() as u64);
    assert_eq!(done.files[0].sha256, <[u8; 32]>::from(Sha256::digest(&archive)));
    use tar::EntryType::{Directory, Regular, Symlink};
    let expected = [
        (b"sub".to_vec(), (Directory, 0, None)),
        (b"sub/a".to_vec(), (Regular, 5, None)),
        (b"sub/empty".to_vec(), (Directory, 0, None)),
        (b"sub/latest".to_vec(), (Symlink, 0, Some("../sub/a".into()))),
        (b"\xff".to_vec(), (Regular, 0, None)),
    ];
    assert_eq!(entries(&dir), BTreeMap::from(expected));
    assert_eq!(packed(&dir, u64::MAX), done, "packing again gives the same");
}

#[test]
fn what_cannot_be_packed_is_named_and_fails_nothing() {
    let Fixture { _folder, dir } = fixture();
    let artifacts = dir.files().artifacts;
    fs::write(artifacts.join("a"), "hello").unwrap();
    symlink("/etc/passwd", artifacts.join("b-link")).unwrap();
    symlink("/etc", artifacts.join("c-folder")).unwrap();
    symlink("..", artifacts.join("d-up")).unwrap();
    assert!(Command::new("mkfifo").arg(artifacts.join("e-pipe")).status().unwrap().success());
    let _socket = UnixListener::bind(artifacts.join("f-socket")).unwrap();
    let done = packed(&dir, u64::MAX);
    let text = "5 entries are not in its artifacts, such as `b-link`: a symbolic link out of the folder";
    assert_eq!(done.collected, Collected::InPart(text.to_owned()));
    assert_eq!(said(&dir), text);
    assert_eq!(entries(&dir).into_keys().collect::<Vec<_>>(), [b"a"]);
}

/// It needs root, as an agent that runs containers is.
#[test]
#[ignore = "needs root"]
fn a_device_is_not_read() {
    let Fixture { _folder, dir } = fixture();
    let zero = dir.files().artifacts.join("zero");
    assert!(Command::new("mknod").arg(&zero).args(["c", "1", "5"]).status().unwrap().success());
    let text = "`zero` is not in its artifacts: a device";
    assert_eq!(packed(&dir, u64::MAX).collected, Collected::InPart(text.to_owned()));
}

#[test]
fn folders_in_folders_are_packed_as_deep_as_anybody_can_unpack_them() {
    let Fixture { _folder, dir } = fixture();
    let flags = rustix::fs::OFlags::DIRECTORY;
    let none = rustix::fs::Mode::empty();
    let mut deepest = rustix::fs::open(dir.files().artifacts, flags, none).unwrap();
    let name = "d".repeat(99);
    // 5,000 bytes of path, which no call takes.
    for _ in 0..50 {
        rustix::fs::mkdirat(&deepest, &name, rustix::fs::Mode::RWXU).unwrap();
        deepest = rustix::fs::openat(&deepest, &name, flags, none).unwrap();
    }
    let done = packed(&dir, u64::MAX);
    let Collected::InPart(message) = &done.collected else { panic!("{:?}", done.collected) };
    assert!(message.ends_with("ddd...` is not in its artifacts: its path is too long"), "{message}");
    assert!(message.len() < 150, "{message}");
    assert_eq!(entries(&dir).len(), 10);
}

#[test]
fn a_sparse_file_is_as_large_as_it_says() {
    let Fixture { _folder, dir } = fixture();
    File::create(dir.files().artifacts.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    let done = packed(&dir, 10 << 30);
    assert_eq!(done.collected, Collected::TooLarge { size: 1 << 40, limit: 10 << 30 });
    assert_eq!(names(&done), [LOG, FACTS]);
}

#[test]
fn nothing_left_is_nothing_packed() {
    let Fixture { _folder, dir } = fixture();
    let packed = packed(&dir, u64::MAX);
    assert_eq!((packed.collected.clone(), names(&packed)), (Collected::Whole, vec![LOG, FACTS]));
}

#[test]
fn what_is_too_large_stays_and_the_log_goes() {
    let Fixture { _folder, dir } = fixture();
    fs::write(dir.files().artifacts.join("a"), [0; 10]).unwrap();
    let done = packed(&dir, 9);
    assert_eq!(done.collected, Collected::TooLarge { size: 10, limit: 9 });
    assert_eq!(names(&done), [LOG, FACTS]);
    assert_eq!(packed(&dir, 10).collected, Collected::Whole);
}

/// A disk of 1 MiB that the artifacts almost fill.
#[test]
#[ignore = "needs root"]
fn a_full_disk_is_said_and_the_rest_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).status();
    assert!(mounted.unwrap().success());
    let dir = dir_below(folder.path());
    // Hashes, since what compresses well would fit.
    let noise: Vec<u8> = (0_u32..22_000).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    fs::write(dir.files().artifacts.join("a"), noise).unwrap();
    let done = packed(&dir, u64::MAX);
    let unmounted = Command::new("umount").arg("-l").arg(folder.path()).status().unwrap();
    assert!(unmounted.success());
    let Collected::Failed(message) = &done.collected else { panic!("{:?}", done.collected) };
    assert!(message.contains("No space left on device") && message.contains(ARCHIVE), "{message}");
    assert_eq!(names(&done), [LOG, FACTS]);
}
