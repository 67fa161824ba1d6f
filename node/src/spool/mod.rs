//! The spool: what runs left behind and the reconciler does not have. It is bounded, so that a node that reaches its
//! reconciler rarely does not fill its disk. What goes for lack of room is recorded with its run; reports are not part
//! of it and never go. Nor does a file stay that is tried in vain, again and again, for a month: its run would be uploading
//! for ever.

mod choose;

use std::{io, path::Path};

use chrono::TimeDelta;
use tracing::warn;

use almanac_schemas::Size;

use crate::{
    clock,
    journal::{GivenUp, Journal, JournalError, PendingUpload},
    state_dir::StateDir,
    upload,
};

use choose::choose;

/// The most that it holds where nothing is said.
const MOST: Size = Size::from_bytes(5 << 30);

/// The most that it holds of a disk where nothing is said, in percent.
const SHARE: u64 = 80;

/// How old the run of a file is that is tried in vain when it is given up, in days. Whoever has to mend a store may be
/// on holiday.
const PATIENCE: TimeDelta = TimeDelta::days(30);

/// How often it was tried by then. A node that was off for months has not tried.
const ATTEMPTS: u32 = 100;

/// The bound of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spool {
    limit: Size,
}

impl Spool {
    /// A spool of so many bytes; or, where that is not said, of 5 GiB or four fifths of the disk that a folder is on,
    /// whichever is less.
    ///
    /// # Errors
    ///
    /// When the disk's size cannot be read.
    pub fn new(limit: Option<Size>, folder: &Path) -> io::Result<Self> {
        let limit = match limit {
            Some(limit) => limit,
            None => usual(disk(folder)?),
        };
        Ok(Self { limit })
    }

    /// How many bytes it holds.
    pub const fn limit(self) -> Size {
        self.limit
    }

    /// Drops files until it is within its bound, but none that is on its way.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or written.
    pub async fn bound(
        self,
        journal: &Journal,
        state_dir: &StateDir,
        is_under_way: impl Fn(i64) -> bool,
    ) -> Result<(), JournalError> {
        if journal.waiting_bytes().await? <= self.limit.as_bytes() {
            return Ok(());
        }
        for upload in choose(journal.waiting_uploads().await?, self.limit) {
            if !is_under_way(upload.id) {
                let why = format!("the node's spool was full ({})", self.limit);
                drop_file(journal, state_dir, &upload, &why).await?;
            }
        }
        Ok(())
    }
}

/// Drops files that were tried in vain for long enough, but none that is on its way. There is nothing to find but after a
/// try has failed.
///
/// # Errors
///
/// When the journal cannot be read or written.
pub async fn end_vain_tries(
    journal: &Journal,
    state_dir: &StateDir,
    is_under_way: impl Fn(i64) -> bool,
) -> Result<(), JournalError> {
    for upload in journal.failing_uploads(ATTEMPTS, clock::now() - PATIENCE).await? {
        if !is_under_way(upload.id) {
            let why = format!("it was tried in vain for {} days", PATIENCE.num_days());
            drop_file(journal, state_dir, &upload, &why).await?;
        }
    }
    Ok(())
}

/// Drops a file, and records it with its run.
async fn drop_file(
    journal: &Journal,
    state_dir: &StateDir,
    upload: &PendingUpload,
    why: &str,
) -> Result<(), JournalError> {
    let (run, file) = (upload.key, &upload.file);
    warn!(%run, file = file.name, bytes = file.size, why, "a file is dropped");
    let problem = format!("`{}` was dropped: {why}", file.name);
    upload::give_up(journal, upload, GivenUp::Dropped, problem).await?;
    upload::remove(&state_dir.run(&run).outbox().join(&file.name));
    Ok(())
}

/// How much it holds of a disk where nothing is said.
fn usual(disk: u64) -> Size {
    MOST.min(Size::from_bytes(disk / 100 * SHARE))
}

/// The bytes of the disk that a folder is on.
fn disk(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_blocks.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_not_filled() {
        assert_eq!(usual(1 << 40), MOST);
        assert_eq!(usual(4_000_000_000), Size::from_bytes(3_200_000_000));
        let folder = tempfile::tempdir().unwrap();
        assert!(Spool::new(None, folder.path()).unwrap().limit() > Size::from_bytes(0));
        let said = Size::from_bytes(10 << 40);
        assert_eq!(Spool::new(Some(said), folder.path()).unwrap().limit(), said);
    }
}
