//! What is in the folder of a run's artifacts, and what of it is packed.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Component, Path},
};

use super::{LeftOut, PackError, Why, archive::Archive};

/// The longest name in an archive, in bytes. A path of Linux has 4,095 at most (PATH_MAX in limits.h), and whoever
/// unpacks it has a folder for it, too.
const LONGEST: usize = 1024;

/// The most files and folders. Names are sorted folder by folder, which takes some 60 bytes for each.
const MOST: u64 = 1_000_000;

/// The contents of a folder, as far as they were packed.
pub(super) struct Contents<'a> {
    folder: &'a Path,
    limit: u64,
    most: u64,
    size: u64,
    count: u64,
    /// What is not in the archive by its nature.
    pub(super) left_out: LeftOut,
    /// What could not be read, the first of it.
    pub(super) failure: Option<PackError>,
}

impl<'a> Contents<'a> {
    /// The contents of a folder, of which `limit` bytes may be packed.
    pub(super) fn of(folder: &'a Path, limit: u64) -> Self {
        Self { folder, limit, most: MOST, size: 0, count: 0, left_out: LeftOut::default(), failure: None }
    }

    /// Packs everything, sorted by name, folders before what is in them.
    ///
    /// # Errors
    ///
    /// When there is too much, or the archive cannot be written. What cannot be read is noted, and the rest is packed.
    pub(super) fn pack_into(&mut self, archive: &mut Archive<'_>) -> Result<(), PackError> {
        self.pack_folder(Path::new(""), archive)
    }

    fn pack_folder(&mut self, name: &Path, archive: &mut Archive<'_>) -> Result<(), PackError> {
        let mut names = match names(&self.folder.join(name)) {
            Ok(names) => names,
            Err(error) => return self.missed(name, error),
        };
        self.count += names.len() as u64;
        if self.count > self.most {
            return Err(PackError::TooMany(self.most));
        }
        names.sort_unstable();
        for entry in names {
            self.pack_entry(&name.join(entry), archive)?;
        }
        Ok(())
    }

    fn pack_entry(&mut self, name: &Path, archive: &mut Archive<'_>) -> Result<(), PackError> {
        if name.as_os_str().len() > LONGEST {
            self.left_out.add(name, Why::Path);
            return Ok(());
        }
        let path = self.folder.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.missed(name, error),
        };
        let kind = metadata.file_type();
        let to = archive.path();
        let write = |error| PackError::Write(to.to_owned(), error);
        if kind.is_dir() {
            archive.folder(name, &metadata).map_err(write)?;
            return self.pack_folder(name, archive);
        }
        if kind.is_file() {
            return self.pack_file(name, &path, archive);
        }
        if kind.is_symlink() {
            match fs::read_link(&path) {
                Ok(target) if stays_inside(name, &target) => {
                    archive.link(name, &target, &metadata).map_err(write)?;
                }
                Ok(_) => self.left_out.add(name, Why::Link),
                Err(error) => return self.missed(name, error),
            }
            return Ok(());
        }
        let why = match kind {
            kind if kind.is_fifo() => Why::Pipe,
            kind if kind.is_socket() => Why::Socket,
            _ => Why::Device,
        };
        self.left_out.add(name, why);
        Ok(())
    }

    fn pack_file(&mut self, name: &Path, path: &Path, archive: &mut Archive<'_>) -> Result<(), PackError> {
        let (file, metadata) = match open(path) {
            Ok(opened) => opened,
            Err(error) => return self.missed(name, error),
        };
        if !metadata.is_file() {
            self.left_out.add(name, Why::Vanished);
            return Ok(());
        }
        self.size = self.size.saturating_add(metadata.len());
        if self.size > self.limit {
            return Err(PackError::TooLarge(self.size));
        }
        let written = archive.file(name, &metadata, file);
        let end = written.map_err(|error| PackError::Write(archive.path().to_owned(), error))?;
        if let Some(error) = end.failure {
            self.failed(name, error);
        } else if end.missing > 0 {
            self.left_out.add(name, Why::Shortened);
        }
        Ok(())
    }

    /// Something that was there a moment ago is not, or cannot be read.
    fn missed(&mut self, name: &Path, error: io::Error) -> Result<(), PackError> {
        match error.kind() {
            // A run without a folder of artifacts left none.
            io::ErrorKind::NotFound if name.as_os_str().is_empty() => {}
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.left_out.add(name, Why::Vanished),
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                self.left_out.add(name, Why::Vanished);
            }
            _ => self.failed(name, error),
        }
        Ok(())
    }

    fn failed(&mut self, name: &Path, error: io::Error) {
        let path = self.folder.join(name);
        self.failure.get_or_insert(PackError::Read(path, error));
    }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Opens a file. What was listed as one may have become a link or a pipe since, which is neither followed nor waited for.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Whether a link leads to a place in the folder, wherever other links lead that are packed. So `..` may stand at its
/// beginning alone, where what it leaves is a real folder: after the name of another link, it would leave the place
/// that that one leads to.
fn stays_inside(name: &Path, target: &Path) -> bool {
    let depth = name.components().count() - 1;
    let mut up = 0;
    let mut below = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if !below => up += 1,
            Component::Normal(_) => below = true,
            _ => return false,
        }
    }
    up <= depth && is_plain(target.as_os_str())
}

/// Whether it has a name to lead to, which a tar can hold.
fn is_plain(target: &OsStr) -> bool {
    !target.is_empty() && target.len() <= LONGEST && !target.as_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_may_be_many_and_not_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("artifacts");
        fs::create_dir_all(path.join("sub")).unwrap();
        for number in 0..4 {
            fs::write(path.join("sub").join(number.to_string()), "").unwrap();
        }
        let packed = |most| {
            let mut contents = Contents { most, ..Contents::of(&path, 0) };
            contents.pack_into(&mut Archive::new(&folder.path().join("archive"), u64::MAX))
        };
        packed(5).unwrap();
        assert_eq!(packed(4).unwrap_err().to_string(), "there are more than 4 files and folders");
    }

    #[test]
    fn what_vanishes_while_it_is_packed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let mut contents = Contents::of(folder.path(), 0);
        contents.pack_entry(Path::new("gone"), &mut Archive::new(&path, u64::MAX)).unwrap();
        assert_eq!(
            contents.left_out.to_string(),
            "`gone` is not in its artifacts: it vanished while it was packed"
        );
        assert!(contents.failure.is_none());
    }

    #[test]
    fn links_stay_inside_wherever_they_lead() {
        let cases = [
            ("a", "b", true),
            ("a", "sub/b", true),
            ("a", "./b", true),
            ("sub/a", "../b", true),
            ("sub/deep/a", "../../b/c", true),
            ("a", "../b", false),
            ("sub/a", "../../b", false),
            ("a", "/etc/passwd", false),
            ("sub/a", "/sub/b", false),
            // `b` may lead elsewhere, and what is above that is not what is above here.
            ("sub/a", "b/../c", false),
            ("a", "", false),
        ];
        for (name, target, expected) in cases {
            assert_eq!(stays_inside(Path::new(name), Path::new(target)), expected, "{name} -> {target}");
        }
    }
}
