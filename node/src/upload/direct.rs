//! Brings a large file to the store itself, part by part. The reconciler grants each part, and keeps the store's keys to itself.

use std::{path::Path, time::Duration};

use almanac_proto::v1;
use md5::{Digest, Md5};
use tokio::time::{self, Instant};
use tonic::Status;
use tracing::debug;

use crate::{backoff::Backoff, link::Link, traffic::Traffic};

use super::{
    part::PartSize,
    put::{PutError, Putter},
    send::{self, UploadError},
};

/// How often in a row a part is tried before other files have their turn.
const TRIES: u32 = 4;

/// What a file is sent with.
pub(super) struct Direct<'a> {
    pub(super) link: &'a Link,
    pub(super) traffic: &'a Traffic,
    pub(super) store: &'a Putter,
    pub(super) path: &'a Path,
    pub(super) size: u64,
}

impl Direct<'_> {
    /// Sends a file from an offset on, and says what the last part was. Whoever commits the file says so.
    ///
    /// # Errors
    ///
    /// When the store does not have all of it afterwards. It can be called again.
    pub(super) async fn send(
        &self,
        upload_id: &str,
        mut offset: u64,
        bounds: v1::DirectUpload,
    ) -> Result<Option<v1::SentPart>, UploadError> {
        let mut part_size = PartSize::first();
        let (mut sent, mut tries, mut backoff) = (None, 0, Backoff::for_calls());
        while offset < self.size {
            self.traffic.free().await;
            let length = part_size.within(&bounds, self.size - offset);
            let granted = self.grant(upload_id, offset, length, sent.take()).await?;
            let Some(request) = granted.request else {
                // Another call was before this one, or a part was not confirmed.
                tries += 1;
                if granted.offset > self.size || tries > TRIES {
                    return Err(UploadError::Offset { found: granted.offset, size: self.size });
                }
                offset = granted.offset;
                continue;
            };
            let since = Instant::now();
            let put = self.store.put(&request, self.path, offset, length, self.traffic);
            tokio::select! {
                biased;
                // Cancel-safe: the part is given up, and sent again as a whole after the run.
                () = self.traffic.taken() => continue,
                put = put => match put {
                    Ok(etag) => {
                        part_size.learn(length, since.elapsed());
                        sent = Some(v1::SentPart { offset, length, etag });
                        offset += length;
                        (tries, backoff) = (0, Backoff::for_calls());
                    }
                    Err(error) => {
                        tries += 1;
                        if tries > TRIES || !error.may_pass() {
                            return Err(error.into());
                        }
                        // A grant that has expired is asked for anew, as every other is.
                        debug!(%error, tries, "a part is sent again");
                        time::sleep(backoff.next_wait()).await;
                    }
                },
            }
        }
        if offset > self.size {
            return Err(UploadError::Offset { found: offset, size: self.size });
        }
        Ok(sent)
    }

    async fn grant(
        &self,
        upload_id: &str,
        offset: u64,
        length: u64,
        sent: Option<v1::SentPart>,
    ) -> Result<v1::GrantPartResponse, UploadError> {
        let mut md5 = Md5::new();
        let read = send::each_chunk(self.path, offset, length, |chunk| md5.update(chunk)).await;
        read.map_err(|error| UploadError::File(self.path.to_owned(), error))?;
        let md5 = bytes::Bytes::copy_from_slice(&md5.finalize());
        let upload_id = upload_id.to_owned();
        let request = v1::GrantPartRequest { upload_id, offset, length, md5, sent };
        self.traffic.opening(0).await;
        let granted = self.link.client().grant_part(Link::request(request)).await?.into_inner();
        match &granted.request {
            Some(_) if granted.offset != offset => {
                Err(Status::internal("the reconciler grants another part than was asked for").into())
            }
            None if granted.offset == offset && offset < self.size => {
                Err(Status::internal("the reconciler grants nothing").into())
            }
            _ => Ok(granted),
        }
    }
}

impl From<PutError> for UploadError {
    fn from(error: PutError) -> Self {
        Self::Store(error)
    }
}

/// How long nothing may be heard of a store.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
