//! How much of a disk a folder takes.

use std::{
    fs::{self, ReadDir},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// How many files and folders are counted; packing takes no more.
const MOST: usize = 1_000_000;

/// How deep: each level holds a folder open.
const DEEPEST: usize = 200;

/// What a folder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// Bytes of the disk, whatever size files say they have.
    pub(super) bytes: u64,
    /// Bytes of what is in files, as far as they are on the disk: what a limit of artifacts is about.
    pub(super) content: u64,
    /// Whether there is more, too many or too deep down to be counted.
    pub(super) is_hidden: bool,
}

/// What a folder and everything in it takes. What vanishes meanwhile, or cannot be read, takes nothing.
pub(super) fn taken(folder: &Path) -> Taken {
    let mut taken = Taken::default();
    let mut open: Vec<ReadDir> = fs::read_dir(folder).into_iter().collect();
    let mut count = 0;
    while let Some(folder) = open.last_mut() {
        let Some(entry) = folder.next() else {
            open.pop();
            continue;
        };
        let Ok((entry, metadata)) =
            entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata)))
        else {
            continue;
        };
        count += 1;
        if count > MOST {
            taken.is_hidden = true;
            break;
        }
        let on_disk = metadata.blocks() * 512;
        if metadata.is_dir() {
            taken.bytes += on_disk;
            match fs::read_dir(entry.path()) {
                Ok(_) if open.len() == DEEPEST => taken.is_hidden = true,
                Ok(inner) => open.push(inner),
                Err(error) => taken.is_hidden |= error.kind() == ErrorKind::InvalidFilename,
            }
        } else {
            // One that has several names is met as often.
            taken.bytes += on_disk / metadata.nlink().max(1);
            taken.content += on_disk.min(metadata.len()) / metadata.nlink().max(1);
        }
    }
    taken
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
        // Ten more names of one file are one byte each lost by rounding, at most.
        assert!(((1 << 20) - 11..=1 << 20).contains(&found.content), "{found:?}");
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
        let many = tempfile::tempdir().unwrap();
        fs::create_dir_all(many.path().join("d/".repeat(DEEPEST - 1))).unwrap();
        assert!(!taken(many.path()).is_hidden);
        fs::create_dir_all(many.path().join("d/".repeat(DEEPEST))).unwrap();
        assert!(taken(many.path()).is_hidden);
        crate::state_dir::remove(folder.path()).unwrap();
    }
}
