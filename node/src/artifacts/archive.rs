//! The archive that is being written: a tar, compressed by zstd, and hashed on its way to the disk.

use std::{
    fs::{File, Metadata},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use sha2::{Digest, Sha256};

/// zstd's own default: faster than a disk, and close to the best ratio for text.
const LEVEL: i32 = 3;

type Encoder = zstd::Encoder<'static, Hashing<BufWriter<File>>>;

/// An archive that is being written. Its file is made with its first entry.
pub(super) struct Archive<'a> {
    path: &'a Path,
    /// The most bytes that it may have.
    room: u64,
    tar: Option<tar::Builder<Encoder>>,
}

/// How the content of a file came to its end.
#[derive(Debug, Default)]
pub(super) struct End {
    /// How many bytes it was short of its size; there are zeros in their place.
    pub(super) missing: u64,
    /// What kept it from being read on.
    pub(super) failure: Option<io::Error>,
}

impl<'a> Archive<'a> {
    pub(super) const fn new(path: &'a Path, room: u64) -> Self {
        Self { path, room, tar: None }
    }

    /// Where it is.
    pub(super) const fn path(&self) -> &'a Path {
        self.path
    }

    /// Adds a folder.
    pub(super) fn folder(&mut self, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let mut header = header(metadata, tar::EntryType::Directory);
        self.tar()?.append_data(&mut header, name, io::empty())
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
        let mut header = header(metadata, tar::EntryType::Symlink);
        self.tar()?.append_link(&mut header, name, target)
    }

    /// Adds a file: exactly as many bytes as its metadata says, even if somebody writes on.
    pub(super) fn file(&mut self, name: &Path, metadata: &Metadata, file: File) -> io::Result<End> {
        let mut header = header(metadata, tar::EntryType::Regular);
        header.set_size(metadata.len());
        let mut content = Exactly { file: BufReader::new(file), left: metadata.len(), end: End::default() };
        self.tar()?.append_data(&mut header, name, &mut content)?;
        Ok(content.end)
    }

    /// Completes it, and says how large it is and its SHA-256; `None` when nothing was added.
    pub(super) fn finish(self) -> io::Result<Option<(u64, [u8; 32])>> {
        let Some(tar) = self.tar else { return Ok(None) };
        let Hashing { inner: mut file, hash, size, .. } = tar.into_inner()?.finish()?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(Some((size, hash.finalize().into())))
    }

    fn tar(&mut self) -> io::Result<&mut tar::Builder<Encoder>> {
        let tar = match self.tar.take() {
            Some(tar) => tar,
            None => {
                let file = BufWriter::new(File::create(self.path)?);
                let hashing = Hashing { inner: file, hash: Sha256::new(), size: 0, room: self.room };
                tar::Builder::new(zstd::Encoder::new(hashing, LEVEL)?)
            }
        };
        Ok(self.tar.insert(tar))
    }
}

fn header(metadata: &Metadata, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// The content of a file at the length that its header says: a tar whose headers lie cannot be read. What is missing
/// is made up with zeros.
struct Exactly {
    file: BufReader<File>,
    left: u64,
    end: End,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        let mut read = 0;
        if self.end.missing == 0 {
            read = match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    self.end.failure = Some(error);
                    0
                }
                Ok(read) => read,
            };
            if read == 0 {
                self.end.missing = self.left;
            }
        }
        if self.end.missing > 0 {
            buffer.fill(0);
            read = most;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
    /// The most that may pass.
    room: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.room - self.size {
            let why = "no space left on the disk but what is kept for the host (`disk-reserve`)";
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The size and the SHA-256 of a file.
pub(super) fn measure(mut file: File) -> io::Result<(u64, [u8; 32])> {
    let mut hashing = Hashing { inner: io::sink(), hash: Sha256::new(), size: 0, room: u64::MAX };
    io::copy(&mut file, &mut hashing)?;
    Ok((hashing.size, hashing.hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Seek};

    use super::*;

    /// What is read from an archive of one file, whose size was taken before `change`.
    fn packed(change: impl FnOnce(&File) -> File) -> (End, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (path, archive) = (folder.path().join("a"), folder.path().join("archive"));
        fs::write(&path, "0123456789").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let file = change(&file);
        let mut writer = Archive::new(&archive, u64::MAX);
        let end = writer.file(Path::new("a"), &metadata, file).unwrap();
        // Whatever came of the first, the second can be read.
        let other = File::open(&path).unwrap();
        writer.file(Path::new("b"), &other.metadata().unwrap(), other).unwrap();
        writer.finish().unwrap();
        let mut tar = tar::Archive::new(zstd::Decoder::new(File::open(&archive).unwrap()).unwrap());
        let mut content = Vec::new();
        let mut entries = tar.entries().unwrap();
        entries.next().unwrap().unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(entries.next().unwrap().unwrap().path().unwrap(), Path::new("b"));
        (end, content)
    }

    #[test]
    fn a_file_that_grows_is_packed_as_it_was_and_one_that_shrinks_ends_in_zeros() {
        let (end, content) = packed(|file| {
            let mut again = file.try_clone().unwrap();
            again.seek(io::SeekFrom::End(0)).unwrap();
            again.write_all(b"more").unwrap();
            again.rewind().unwrap();
            again
        });
        assert_eq!((end.missing, content.as_slice()), (0, b"0123456789".as_slice()));
        let (end, content) = packed(|file| {
            file.set_len(4).unwrap();
            file.try_clone().unwrap()
        });
        assert_eq!((end.missing, content.as_slice()), (6, b"0123\0\0\0\0\0\0".as_slice()));
        assert!(end.failure.is_none());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said_and_the_archive_goes_on() {
        let null = |_: &File| File::options().write(true).open("/dev/null").unwrap();
        let (end, content) = packed(null);
        assert_eq!((end.missing, content), (10, vec![0; 10]));
        assert!(end.failure.is_some());
    }
}
