//! How a node sends a file to a store itself: part by part, each with a grant of a few minutes for that one part.
//!
//! On S3 a grant is for one part of one multipart upload and for one content, and the upload is to the place where the file is to
//! lie: when it is completed, no grant of it is good for anything any more. On Azure a grant is for a blob, and whoever holds
//! it could write that blob anew until it expires. So nodes write to a blob of their own for each upload (`.incoming/ID`), which
//! is copied within the store when it is complete. Nobody ever holds a grant for the place where a file lies, and what is
//! verified is the copy.

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use object_store::{
    ObjectStoreExt,
    multipart::{MultipartStore, PartId},
    signer::{SignedUrlOptions, Signer},
};
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use uuid::Uuid;

use super::{ObjectError, Opened, grants::lifetime, objects::Found, open::Kind};
use crate::causes::chain;

/// How long a grant is good for.
pub(super) const GRANT: TimeDelta = TimeDelta::minutes(10);

/// The least and the most that a part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of each part but the last.
    pub least: u64,
    /// Bytes.
    pub most: u64,
}

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// What the store calls its content; empty where it does not say.
    pub etag: String,
}

/// Where the parts of a file go.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The upload.
    pub id: Uuid,
    /// Where the file is to lie.
    pub path: &'a str,
    /// What the store calls the upload; empty where it does not.
    pub multipart: &'a str,
}

/// What became of the parts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// They are a file.
    Whole,
    /// The store has them no more, or they are not those that were confirmed; or they are a file already.
    Gone,
    /// The store knows nothing of them: they are a file already, or about to become one, or forgotten.
    Unknown,
}

/// A request that its holder may make. It is not shown by accident.
#[derive(Clone)]
pub struct Grant {
    /// The method.
    pub method: &'static str,
    /// The address, with a signature.
    pub url: String,
    /// The headers that go with it.
    pub headers: BTreeMap<String, String>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("method", &self.method)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Why a store cannot put parts together, in its words.
const GONE: [&str; 5] =
    [NO_SUCH_UPLOAD, "InvalidPart", "InvalidBlockList", "InvalidBlockId", "EntityTooSmall"];

/// What S3 says of an upload that it does not know, or not any more.
const NO_SUCH_UPLOAD: &str = "NoSuchUpload";

/// How often an object is looked at again that is not what it should be, and how long after: a copy within Azure may go on after it
/// was answered, and is another version when it is done.
const LOOKS: u32 = 30;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Bounds {
    /// More than this at once would be lost when an exclusive run begins, or the link breaks.
    const MOST: u64 = 8 << 20;

    /// Those of S3: parts of 5 MiB at least, 10,000 at most
    /// (docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
    pub(super) fn s3(size: u64) -> Self {
        Self::of(size, 5 << 20, 10_000)
    }

    /// Those of Azure: 50,000 blocks at most
    /// (learn.microsoft.com/rest/api/storageservices/put-block). The least is Almanac's own.
    pub(super) fn azure(size: u64) -> Self {
        Self::of(size, 64 << 10, 50_000)
    }

    fn of(size: u64, least: u64, count: u64) -> Self {
        let least = least.max(size.div_ceil(count));
        Self { least, most: least.max(Self::MOST) }
    }

    /// Whether a part may have so many bytes where so many are left.
    pub fn allow(self, length: u64, left: u64) -> bool {
        length > 0 && length <= left && length <= self.most && (length >= self.least || length == left)
    }
}

impl Opened {
    /// How a file is cut that goes to the store itself; none where it does not take such files.
    pub fn bounds(&self, size: u64) -> Option<Bounds> {
        match &self.kind {
            Kind::Folder(_) => None,
            Kind::Azure(_) => Some(Bounds::azure(size)),
            Kind::S3(_) => Some(Bounds::s3(size)),
        }
    }

    /// Begins a file that goes to a path in parts, and says what the store calls that.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn begin_parts(&self, path: &str) -> Result<String, ObjectError> {
        match &self.kind {
            Kind::S3(store) => {
                store.create_multipart(&self.location(path)).await.map_err(|error| self.failed(error))
            }
            // What is missing there is better heard of before a file was sent.
            Kind::Azure(store) => match store.head(&self.location(path)).await {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(String::new()),
                Err(error) => Err(self.failed(error)),
            },
            Kind::Folder(_) => Ok(String::new()),
        }
    }

