//! Uploads: announced, sent, verified, stored.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use almanac_schemas::{NodeName, RunId, RunRole, config::ArtifactStore};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::{
    Bounds, FileName, FileNameError, ObjectError, Part, Staging, StagingError, StoreUrl, StoreUrlError,
    Stores, path, staging, stores::Opened,
};
use crate::{
    hex,
    metrics::Metrics,
    store::{ArtifactRow, DirectRow, RunRow, Store, StoreError, UploadRow},
};

/// The uploads under way and the store that they go to. Clones share them.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub(super) store: Store,
    pub(super) stores: Stores,
    pub(super) staging: Staging,
    /// Where files go whatever the testbed's settings say.
    fixed: Option<StoreUrl>,
    /// Where files go when nothing says.
    default: StoreUrl,
    busy: Arc<Mutex<BTreeSet<Uuid>>>,
}

/// A file that a node wants to send.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The run.
    pub run: RunId,
    /// Which of the job's containers.
    pub role: RunRole,
    /// The file's name.
    pub name: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Whether the node can send it to the store itself.
    pub direct: bool,
}

/// An upload that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The id under which the file is sent.
    pub id: Uuid,
    /// How much of it is there.
    pub offset: u64,
    /// How it is cut, where it goes to the store itself.
    pub direct: Option<Bounds>,
}

