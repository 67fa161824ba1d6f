//! A file by which the kernel is set: opened so that nothing leads elsewhere, read and written as a whole.
//!
//! Each folder of its path is opened by itself and no link is followed, so that what is opened is what the path says.
//! What is mounted somewhere on the way is noticed by the kind of its file system. Many paths below `/sys` are links
//! (`/sys/class`, `/sys/block`): what they stand for lies below `/sys/devices`, and goes by that name.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use rustix::fs::{FileType, FsWord, Mode, OFlags, PROC_SUPER_MAGIC};
use thiserror::Error;

use almanac_schemas::kernel::MAX_VALUE;

/// The kind of the file system `/sys` (linux/magic.h).
const SYSFS_MAGIC: FsWord = 0x6265_6572;

/// Why a file is not read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is not there, or may not be opened.
    #[error("it cannot be opened")]
    Open(#[source] io::Error),
    /// It is something else.
    #[error("it is no setting of the kernel, but something that is in its place")]
    Foreign,
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is too long, or no text.
    #[error("it is no text of at most {MAX_VALUE} bytes")]
    NoText,
    /// The kernel does not take a value.
    #[error("the kernel does not take this value")]
    Write(#[source] io::Error),
}

impl FileError {
    /// What the system says, if it said something.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Open(error) | Self::Read(error) | Self::Write(error) => Some(error.kind()),
            Self::Foreign | Self::NoText => None,
        }
    }
}

/// Reads a file, without the end of its last line.
pub(super) fn read(path: &str) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    let file = open(path, OFlags::RDONLY)?;
    file.take(MAX_VALUE as u64 + 1).read_to_end(&mut bytes).map_err(FileError::Read)?;
    let mut text =
        String::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_VALUE).ok_or(FileError::NoText)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Writes a value, in one piece: each is a setting of its own to the kernel.
pub(super) fn write(path: &str, value: &str) -> Result<(), FileError> {
    let mut file = open(path, OFlags::WRONLY)?;
    // Nothing at all would never reach the kernel.
    let line = if value.is_empty() { "\n" } else { value };
    let written = file.write(line.as_bytes()).map_err(FileError::Write)?;
    if written == line.len() { Ok(()) } else { Err(FileError::Write(io::ErrorKind::InvalidInput.into())) }
}

fn open(path: &str, access: OFlags) -> Result<File, FileError> {
    let failed = |error: rustix::io::Errno| FileError::Open(error.into());
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (parents, name) = path.rsplit_once('/').ok_or(FileError::Foreign)?;
    let mut place: OwnedFd = rustix::fs::open("/", folder, Mode::empty()).map_err(failed)?;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        place = rustix::fs::openat(&place, part, folder, Mode::empty()).map_err(failed)?;
    }
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&place, name, flags, Mode::empty()).map_err(failed)?;
    let kind = rustix::fs::fstat(&file).map_err(failed)?.st_mode;
    let system = rustix::fs::fstatfs(&file).map_err(failed)?.f_type;
    let is_kernels = [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&system);
    if FileType::from_raw_mode(kind) != FileType::RegularFile || !is_kernels {
        return Err(FileError::Foreign);
    }
    Ok(File::from(file))
}

/// What a file is to be written to hold again what it holds, if that can be said: one line. Of a choice such as
/// `always [madvise] never`, it is the word that is chosen.
pub(super) fn restorable(text: &str) -> Option<String> {
    if text.contains(|character: char| character.is_control() && character != '\t') {
        return None;
    }
    let chosen = |word: &&str| word.starts_with('[') && word.ends_with(']') && word.len() > 2;
    let mut choices = text.split_whitespace().filter(chosen);
    match (choices.next(), choices.next()) {
        (Some(choice), None) => Some(choice[1..choice.len() - 1].to_owned()),
        _ => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read() {
        assert!(read("/proc/sys/vm/stat_interval").unwrap().parse::<u64>().is_ok());
    }

    #[test]
    fn nothing_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("file"), "1").unwrap();
        assert!(matches!(read(&path("file")), Err(FileError::Foreign)), "another file system");
        std::os::unix::fs::symlink("/proc/sys/vm/stat_interval", path("link")).unwrap();
        assert!(matches!(read(&path("link")), Err(FileError::Open(_))));
        std::os::unix::fs::symlink("/proc/sys/vm", path("folder")).unwrap();
        assert!(matches!(read(&path("folder/stat_interval")), Err(FileError::Open(_))));
        // Links of the kernel's own.
        assert!(matches!(read("/proc/self/status"), Err(FileError::Open(_))));
        assert!(matches!(read("/sys/class/net/lo/mtu"), Err(FileError::Open(_))));
        assert!(matches!(read("/proc/sys/vm"), Err(FileError::Foreign | FileError::Open(_))), "a folder");
        assert!(matches!(read("/proc/sys/vm/nosuch"), Err(FileError::Open(_))));
        assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "1");
    }

    #[test]
    fn what_cannot_be_put_back_is_known_before() {
        assert_eq!(restorable("717").as_deref(), Some("717"));
        assert_eq!(restorable("4096\t87380\t6291456").as_deref(), Some("4096\t87380\t6291456"));
        assert_eq!(restorable("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(restorable("[a] [b]").as_deref(), Some("[a] [b]"));
        assert_eq!(restorable("").as_deref(), Some(""));
        assert_eq!(restorable("one\ntwo"), None);
    }
}