    /// Grants a part of a file, the `number`th from 1, with the MD5 of its content.
    ///
    /// # Errors
    ///
    /// When nothing can be signed.
    pub async fn grant_part(
        &self,
        to: Destination<'_>,
        number: u64,
        (start, length): (u64, u64),
        md5: [u8; 16],
        now: DateTime<Utc>,
    ) -> Result<Grant, ObjectError> {
        let md5 = BASE64_STANDARD.encode(md5);
        let (url, expires_at) = match &self.kind {
            Kind::Azure(_) => {
                let (mut url, expires_at) = self.signed(&Method::PUT, &incoming(to.id), now).await?;
                let block = BASE64_STANDARD.encode(block_id(start, length));
                url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", &block);
                (url, expires_at)
            }
            Kind::S3(store) => {
                let mut options = SignedUrlOptions::new()
                    .with_query([("partNumber", number.to_string()), ("uploadId", to.multipart.to_owned())]);
                if let Ok(md5) = HeaderValue::from_str(&md5) {
                    options = options.with_signed_header(CONTENT_MD5, md5);
                }
                let location = self.location(to.path);
                let signed = store.signed_url_opts(Method::PUT, &location, lifetime(GRANT), &options).await;
                (signed.map_err(|error| self.failed(error))?, now + GRANT)
            }
            Kind::Folder(_) => return Err(self.no_grants()),
        };
        let headers = BTreeMap::from([(CONTENT_MD5.to_string(), md5)]);
        Ok(Grant { method: "PUT", url: url.into(), headers, expires_at })
    }

    /// Grants the reading of an object; none where the store serves nobody itself.
    ///
    /// # Errors
    ///
    /// When nothing can be signed.
    pub async fn grant_get(&self, path: &str, now: DateTime<Utc>) -> Result<Option<Grant>, ObjectError> {
        if let Kind::Folder(_) = self.kind {
            return Ok(None);
        }
        let (url, expires_at) = self.signed(&Method::GET, path, now).await?;
        Ok(Some(Grant { method: "GET", url: url.into(), headers: BTreeMap::new(), expires_at }))
    }

    /// Makes a file of its parts, where it is to lie. What was completed before is not said to be whole, with the file in its
    /// place.
    ///
    /// # Errors
    ///
    /// When the store fails; it can be tried again.
    pub async fn complete(&self, to: Destination<'_>, parts: &[Part]) -> Result<Completed, ObjectError> {
        let location = self.location(to.path);
        match &self.kind {
            Kind::S3(store) => {
                let parts = parts.iter().map(|part| PartId { content_id: part.etag.clone() }).collect();
                match store.complete_multipart(&location, &to.multipart.to_owned(), parts).await {
                    // Some servers say so of an upload that they do not know. Where it is the credentials that are wrong, the
                    // verification that follows is refused as well.
                    Err(object_store::Error::PermissionDenied { .. }) => Ok(Completed::Unknown),
                    Err(error) if chain(&error).contains(NO_SUCH_UPLOAD) => Ok(Completed::Unknown),
                    completed => self.completed(completed.map(|_| ())),
                }
            }
            Kind::Azure(store) => {
                let incoming = self.location(&incoming(to.id));
                let parts = parts
                    .iter()
                    .map(|part| PartId { content_id: block_id(part.start, part.length) })
                    .collect();
                let listed = store.complete_multipart(&incoming, &String::new(), parts).await;
                let listed = self.completed(listed.map(|_| ()))?;
                match store.copy(&incoming, &location).await {
                    Ok(()) => Ok(listed),
                    // It was copied before, and what it was copied from is removed.
                    Err(object_store::Error::NotFound { .. }) => Ok(Completed::Gone),
                    Err(error) => Err(self.failed(error)),
                }
            }
            Kind::Folder(_) => Err(self.no_grants()),
        }
    }

    fn completed(&self, result: object_store::Result<()>) -> Result<Completed, ObjectError> {
        match result {
            Ok(()) => Ok(Completed::Whole),
            Err(object_store::Error::NotFound { .. }) => Ok(Completed::Gone),
            Err(error) => {
                let text = chain(&error);
                let gone = GONE.iter().any(|word| text.contains(word));
                if gone { Ok(Completed::Gone) } else { Err(self.failed(error)) }
            }
        }
    }

