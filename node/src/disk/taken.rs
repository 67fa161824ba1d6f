//! How much of a disk a folder takes.

use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt, path::Path};

/// What a folder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// Bytes of the disk, whatever size files say they have.
    pub(super) bytes: u64,
    /// Whether there is more, so deep down that no path leads there.
    pub(super) is_hidden: bool,
}

/// What a folder and everything in it takes. What vanishes meanwhile, or cannot be read, takes nothing.
pub(super) fn taken(folder: &Path) -> Taken {
    let mut taken = Taken::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                taken.is_hidden |= error.kind() == ErrorKind::InvalidFilename;
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            // One that has several names is met as often.
            taken.bytes += metadata.blocks() * 512 / metadata.nlink().max(1).min(links(&metadata));
        }
    }
    taken
}

/// How many names count: those of a folder are its own and of those in it.
fn links(metadata: &fs::Metadata) -> u64 {
    if metadata.is_dir() { 1 } else { u64::MAX }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::*;

    #[test]
    fn what_is_on_the_disk_counts_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let before = taken(folder.path()).bytes;
        fs::create_dir_all(path("a/b/c")).unwrap();
        fs::write(path("a/b/c/data"), vec![1; 1 << 20]).unwrap();
        for name in 0..10 {
            fs::hard_link(path("a/b/c/data"), path(&format!("a/{name}"))).unwrap();
        }
        File::create(path("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/", path("link")).unwrap();
        let found = taken(folder.path());
        assert!((1 << 20..(1 << 20) + (256 << 10)).contains(&(found.bytes - before)), "{found:?}");
        assert!(!found.is_hidden);
        assert_eq!(taken(&path("none")), Taken::default());
    }

    #[test]
    fn what_lies_too_deep_to_be_counted_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let name = "d".repeat(250);
        let mode = Mode::from_raw_mode(0o700);
        let mut inner = openat(CWD, folder.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..20 {
            mkdirat(&inner, &name, mode).unwrap();
            inner = openat(&inner, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        assert!(taken(folder.path()).is_hidden);
        crate::state_dir::remove(folder.path()).unwrap();
    }
}
