//! The part of the host's disks that is kept for the host: below it no run starts, and of those that go on, the one that
//! wrote the most is stopped. What runs write lies on the host's own disk, and a host whose disk is full loses more than
//! measurements: its logs, its updates, and the agent's own records.

mod choose;
mod guard;
mod taken;

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use almanac_schemas::Size;

use crate::status::bytes;

pub use guard::{Guard, Watched, Writes, watch};

/// What is kept where nothing is said: room for the updates and logs of a small host. Of a 32 GB card that leaves
/// 31 GB to runs.
const USUAL: Size = Size::from_bytes(1 << 30);

/// The most that is kept of a disk where nothing is said, in percent: a small partition is there to be used.
const SHARE: u64 = 5;

/// How much of a disk is kept for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve(Option<Size>);

impl Reserve {
    /// What a host's owner says; or, where they say nothing, 1 GiB or a twentieth of the disk, whichever is less.
    pub const fn new(said: Option<Size>) -> Self {
        Self(said)
    }

    /// How many bytes of a disk it is.
    pub fn of(self, total: u64) -> u64 {
        self.0.map_or_else(|| USUAL.as_bytes().min(total / 100 * SHARE), Size::as_bytes)
    }
}

/// The disks that runs write to.
#[derive(Debug, Clone)]
pub struct Disks {
    reserve: Reserve,
    /// The folder of their folders.
    runs: Arc<Path>,
    /// Where the engine has images and the file systems of containers; absent where that is unknown.
    engine: Option<Arc<Path>>,
}

/// A disk that runs write to, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be used by others than root.
    pub free: u64,
    /// All of its bytes.
    pub total: u64,
    /// How many are kept for the host.
    pub reserve: u64,
    /// Whether the folders of runs are there.
    pub has_runs: bool,
    /// Whether the file systems of containers are there.
    pub has_containers: bool,
}

/// A disk that has less free than is kept for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage(Disk);

impl Disks {
    /// The disks of a folder and of an engine's.
    pub fn new(reserve: Reserve, runs: PathBuf, engine: Option<PathBuf>) -> Self {
        Self { reserve, runs: runs.into(), engine: engine.map(Arc::from) }
    }

    /// The disks as they are now. What cannot be looked at is nobody's problem here: the engine may be on another host.
    pub fn look(&self) -> Vec<Disk> {
        let mut disks = Vec::with_capacity(2);
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        if let Ok(disk) = self.measure(&self.runs) {
            disks.push(Disk { has_runs: true, ..disk });
        }
        if let Some(engine) = &self.engine {
            match disks.first_mut() {
                Some(runs) if device(engine) == device(&self.runs) => runs.has_containers = true,
                _ => disks.extend(self.measure(engine).map(|disk| Disk { has_containers: true, ..disk })),
            }
        }
        disks
    }

    /// The first disk that has too little.
    pub fn shortage(&self) -> Option<Shortage> {
        self.look().into_iter().find_map(Disk::shortage)
    }

    /// How many bytes packing what a run left may take, where `there` is what an earlier attempt left of it. It may take
    /// half of the reserve: a run is stopped when nothing but that is left, and what it found would be lost otherwise.
    pub fn room_to_pack(&self, there: &Path) -> u64 {
        let Ok(disk) = self.measure(&self.runs) else { return u64::MAX };
        let written = fs::symlink_metadata(there).map_or(0, |found| found.blocks() * 512);
        (disk.free + written).saturating_sub(disk.reserve / 2)
    }

    fn measure(&self, path: &Path) -> io::Result<Disk> {
        let found = rustix::fs::statvfs(path)?;
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        Ok(Disk {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total,
            reserve: self.reserve.of(total),
            has_runs: false,
            has_containers: false,
        })
    }
}

impl Disk {
    /// That it has too little, if it has.
    pub fn shortage(self) -> Option<Shortage> {
        (self.free < self.reserve).then_some(Shortage(self))
    }

    /// Whose it is.
    fn name(&self) -> &'static str {
        if self.has_runs { "the host's disk" } else { "the engine's disk" }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { free, total, reserve, .. } = *self;
        write!(f, "{} of {} free, {} kept for the host", bytes(free), bytes(total), bytes(reserve))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, reserve) = (bytes(self.0.free), bytes(self.0.reserve));
        write!(f, "{} has {free} free, and {reserve} are kept for the host (`disk-reserve`)", self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_of_a_small_disk_and_what_is_said_of_any() {
        let usual = Reserve::new(None);
        assert_eq!(usual.of(32_000_000_000), 1 << 30, "a card of a small board");
        assert_eq!(usual.of(4_000_000_000), 200_000_000);
        assert_eq!(Reserve::new(Some(Size::from_bytes(2 << 30))).of(4_000_000_000), 2 << 30);
        assert_eq!(Reserve::new(Some(Size::from_bytes(0))).of(4_000_000_000), 0);
    }

    #[test]
    fn one_disk_is_looked_at_once_and_what_is_not_there_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let disks = |reserve, engine: Option<PathBuf>| {
            Disks::new(Reserve::new(Some(Size::from_bytes(reserve))), folder.path().to_owned(), engine)
        };
        let both = disks(0, Some(folder.path().to_owned())).look();
        assert!(both.len() == 1 && both[0].has_runs && both[0].has_containers, "{both:?}");
        let elsewhere = disks(0, Some("/no/such/folder".into())).look();
        assert!(elsewhere.len() == 1 && !elsewhere[0].has_containers, "{elsewhere:?}");
        let other = disks(0, Some("/proc".into())).look();
        assert_eq!(other.iter().map(|disk| disk.has_runs).collect::<Vec<_>>(), [true, false]);
        assert_eq!(disks(0, None).shortage(), None);
        let short = disks(1 << 60, None).shortage().unwrap().to_string();
        assert!(short.starts_with("the host's disk has ") && short.contains("disk-reserve"), "{short}");
        assert_eq!(disks(1 << 62, None).room_to_pack(Path::new("/no/such/file")), 0);
    }
}