    /// Whether an object is what was announced. What it is instead is said in hexadecimal, and is empty where there is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn verify(
        &self,
        path: &str,
        size: u64,
        sha256: &str,
    ) -> Result<Result<(), String>, ObjectError> {
        let mut looks = 0;
        loop {
            let found = self.find(path).await?;
            let is_it = |found: &Found| found.size == size && crate::hex::encode(found.sha256) == sha256;
            if found.as_ref().is_some_and(is_it) {
                return Ok(Ok(()));
            }
            let version = found.as_ref().and_then(|found| found.version.clone());
            looks += 1;
            if found.is_some() && looks < LOOKS && matches!(self.kind, Kind::Azure(_)) {
                tokio::time::sleep(LOOK_AGAIN).await;
                if self.version(path).await? != version {
                    continue;
                }
            }
            return Ok(Err(found.map(|found| crate::hex::encode(found.sha256)).unwrap_or_default()));
        }
    }

    /// Forgets the parts of a file, as far as the store lets one, and says whether none are left. It forgets those that are by itself,
    /// or by its own rules.
    pub async fn forget_parts(&self, to: Destination<'_>) -> bool {
        let forgotten = match &self.kind {
            Kind::S3(store) if !to.multipart.is_empty() => {
                let abort = store.abort_multipart(&self.location(to.path), &to.multipart.to_owned()).await;
                self.completed(abort).map(|_| ())
            }
            Kind::Azure(_) => self.delete(&incoming(to.id)).await,
            Kind::S3(_) | Kind::Folder(_) => Ok(()),
        };
        if let Err(error) = &forgotten {
            tracing::warn!(error = chain(error), upload = %to.id, "cannot remove the parts of a file from the store");
        }
        forgotten.is_ok()
    }

    /// The address of an object with a signature, and until when that is good.
    async fn signed(
        &self,
        method: &Method,
        path: &str,
        now: DateTime<Utc>,
    ) -> Result<(reqwest::Url, DateTime<Utc>), ObjectError> {
        if let Some(held) = self.grants.held(method, path, now) {
            return Ok(held);
        }
        let (location, lifetime) = (self.location(path), lifetime(GRANT));
        let url = match &self.kind {
            Kind::Azure(store) => store.signed_url(method.clone(), &location, lifetime).await,
            Kind::S3(store) => store.signed_url(method.clone(), &location, lifetime).await,
            Kind::Folder(_) => return Err(self.no_grants()),
        };
        let url = url.map_err(|error| self.failed(error))?;
        let expires_at = self.grants.hold(method, path, url.clone(), now);
        Ok((url, expires_at))
    }

    fn no_grants(&self) -> ObjectError {
        self.failed(object_store::Error::NotSupported { source: "a folder serves nobody itself".into() })
    }
}

/// Where the blocks of an upload go on Azure.
fn incoming(id: Uuid) -> String {
    format!(".incoming/{id}")
}

/// The name of a block: the same content has the same name, whichever try brings it. All of a blob must be of one length.
fn block_id(start: u64, length: u64) -> String {
    format!("{start:016x}{length:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_fits_into_the_parts_that_a_store_takes() {
        for (bounds, count) in
            [(Bounds::s3 as fn(u64) -> Bounds, 10_000), (Bounds::azure as fn(u64) -> Bounds, 50_000)]
        {
            for size in [0, 1, 1 << 20, 1 << 30, (50 << 30) + 1, 5 << 40] {
                let bounds = bounds(size);
                assert!(
                    bounds.least <= bounds.most && size.div_ceil(bounds.least) <= count,
                    "{size} {bounds:?}"
                );
            }
        }
        assert_eq!(Bounds::s3(1 << 30), Bounds { least: 5 << 20, most: 8 << 20 });
        assert_eq!(Bounds::azure(1 << 30), Bounds { least: 64 << 10, most: 8 << 20 });
    }

    #[test]
    fn only_the_last_part_is_short() {
        let bounds = Bounds { least: 10, most: 20 };
        for (length, left, allowed) in [
            (10, 30, true),
            (20, 30, true),
            (9, 30, false),
            (21, 30, false),
            (9, 9, true),
            (9, 8, false),
            (0, 0, false),
        ] {
            assert_eq!(bounds.allow(length, left), allowed, "{length} of {left}");
        }
    }
}
