//! Stores of files, named by their addresses. `file://` is one; others are told apart here and
//! nowhere else.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, local::LocalFileSystem,
    path::Path as ObjectPath,
};
use thiserror::Error;
use tokio::io::AsyncReadExt;

use super::adopt::adopt;

/// The address of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(PathBuf);

/// A text that is not the address of a store that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreUrlError {
    /// It is of another scheme.
    #[error(
        "artifacts are to go to `{0}`, and this version stores them in folders only: expected `file:///absolute/path`"
    )]
    Scheme(String),
    /// The path is not absolute.
    #[error("`{0}` does not name an absolute path: expected `file:///absolute/path`")]
    Relative(String),
}

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// Its disk is full.
    #[error("the disk of the store {0} is full")]
    Full(StoreUrl),
    /// The object is not there.
    #[error("`{path}` is not in the store {store} any more")]
    NotFound {
        /// The store.
        store: StoreUrl,
        /// The object.
        path: String,
    },
    /// Anything else.
    #[error("the store {0} failed")]
    Store(StoreUrl, #[source] object_store::Error),
    /// What is to be stored cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
}

impl StoreUrl {
    /// A folder.
    pub fn folder(path: PathBuf) -> Self {
        Self(path)
    }

    fn open(&self) -> Result<Arc<dyn ObjectStore>, ObjectError> {
        std::fs::create_dir_all(&self.0).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => ObjectError::Full(self.clone()),
            _ => ObjectError::Read(self.0.clone(), error),
        })?;
        let store = LocalFileSystem::new_with_prefix(&self.0).map_err(|error| self.failed(error))?;
        // What an agent was told to be stored must be there after a power cut.
        Ok(Arc::new(store.with_fsync(true)))
    }

    /// Puts a file into the store, in parts, so that its size does not matter. It is there as a whole
    /// or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or the store fails.
    pub async fn put(&self, path: &str, file: &Path) -> Result<(), ObjectError> {
        let read = |error| ObjectError::Read(file.to_owned(), error);
        if self.adopt(path, file).await? {
            return Ok(());
        }
        let mut source = tokio::fs::File::open(file).await.map_err(read)?;
        let store = self.open()?;
        let location = ObjectPath::from(path);
        if source.metadata().await.map_err(read)?.len() == 0 {
            let put = store.put(&location, PutPayload::default()).await;
            return put.map(|_| ()).map_err(|error| self.failed(error));
        }
        let upload = store.put_multipart(&location).await.map_err(|error| self.failed(error))?;
        let mut upload = WriteMultipart::new(upload);
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
        let (folder, path, file) = (self.0.clone(), path.to_owned(), file.to_owned());
        let adopted = tokio::task::spawn_blocking(move || adopt(&folder, &path, &file)).await;
        let adopted = adopted.unwrap_or_else(|error| Err(io::Error::other(error)));
        adopted.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ObjectError::Full(self.clone()),
            _ => ObjectError::Read(self.0.clone(), error),
        })
    }

    /// Puts a small file into the store. It is there as a whole or not at all.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn put_at_once(&self, path: &str, content: Bytes) -> Result<(), ObjectError> {
        let put = self.open()?.put(&ObjectPath::from(path), PutPayload::from_bytes(content)).await;
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
        let store = self.open()?;
        let got = store.get_opts(&ObjectPath::from(path), options).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => {
                ObjectError::NotFound { store: self.clone(), path: path.to_owned() }
            }
            error => self.failed(error),
        })?;
        let this = self.clone();
        Ok(got.into_stream().map_err(move |error| this.failed(error)).boxed())
    }

    fn failed(&self, error: object_store::Error) -> ObjectError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(this) = cause {
            let io = this.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
                return ObjectError::Full(self.clone());
            }
            cause = this.source();
        }
        ObjectError::Store(self.clone(), error)
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let path = match text.split_once("://") {
            None => text,
            Some(("file", path)) => path,
            Some(_) => return Err(StoreUrlError::Scheme(text.to_owned())),
        };
        let path = PathBuf::from(path);
        if path.is_absolute() { Ok(Self(path)) } else { Err(StoreUrlError::Relative(text.to_owned())) }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_stores_and_others_are_named() {
        assert_eq!("file:///a/b".parse::<StoreUrl>().unwrap().to_string(), "file:///a/b");
        assert_eq!("/a/b".parse::<StoreUrl>().unwrap().to_string(), "file:///a/b");
        let error = "az://container/prefix".parse::<StoreUrl>().unwrap_err();
        assert!(error.to_string().contains("az://container/prefix"));
        assert!(matches!("a/b".parse::<StoreUrl>(), Err(StoreUrlError::Relative(_))));
    }
}
