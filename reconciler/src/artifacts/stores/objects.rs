//! What can be done to the objects of every store.

use std::{io, path::Path};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStoreExt, PutPayload, WriteMultipart, path::Path as ObjectPath,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::{ObjectError, Opened, StoreUrl, direct::Bounds};
use crate::{artifacts::adopt::adopt, metrics::Metrics};

/// What an object is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
    /// Another one when the object is another one.
    pub(super) version: Option<String>,
}

impl Opened {
    /// Puts a file into the store, in parts, so that its size does not matter. It is there as a whole
    /// or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or the store fails.
    pub async fn put(&self, path: &str, file: &Path) -> Result<(), ObjectError> {
        if self.adopt(path, file).await? {
            return Ok(());
        }
        let read = |error| ObjectError::Read(file.to_owned(), error);
        let mut source = tokio::fs::File::open(file).await.map_err(read)?;
        let size = source.metadata().await.map_err(read)?.len();
        let location = self.location(path);
        if size == 0 {
            let put = self.store().put(&location, PutPayload::default()).await;
            return put.map(|_| ()).map_err(|error| self.failed(error));
        }
        let upload = self.store().put_multipart(&location).await.map_err(|error| self.failed(error))?;
        let part = usize::try_from(Bounds::s3(size).least).unwrap_or(usize::MAX);
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
        loop {
            let mut buffer = vec![0; almanac_proto::limits::MAX_CHUNK];
            let length = match source.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) => {
                    // What was begun is cleaned up as far as possible; the reading is what failed.
                    let _ = upload.abort().await;
                    return Err(read(error));
                }
            };
            buffer.truncate(length);
            // One part at a time: the disk is no faster for more.
            if let Err(error) = upload.wait_for_capacity(1).await {
                let _ = upload.abort().await;
                return Err(self.failed(error));
            }
            upload.put(Bytes::from(buffer));
        }
        upload.finish().await.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Takes a file over as it is, where it lies on the disk of the store.
    async fn adopt(&self, path: &str, file: &Path) -> Result<bool, ObjectError> {
        let StoreUrl::Folder(folder) = &self.url else { return Ok(false) };
        let (at, path, file) = (folder.clone(), path.to_owned(), file.to_owned());
        let adopted = tokio::task::spawn_blocking(move || adopt(&at, &path, &file)).await;
        let adopted = adopted.unwrap_or_else(|error| Err(io::Error::other(error)));
        adopted.map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    ObjectError::Full(self.url.clone())
                }
                _ => ObjectError::Read(folder.clone(), error),
            };
            counted(&self.metrics, error)
        })
    }

    /// Puts a small file into the store. It is there as a whole or not at all.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn put_at_once(&self, path: &str, content: Bytes) -> Result<(), ObjectError> {
        let put = self.store().put(&self.location(path), PutPayload::from_bytes(content)).await;
        put.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// The content of an object from an offset on, which must be less than its size.
    ///
    /// # Errors
    ///
    /// When it is not there or the store fails.
    pub async fn get(
        &self,
        path: &str,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectError>>, ObjectError> {
        let options = GetOptions { range: Some(GetRange::Offset(offset)), ..GetOptions::default() };
        let got = self.store().get_opts(&self.location(path), options).await;
        let got = got.map_err(|error| self.missed(path, error))?;
        let (url, metrics) = (self.url.clone(), self.metrics.clone());
        let failed = move |error| counted(&metrics, ObjectError::of(&url, error));
        Ok(got.into_stream().map_err(failed).boxed())
    }

    /// Removes an object. One that is not there is removed already.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delete(&self, path: &str) -> Result<(), ObjectError> {
        match self.store().delete(&self.location(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Reads an object to its end, holding little of it at a time. Nothing where there is none.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Found>, ObjectError> {
        let got = match self.store().get(&self.location(path)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let version = got.meta.e_tag.clone();
        let (mut hash, mut size) = (Sha256::new(), 0);
        let mut content = got.into_stream();
        while let Some(part) = content.try_next().await.map_err(|error| self.failed(error))? {
            hash.update(&part);
            size += part.len() as u64;
        }
        Ok(Some(Found { size, sha256: hash.finalize().into(), version }))
    }

    /// Which version of an object there is.
    pub(super) async fn version(&self, path: &str) -> Result<Option<String>, ObjectError> {
        match self.store().head(&self.location(path)).await {
            Ok(meta) => Ok(meta.e_tag),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn location(&self, path: &str) -> ObjectPath {
        ObjectPath::from(self.url.whole(path))
    }

    pub(super) fn failed(&self, error: object_store::Error) -> ObjectError {
        counted(&self.metrics, ObjectError::of(&self.url, error))
    }

    fn missed(&self, path: &str, error: object_store::Error) -> ObjectError {
        match error {
            object_store::Error::NotFound { .. } => {
                let (store, path) = (self.url.clone(), path.to_owned());
                counted(&self.metrics, ObjectError::NotFound { store, path })
            }
            error => self.failed(error),
        }
    }
}

/// Each failure is counted where it comes up, whatever becomes of it.
fn counted(metrics: &Metrics, error: ObjectError) -> ObjectError {
    metrics.store_failed(error.reason());
    error
}
