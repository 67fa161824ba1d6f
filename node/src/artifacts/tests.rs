use std::{collections::BTreeMap, os::unix::fs::symlink, process::Command};

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

fn names(packed: &Packed) -> Vec<&str> {
    packed.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn files_and_folders_are_packed_and_links_are_not_followed() {
    let Fixture { _folder, dir } = fixture();
    let artifacts = dir.files().artifacts;
    fs::create_dir_all(artifacts.join("sub/empty")).unwrap();
    fs::write(artifacts.join("sub/a"), "hello").unwrap();
    symlink("/etc/passwd", artifacts.join("link")).unwrap();
    symlink("/etc", artifacts.join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(artifacts.join("pipe")).status().unwrap().success());

    let packed = collect(&dir, "{}", None);
    assert_eq!(packed.collected, Collected::Whole);
    assert_eq!(names(&packed), [ARCHIVE, FACTS, LOG]);
    let archive = fs::read(dir.outbox().join(ARCHIVE)).unwrap();
    assert_eq!(packed.files[0].size, archive.len() as u64);
    assert_eq!(packed.files[0].sha256, <[u8; 32]>::from(Sha256::digest(&archive)));
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive.as_slice()).unwrap());
    let entries: BTreeMap<String, u64> = tar
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.size())
        })
        .collect();
    let expected = [("sub/", 0), ("sub/a", 5), ("sub/empty/", 0)];
    let got: Vec<(&str, u64)> =
        entries.iter().map(|(name, size)| (name.trim_end_matches('/'), *size)).collect();
    assert_eq!(got, expected.map(|(name, size)| (name.trim_end_matches('/'), size)));
    assert_eq!(collect(&dir, "{}", None), packed, "packing again gives the same");
}

#[test]
fn nothing_left_is_nothing_packed() {
    let Fixture { _folder, dir } = fixture();
    let packed = collect(&dir, "{}", None);
    assert_eq!((packed.collected.clone(), names(&packed)), (Collected::Whole, vec![FACTS, LOG]));
}

#[test]
fn what_is_too_large_stays_and_the_log_goes() {
    let Fixture { _folder, dir } = fixture();
    fs::write(dir.files().artifacts.join("a"), [0; 10]).unwrap();
    let packed = collect(&dir, "{}", Some(9));
    assert_eq!(packed.collected, Collected::TooLarge { size: 10, limit: 9 });
    assert_eq!(names(&packed), [FACTS, LOG]);
    assert_eq!(collect(&dir, "{}", Some(10)).collected, Collected::Whole);
}

/// A disk of 1 MiB that the artifacts almost fill. Mounting one needs root, which an agent that
/// runs containers is; where it is not, there is nothing to test.
#[test]
fn a_full_disk_is_said_and_the_rest_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: mounting a small disk needs root");
        return;
    }
    let dir = dir_below(folder.path());
    // Hashes, since what compresses well would fit.
    let noise: Vec<u8> = (0_u32..22_000).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    fs::write(dir.files().artifacts.join("a"), noise).unwrap();
    let packed = collect(&dir, "{}", None);
    let unmounted = Command::new("umount").arg("-l").arg(folder.path()).status().unwrap();
    assert!(unmounted.success());
    let Collected::Failed(message) = &packed.collected else { panic!("{:?}", packed.collected) };
    assert!(message.contains("No space left on device") && message.contains(ARCHIVE), "{message}");
    assert_eq!(names(&packed), [FACTS, LOG]);
}
