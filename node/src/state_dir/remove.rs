//! Removing what a run left, whatever it is.
//!
//! A run can make folders in folders a hundred thousand times over. Whoever walks down there by recursion runs out of
//! files or of stack, and an agent that dies of what is left on its disk dies of it again at each start. So it goes
//! down a bounded way, and moves to the top what lies deeper.

use std::{ffi::CStr, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat},
    io::Errno,
};

/// How far down it goes at a time. Each step keeps a file open.
const DEPTH: u32 = 64;

/// How often it begins again where something came that was not there before: somebody else removes the same, and lifts,
/// or a command that outlived its run still writes.
const ROUNDS: usize = 100;

/// Removes a file, or a folder and everything in it. No link is followed. What is not there is removed already, and what
/// somebody else removes meanwhile is no error.
///
/// # Errors
///
/// When something cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(top) = unless_gone(open(&CWD, path))? else { return Ok(()) };
    let (mut lifted, mut rounds) = (0, 0);
    while rounds < ROUNDS {
        let before = lifted;
        empty(&top, &top, DEPTH, &mut lifted)?;
        if lifted > before {
            continue;
        }
        rounds += 1;
        match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            removed => return Ok(unless_gone(removed).map(drop)?),
        }
    }
    Err(io::ErrorKind::DirectoryNotEmpty.into())
}

/// Removes what is in a folder, and moves folders that are too deep to the top.
fn empty(folder: &OwnedFd, top: &OwnedFd, depth: u32, lifted: &mut u64) -> Result<(), Errno> {
    let Some(entries) = unless_gone(Dir::read_from(folder))? else { return Ok(()) };
    for entry in entries {
        let Some(entry) = unless_gone(entry)? else { return Ok(()) };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // POSIX says EPERM of a folder, and Linux EISDIR.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
        if depth == 0 {
            lift(folder, name, top, lifted)?;
            continue;
        }
        let Some(inner) = unless_gone(open(folder, name))? else { continue };
        empty(&inner, top, depth - 1, lifted)?;
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            // Somebody else lifted it to the top meanwhile, or something into it: the next round finds it.
            Err(Errno::NOTEMPTY | Errno::NOENT) => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// What came of something, or nothing where what it is about is not there any more.
fn unless_gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves a folder to the top, under a name that nothing there has.
fn lift(folder: &OwnedFd, name: &CStr, top: &OwnedFd, lifted: &mut u64) -> Result<(), Errno> {
    loop {
        *lifted += 1;
        match renameat(folder, name, top, format!("lifted-{lifted}")) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // It is somebody else's, and goes with everything.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn open(at: &impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn everything_goes_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::create_dir_all(other.join("sub")).unwrap();
        let path = folder.path().join("tree");
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/file"), "").unwrap();
        symlink(&other, path.join("a/b/link")).unwrap();
        symlink(&other, path.join("link")).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists() && other.join("sub").is_dir());
        remove(&path).unwrap();
        symlink(&other, &path).unwrap();
        remove(&path).unwrap();
        assert!(!path.is_symlink() && other.join("sub").is_dir());
    }

    #[test]
    fn folders_in_folders_without_end_go_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree");
        fs::create_dir(&path).unwrap();
        let mut deepest = open(&CWD, &path).unwrap();
        // Another program's folder has the name that the first one would be moved to.
        fs::create_dir_all(path.join("lifted-1/full")).unwrap();
        for _ in 0..20_000 {
            mkdirat(&deepest, "in", Mode::RWXU).unwrap();
            deepest = open(&deepest, "in").unwrap();
        }
        drop(deepest);
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    /// The uploader removes the whole folder of a run while its worker still removes what is packed.
    #[test]
    fn several_may_remove_the_same() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tree");
            fs::create_dir(&path).unwrap();
            for branch in 0..4 {
                let mut deepest = open(&CWD, &path).unwrap();
                for _ in 0..150 {
                    let name = format!("in-{branch}");
                    mkdirat(&deepest, &name, Mode::RWXU).unwrap();
                    deepest = open(&deepest, &name).unwrap();
                }
            }
            let removed: Vec<_> = std::thread::scope(|scope| {
                let others: Vec<_> = (0..4).map(|_| scope.spawn(|| remove(&path))).collect();
                others.into_iter().map(|other| other.join().unwrap()).collect()
            });
            assert!(removed.iter().all(Result::is_ok), "{removed:?}");
            assert!(!path.exists());
        }
    }
}
