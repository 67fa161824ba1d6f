//! Uploads that go to the store itself: which part may go next, and what becomes of all of them.

use almanac_schemas::{NodeName, config::ArtifactStore};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Grant, Part, UploadError, Uploads,
    stores::{Completed, Destination},
    uploads::Claim,
};
use crate::{
    causes::chain,
    store::{ArtifactRow, DirectRow, PartRow, UploadRow},
};

/// How long after its last part a file may be put together by another reconciler. A store takes minutes for a large one.
const ASSEMBLING: TimeDelta = TimeDelta::minutes(15);

/// A part that a node wants to send.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Its MD5.
    pub md5: [u8; 16],
    /// The part before it, which the store has taken.
    pub sent: Option<Part>,
}

/// What a node may send.
#[derive(Debug)]
pub struct Granted {
    /// How many bytes are there.
    pub offset: u64,
    /// Absent where the part that was asked for does not follow them.
    pub grant: Option<Grant>,
}

impl Uploads {
    /// Confirms a part, and grants the next one.
    ///
    /// # Errors
    ///
    /// When the upload is not the node's or goes another way, or nothing can be granted.
    pub async fn grant_part(
        &self,
        node: &NodeName,
        id: Uuid,
        asked: Asked,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<Granted, UploadError> {
        let upload = self.upload_of(node, id).await?;
        let direct = upload.direct.as_ref().ok_or(UploadError::Through)?;
        let (count, offset) = self.confirm(&upload, asked.sent.as_ref(), now).await?;
        if asked.start != offset || offset == upload.size {
            return Ok(Granted { offset, grant: None });
        }
        let store = self.stores.open(&direct.store.parse()?, settings)?;
        let bounds = store.bounds(upload.size).ok_or(UploadError::Through)?;
        let left = upload.size - offset;
        if !bounds.allow(asked.length, left) {
            return Err(UploadError::Length { found: asked.length, left, bounds });
        }
        let part = (asked.start, asked.length);
        let grant = store.grant_part(destination(&upload, direct), count + 1, part, asked.md5, now).await?;
        Ok(Granted { offset, grant: Some(grant) })
    }

    /// Records a part that the store has taken, and says how many there are and how many bytes. What does not follow what is there
    /// is left out: the node goes on from what it is told.
    pub(super) async fn confirm(
        &self,
        upload: &UploadRow,
        sent: Option<&Part>,
        now: DateTime<Utc>,
    ) -> Result<(u64, u64), UploadError> {
        let arrived = self.store.unless_lost(self.store.arrived(upload.id)).await?;
        let Some(Part { start, length, etag }) = sent else { return Ok(arrived) };
        if *start != arrived.1 || *length == 0 {
            return Ok(arrived);
        }
        let found = start.saturating_add(*length);
        if found > upload.size {
            return Err(UploadError::TooLong { size: upload.size, found });
        }
        let row = PartRow { start: *start, length: *length, etag: etag.clone() };
        self.store.unless_lost(self.store.put_part(upload.id, &row, now)).await?;
        Ok(self.store.unless_lost(self.store.arrived(upload.id)).await?)
    }

    /// Makes a file of its parts and verifies it. This goes on when the node does not wait for it any longer: a large file takes
    /// longer than a call, and would otherwise be begun again and again.
    pub(super) async fn commit_direct(
        &self,
        upload: &UploadRow,
        direct: &DirectRow,
        claims: [Claim; 2],
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<ArtifactRow, UploadError> {
        let (_, found) = self.store.unless_lost(self.store.arrived(upload.id)).await?;
        if found < upload.size {
            return Err(UploadError::Incomplete { size: upload.size, found });
        }
        let (this, upload, direct, settings) =
            (self.clone(), upload.clone(), direct.clone(), settings.clone());
        let id = upload.id;
        let task = tokio::spawn(async move {
            let _claims = claims;
            this.finish(&upload, direct, &settings, now).await
        });
        // It is ended by nobody, so that it can only have panicked; then the claims are free and the node tries again.
        task.await.unwrap_or(Err(UploadError::Busy(id)))
    }

    async fn finish(
        &self,
        upload: &UploadRow,
        direct: DirectRow,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<ArtifactRow, UploadError> {
        let store = self.stores.open(&direct.store.parse()?, settings)?;
        let to = destination(upload, &direct);
        let parts = self.store.unless_lost(self.store.parts(upload.id)).await?;
        let part = |PartRow { start, length, etag }| Part { start, length, etag };
        let parts: Vec<Part> = parts.into_iter().map(part).collect();
        // Where it is not there as parts any more, it may be there as a file: whoever completed it was cut off before it said so.
        // Stores differ in what they answer to that.
        let completed = store.complete(to, &parts).await;
        if let Err(found) = store.verify(&direct.path, upload.size, &upload.sha256).await? {
            let completed = completed?;
            // Another replica, which the node asked before, may be at it: until it is done there is nothing to be seen.
            if completed == Completed::Unknown && found.is_empty() && now - upload.active_at < ASSEMBLING {
                return Err(UploadError::Busy(upload.id));
            }
            if completed != Completed::Whole {
                tracing::warn!(upload = %upload.id, "the store has the parts of a file no more");
            }
            return Err(self.discard(upload, &direct, settings, found).await?);
        }
        let row = ArtifactRow {
            run: upload.run,
            role: upload.role,
            name: upload.name.clone(),
            size: upload.size,
            sha256: upload.sha256.clone(),
            store: direct.store.clone(),
            path: direct.path.clone(),
            stored_at: now,
            expired: None,
        };
        if !self.store.unless_lost(self.store.put_uploaded(upload.id, &row)).await? {
            return Err(UploadError::UnknownUpload(upload.id));
        }
        // In this order: whoever is cut off between the two leaves a record of what the store still has.
        if store.forget_parts(to).await {
            self.store.unless_lost(self.store.forget_parts(upload.id)).await?;
        }
        // The first record of it is the one that counts.
        let stored = self.store.artifact(upload.run, upload.role, &upload.name);
        Ok(self.store.unless_lost(stored).await?.unwrap_or(row))
    }

    /// Removes what is not what was announced. The node begins anew.
    async fn discard(
        &self,
        upload: &UploadRow,
        direct: &DirectRow,
        settings: &ArtifactStore,
        found: String,
    ) -> Result<UploadError, UploadError> {
        let store = self.stores.open(&direct.store.parse()?, settings)?;
        // Another replica may have found the right one meanwhile. Nothing is removed before it is sure that none records it:
        // what this one is cut off from removing is replaced when the file comes again.
        if !self.store.unless_lost(self.store.forget_unless_stored(upload)).await? {
            return Err(UploadError::Busy(upload.id));
        }
        store.delete(&direct.path).await?;
        store.forget_parts(destination(upload, direct)).await;
        if found.is_empty() {
            return Ok(UploadError::Gone(upload.id));
        }
        Ok(UploadError::Hash { found, expected: upload.sha256.clone() })
    }

    /// Forgets the parts of an upload that nobody completes any more.
    pub(super) async fn forget_parts(&self, upload: &UploadRow, settings: &ArtifactStore) {
        let Some(direct) = &upload.direct else { return };
        let opened = direct.store.parse().map_err(UploadError::from);
        match opened.and_then(|url| Ok(self.stores.open(&url, settings)?)) {
            Ok(store) => _ = store.forget_parts(destination(upload, direct)).await,
            // The settings are those of another store by now. What is left there it forgets by its own rules.
            Err(error) => {
                tracing::warn!(error = chain(&error), upload = %upload.id, "parts of a file are left in a store");
            }
        }
    }
}

fn destination<'a>(upload: &UploadRow, direct: &'a DirectRow) -> Destination<'a> {
    Destination { id: upload.id, path: &direct.path, multipart: &direct.multipart }
}
