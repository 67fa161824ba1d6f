//! Removing what a run left, whatever it is.
//!
//! A run can make folders in folders a hundred thousand times over. Whoever walks down there by recursion runs out of
//! files or of stack, and an agent that dies of what is left on its disk dies of it again at each start. So it goes
//! down a bounded way, and moves to the top what lies deeper.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat},
    io::Errno,
};

/// How far down it goes at a time. Each step keeps a file open.
const DEPTH: u32 = 64;

/// Removes a file, or a folder and everything in it. No link is followed. What is not there is removed already.
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
    let top = open(&CWD, path)?;
    let mut lifted = 0;
    loop {
        let before = lifted;
        empty(&top, &top, DEPTH, &mut lifted)?;
        if lifted == before {
            break;
        }
    }
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes what is in a folder, and moves folders that are too deep to the top.
fn empty(folder: &OwnedFd, top: &OwnedFd, depth: u32, lifted: &mut u64) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // POSIX says EPERM of a folder, and Linux EISDIR.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if depth == 0 {
            lift(folder, name, top, lifted)?;
            continue;
        }
        empty(&open(folder, name)?, top, depth - 1, lifted)?;
        unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Moves a folder to the top, under a name that nothing there has.
fn lift(folder: &OwnedFd, name: &std::ffi::CStr, top: &OwnedFd, lifted: &mut u64) -> io::Result<()> {
    loop {
        *lifted += 1;
        match renameat(folder, name, top, format!("lifted-{lifted}")) {
            Ok(()) => return Ok(()),
            // It is somebody else's, and goes with everything.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(at: &impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
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
}
