//! How far a log is written, for those who read it meanwhile, and for a writer after one that was killed. The mark on
//! the disk says so only now and then, since it waits for the disk; this says it after each write, and waits for
//! nothing. It is true for as long as the host is not booted again: the kernel keeps what a killed writer wrote.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::OnceLock,
};

/// How far a log is written, and what of it can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// The most bytes that are kept.
    pub(super) limit: u64,
    /// All bytes that are written, or were before; each is what it will be in the end.
    pub(super) written: u64,
    /// Where the write that is under way ends, or one that was cut off would have. What it goes over in the
    /// tail is gone.
    pub(super) reserved: u64,
    /// From which byte on the tail is kept, whatever its size.
    pub(super) broken_at: u64,
}

/// The file that says so.
#[derive(Debug)]
pub(super) struct Counter(File);

/// Linux's name for a boot has 36 characters.
const BOOT: usize = 40;

const SIZE: usize = BOOT + 4 * 8;

impl Counter {
    /// Opens it to write. It says what it said before, if that was since the host was booted.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Extent>)> {
        let before = read(path)?;
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        Ok((Self(file), before))
    }

    /// Says everything.
    pub(super) fn say(&self, extent: &Extent) -> io::Result<()> {
        let mut bytes = [0; SIZE];
        bytes[..BOOT].copy_from_slice(boot());
        for (place, number) in bytes[BOOT..].chunks_exact_mut(8).zip(extent.numbers()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.0.write_all_at(&bytes, 0)
    }
}

impl Extent {
    const fn numbers(&self) -> [u64; 4] {
        [self.limit, self.written, self.reserved, self.broken_at]
    }

    pub(super) const fn head_size(&self) -> u64 {
        self.limit / 2
    }

    pub(super) const fn tail_size(&self) -> u64 {
        self.limit - self.head_size()
    }

    /// The first byte that is kept of those after the head.
    pub(super) fn tail_start(&self) -> u64 {
        let furthest = self.written.max(self.reserved);
        self.head_size().max(furthest.saturating_sub(self.tail_size())).max(self.broken_at)
    }

    /// Where a byte after the head lies in the tail's file.
    pub(super) const fn in_tail(&self, byte: u64) -> u64 {
        (byte - self.head_size()) % self.tail_size()
    }
}

/// What it says, if that was since the host was booted; read while somebody writes it, it is of one write or another.
pub(super) fn read(path: &Path) -> io::Result<Option<Extent>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if bytes.len() != SIZE || bytes[..BOOT] != *boot() {
        return Ok(None);
    }
    let mut numbers = bytes[BOOT..]
        .chunks_exact(8)
        .map(|number| number.try_into().map(u64::from_le_bytes).unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    Ok(Some(Extent { limit: next(), written: next(), reserved: next(), broken_at: next() }))
}

/// Which boot of the host this is.
fn boot() -> &'static [u8; BOOT] {
    static NAME: OnceLock<[u8; BOOT]> = OnceLock::new();
    NAME.get_or_init(|| {
        let mut name = [0; BOOT];
        let text = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let length = text.len().min(BOOT);
        name[..length].copy_from_slice(&text[..length]);
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_boot_wrote_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("extent");
        let extent = Extent { limit: 10, written: 3, reserved: 5, broken_at: 1 };
        let (counter, before) = Counter::open(&path).unwrap();
        assert_eq!(before, None);
        counter.say(&extent).unwrap();
        assert_eq!(read(&path).unwrap(), Some(extent));
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