/// Why an upload is refused.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UploadError {
    #[error("run {0} is not known; report it before its files")]
    UnknownRun(RunId),
    #[error("run {run} is not one of node `{node}`'s")]
    OtherNode { run: RunId, node: NodeName },
    #[error("`{name}` of run {run} is stored already, with other content; a stored file is never replaced")]
    Different { run: RunId, name: String },
    #[error("upload {0} is not known; begin it again")]
    UnknownUpload(Uuid),
    #[error("upload {0} is being sent by another call; try again when that has ended")]
    Busy(Uuid),
    #[error("this part begins at byte {found}, and {expected} bytes are there; go on from there")]
    Offset { found: u64, expected: u64 },
    #[error("the file is announced with {size} bytes, and this part would make it {found}")]
    TooLong { size: u64, found: u64 },
    #[error("what begins at byte {offset} was damaged on its way; send it again")]
    Damaged { offset: u64 },
    #[error("the upload is not complete: {found} of {size} bytes are there")]
    Incomplete { size: u64, found: u64 },
    #[error(
        "the SHA-256 of what arrived is {found}, and {expected} was announced; what arrived is discarded, begin again"
    )]
    Hash { found: String, expected: String },
    #[error("the store does not have what was sent of upload {0} any more; begin it again")]
    Gone(Uuid),
    #[error("this upload goes through the reconciler; send it with Upload")]
    Through,
    #[error("this upload goes to the store itself; ask for each part with GrantPart")]
    Direct,
    #[error("a part of {found} bytes is refused: expected from {} to {}, or the {left} that are left", .bounds.least, .bounds.most)]
    Length { found: u64, left: u64, bounds: Bounds },
    #[error(transparent)]
    Name(#[from] FileNameError),
    #[error(transparent)]
    Url(#[from] StoreUrlError),
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An upload that this call alone adds to.
#[derive(Debug)]
pub struct Sending {
    row: UploadRow,
    part: staging::Part,
    _claim: Claim,
}

impl Uploads {
    /// Uploads that arrive in `staging` and go to `fixed`, or to where the testbed's settings say,
    /// or to a folder beside the database.
    pub fn new(
        store: Store,
        staging: Staging,
        fixed: Option<StoreUrl>,
        default: PathBuf,
        metrics: Metrics,
    ) -> Self {
        let (stores, default) = (Stores::new(metrics), StoreUrl::folder(default));
        Self { store, stores, staging, fixed, default, busy: Arc::default() }
    }

    /// Announces a file, and says under which id it is sent, how, and how much of it is there.
    ///
    /// # Errors
    ///
    /// When the run is not the node's, or another file of this name is stored.
    pub async fn begin(
        &self,
        node: &NodeName,
        file: Announcement,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<Begun, UploadError> {
        let Announcement { run, role, name, size, sha256, direct } = file;
        let of_run = self.run_of(node, run, role).await?;
        let sha256 = hex::encode(sha256);
        let stored = self.stored(run, role, name.as_str(), size, &sha256).await?;
        // What is stored already goes nowhere, and needs no store that can be used.
        let opened = match direct && stored.is_none() {
            true => Some(self.stores.open(&self.url(settings)?, settings)?),
            false => None,
        };
        let to = opened.as_ref().and_then(|opened| Some((opened, opened.bounds(size)?)));
        let bounds = to.map(|(_, bounds)| bounds);
        let earlier = self.store.unless_lost(self.store.upload_of(run, role, name.as_str())).await?;
        let mut superseded = None;
        if let Some(earlier) = earlier {
            let goes_to = to.map(|(opened, _)| opened.url().to_string());
            let same_way =
                stored.is_some() || earlier.direct.as_ref().map(|direct| &direct.store) == goes_to.as_ref();
            if earlier.sha256 == sha256 && earlier.size == size && same_way {
                let offset = match (&stored, bounds) {
                    (Some(_), _) => size,
                    (None, Some(_)) => self.store.unless_lost(self.store.arrived(earlier.id)).await?.1,
                    (None, None) => self.staging.length(earlier.id).await?,
                };
                return Ok(Begun { id: earlier.id, offset, direct: bounds });
            }
            superseded = Some(earlier);
        }
        let id = Uuid::new_v4();
        let direct = match to {
            None => None,
            Some((opened, _)) => {
                let path = path::of(&of_run, &name);
                let multipart = opened.begin_parts(&path).await?;
                Some(DirectRow { store: opened.url().to_string(), path, multipart })
            }
        };
        let row = UploadRow { id, run, role, name: name.to_string(), size, sha256, active_at: now, direct };
        self.store.unless_lost(self.store.put_upload(&row)).await?;
        // Only now: an announcement that stays, as the store fails, must not count parts that are not there any more.
        if let Some(earlier) = superseded {
            self.staging.discard(earlier.id).await;
            self.forget_parts(&earlier, settings).await;
        }
        Ok(Begun { id, offset: if stored.is_some() { size } else { 0 }, direct: bounds })
    }

    /// Opens an announced file to add to it.
    ///
    /// # Errors
    ///
    /// When it is not the node's, or another call is adding to it.
    pub async fn open(&self, node: &NodeName, id: Uuid) -> Result<Sending, UploadError> {
        let row = self.upload_of(node, id).await?;
        if row.direct.is_some() {
            return Err(UploadError::Direct);
        }
        let claim = self.claim(id)?;
        let part = self.staging.open(id).await?;
        Ok(Sending { row, part, _claim: claim })
    }

    /// Verifies a file that has arrived, with `sent` for its last part, and puts it into the store. Doing it twice is doing it once.
    ///
    /// # Errors
    ///
    /// When it is incomplete, not what was announced, or cannot be stored.
    pub async fn commit(
        &self,
        node: &NodeName,
        id: Uuid,
        sent: Option<&Part>,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<ArtifactRow, UploadError> {
        let upload = self.upload_of(node, id).await?;
        let claims = [self.claim(id)?, self.claim_file(upload.run, upload.role, &upload.name)?];
        // One that was announced before this one may have been stored meanwhile.
        let stored = self.stored(upload.run, upload.role, &upload.name, upload.size, &upload.sha256).await;
        if matches!(stored, Ok(Some(_)) | Err(UploadError::Different { .. })) {
            self.staging.discard(id).await;
        }
        if let Some(stored) = stored? {
            return Ok(stored);
        }
        if let Some(direct) = &upload.direct {
            self.confirm(&upload, sent, now).await?;
            return self.commit_direct(&upload, direct, claims, settings, now).await;
        }
        let length = self.staging.length(id).await?;
        if length < upload.size {
            return Err(UploadError::Incomplete { size: upload.size, found: length });
        }
        if upload.size == 0 {
            // No part was sent, so nothing made the file.
            self.staging.open(id).await?;
        }
        let found = hex::encode(self.staging.digest(id).await?);
        if found != upload.sha256 {
            self.staging.discard(id).await;
            return Err(UploadError::Hash { found, expected: upload.sha256 });
        }
        let run = self.run_of(node, upload.run, upload.role).await?;
        let url = self.url(settings)?;
        let path = path::of(&run, &upload.name.parse()?);
        self.stores.open(&url, settings)?.put(&path, &self.staging.path(id)).await?;
        let row = ArtifactRow {
            run: upload.run,
            role: upload.role,
            name: upload.name,
            size: upload.size,
            sha256: upload.sha256,
            store: url.to_string(),
            path,
            stored_at: now,
            expired: None,
        };
        self.store.unless_lost(self.store.put_artifact(&row)).await?;
        self.staging.discard(id).await;
        Ok(row)
    }

    /// Verifies a file that comes with its announcement and puts it into the store. Doing it twice is doing it once.
    ///
    /// # Errors
    ///
    /// As those of [`Uploads::begin`] and [`Uploads::commit`].
    pub async fn store_at_once(
        &self,
        node: &NodeName,
        file: Announcement,
        content: Bytes,
        settings: &ArtifactStore,
        now: DateTime<Utc>,
    ) -> Result<ArtifactRow, UploadError> {
        let Announcement { run: id, role, name, size, sha256, direct: _ } = file;
        let run = self.run_of(node, id, role).await?;
        let _claim = self.claim_file(id, role, name.as_str())?;
        let sha256 = hex::encode(sha256);
        if let Some(stored) = self.stored(id, role, name.as_str(), size, &sha256).await? {
            return Ok(stored);
        }
        let found = hex::encode(Sha256::digest(&content));
        if found != sha256 {
            return Err(UploadError::Hash { found, expected: sha256 });
        }
        let url = self.url(settings)?;
        let path = path::of(&run, &name);
        self.stores.open(&url, settings)?.put_at_once(&path, content).await?;
        let (name, store) = (name.to_string(), url.to_string());
        let row =
            ArtifactRow { run: id, role, name, size, sha256, store, path, stored_at: now, expired: None };
        self.store.unless_lost(self.store.put_artifact(&row)).await?;
        // It may have been announced before, and have arrived in part.
        if let Some(earlier) = self.store.unless_lost(self.store.upload_of(id, role, &row.name)).await? {
            self.staging.discard(earlier.id).await;
            self.forget_parts(&earlier, settings).await;
        }
        Ok(row)
    }

    /// Opens the store that a stored file is in.
    ///
    /// # Errors
    ///
    /// When its address or the settings make no sense.
    pub fn store_of(&self, row: &ArtifactRow, settings: &ArtifactStore) -> Result<Arc<Opened>, UploadError> {
        Ok(self.stores.open(&row.store.parse()?, settings)?)
    }

    /// Removes a file from a store. One that is not there is removed already. The settings say how stores are reached.
    ///
    /// # Errors
    ///
    /// When its address or the settings make no sense, or it fails.
    pub async fn remove(&self, store: &str, path: &str, settings: &ArtifactStore) -> Result<(), UploadError> {
        Ok(self.stores.open(&store.parse()?, settings)?.delete(path).await?)
    }

    /// Where files go.
    fn url(&self, settings: &ArtifactStore) -> Result<StoreUrl, StoreUrlError> {
        match (&self.fixed, &settings.store) {
            (Some(fixed), _) => Ok(fixed.clone()),
            (None, Some(text)) => StoreUrl::from_str(text),
            (None, None) => Ok(self.default.clone()),
        }
    }

    /// What is stored of a file already: this, or nothing, or it is refused.
    async fn stored(
        &self,
        run: RunId,
        role: RunRole,
        name: &str,
        size: u64,
        sha256: &str,
    ) -> Result<Option<ArtifactRow>, UploadError> {
        let stored = self.store.unless_lost(self.store.artifact(run, role, name)).await?;
        match stored {
            Some(stored) if stored.sha256 != sha256 || stored.size != size => {
                Err(UploadError::Different { run, name: name.to_owned() })
            }
            stored => Ok(stored),
        }
    }

    async fn run_of(&self, node: &NodeName, run: RunId, role: RunRole) -> Result<RunRow, UploadError> {
        let row =
            self.store.unless_lost(self.store.run(run, role)).await?.ok_or(UploadError::UnknownRun(run))?;
        if row.node == *node { Ok(row) } else { Err(UploadError::OtherNode { run, node: node.clone() }) }
    }

    pub(super) async fn upload_of(&self, node: &NodeName, id: Uuid) -> Result<UploadRow, UploadError> {
        let upload =
            self.store.unless_lost(self.store.upload(id)).await?.ok_or(UploadError::UnknownUpload(id))?;
        self.run_of(node, upload.run, upload.role).await?;
        Ok(upload)
    }

    /// Claims the place of a file. Two with different contents must not meet between the look and the store.
    fn claim_file(&self, run: RunId, role: RunRole, name: &str) -> Result<Claim, UploadError> {
        self.claim(Uuid::new_v5(run.as_uuid(), format!("{role}/{name}").as_bytes()))
    }

    pub(super) fn claim(&self, id: Uuid) -> Result<Claim, UploadError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.insert(id) {
            Ok(Claim { busy: Arc::clone(&self.busy), id })
        } else {
            Err(UploadError::Busy(id))
        }
    }
}

impl Sending {
    /// The id of the upload.
    pub fn id(&self) -> Uuid {
        self.row.id
    }

    /// How many bytes are there.
    pub fn length(&self) -> u64 {
        self.part.length
    }

    /// Adds a part.
    ///
    /// # Errors
    ///
    /// When it does not follow what is there, was damaged, or cannot be written.
    pub async fn add(&mut self, offset: u64, data: Bytes, crc32: Option<u32>) -> Result<(), UploadError> {
        if offset != self.part.length {
            return Err(UploadError::Offset { found: offset, expected: self.part.length });
        }
        let found = offset.saturating_add(data.len() as u64);
        if found > self.row.size {
            return Err(UploadError::TooLong { size: self.row.size, found });
        }
        if crc32.is_some_and(|crc32| crc32 != crc32fast::hash(&data)) {
            return Err(UploadError::Damaged { offset });
        }
        Ok(self.part.append(data).await?)
    }
}

/// The exclusive right to an upload, given back when it goes out of scope.
#[derive(Debug)]
pub(super) struct Claim {
    busy: Arc<Mutex<BTreeSet<Uuid>>>,
    id: Uuid,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
