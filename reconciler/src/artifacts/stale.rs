//! Uploads that nobody goes on with: what is left of them goes.
//!
//! A node that comes back after longer than that finds its upload unknown, and begins it again from the start: it asks
//! for the upload by its run and name, and not by its id.

use std::{fs, io, time::SystemTime};

use almanac_schemas::config::ArtifactStore;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Staging, StagingError, UploadError, Uploads};

/// How long an upload may rest. A node without a connection keeps its schedule for seven days by default.
pub const STALE: TimeDelta = TimeDelta::days(7);

/// How many announcements are read at a time.
const BATCH: u32 = 500;

impl Uploads {
    /// Forgets the uploads that nobody has gone on with for [`STALE`], and says how many. What has arrived here is looked
    /// at by each reconciler; announcements are by the one that leads. Of an upload that has ended, the announcement
    /// serves only agents that ask again whether it has. The settings say how stores are reached that have parts.
    ///
    /// # Errors
    ///
    /// When the staging folder or the database cannot be used.
    pub async fn forget_stale(
        &self,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
        leads: bool,
    ) -> Result<u64, UploadError> {
        let before = now - STALE;
        let mut forgotten = 0;
        let staging = self.staging.clone();
        let listed = tokio::task::spawn_blocking(move || resting(&staging, before.into())).await;
        for id in listed.unwrap_or_else(|error| Err(self.unreadable(io::Error::other(error))))? {
            forgotten += u64::from(self.forget(id, settings, before).await?);
        }
        if !leads {
            return Ok(forgotten);
        }
        let mut after = None;
        loop {
            let rows = self.store.resting_uploads(before, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(forgotten) };
            after = Some(*last);
            for (_, id) in rows {
                forgotten += u64::from(self.forget(id, settings, before).await?);
            }
        }
    }

    /// Forgets an upload, unless something was added to it since an instant.
    async fn forget(
        &self,
        id: Uuid,
        settings: &ArtifactStore,
        before: DateTime<Utc>,
    ) -> Result<bool, UploadError> {
        // Whoever adds to it has it; then it is not at rest.
        let Ok(_claim) = self.claim(id) else { return Ok(false) };
        let metadata = tokio::fs::metadata(self.staging.path(id)).await;
        match metadata.and_then(|metadata| metadata.modified()) {
            Ok(modified) if modified >= before.into() => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.unreadable(error).into()),
        }
        // The announcement first: one without its file would only mean that nothing has arrived, and so would a node
        // that asks between the two find it.
        match self.store.upload(id).await?.filter(|upload| upload.direct.is_some()) {
            None => self.store.forget_upload(id).await?,
            Some(upload) => {
                // Of a file that is stored, there are some where its end was cut off.
                let (parts, _) = self.store.arrived(id).await?;
                // Another replica may be granting its parts.
                if !self.store.forget_resting_upload(id, before).await? {
                    return Ok(false);
                }
                let stored = self.store.artifact(upload.run, upload.role, &upload.name).await?.is_some();
                if parts > 0 || !stored {
                    self.forget_parts(&upload, settings).await;
                }
            }
        }
        self.staging.discard(id).await;
        Ok(true)
    }

    fn unreadable(&self, error: io::Error) -> StagingError {
        StagingError::Io(self.staging.folder().to_owned(), error)
    }
}

/// The uploads in the staging folder that nothing was added to since an instant. Other files are left alone.
fn resting(staging: &Staging, before: SystemTime) -> Result<Vec<Uuid>, StagingError> {
    let list = || {
        let mut ids = Vec::new();
        for entry in fs::read_dir(staging.folder())? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".part")?.parse().ok()) else {
                continue;
            };
            // One that ends meanwhile is gone.
            if entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at < before) {
                ids.push(id);
            }
        }
        Ok(ids)
    };
    list().map_err(|error| StagingError::Io(staging.folder().to_owned(), error))
}
