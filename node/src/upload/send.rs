//! Brings one file to the reconciler, at the pace of the link.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{Stream, stream};
use thiserror::Error;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time::Instant,
};
use tonic::{Code, Request, Status};

use almanac_proto::v1;

use crate::{
    journal::{Lane, PendingUpload},
    link::Link,
    traffic::Traffic,
};

use super::{
    direct::Direct,
    part::{self, PartSize},
    put::{PutError, Putter},
};

/// How long a part may take, and a small file: 220 bytes per second. An interrupted part goes on where the reconciler
/// says.
const PART_DEADLINE: Duration = Duration::from_secs(300);

/// Why a file is not with the reconciler.
#[derive(Debug, Error)]
pub(super) enum UploadError {
    /// It cannot be read here.
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The reconciler is not reached, or refuses it.
    #[error("the reconciler does not take the file")]
    Call(#[from] Status),
    /// The store that it goes to itself does not take it.
    #[error("the store does not take the file")]
    Store(#[source] PutError),
    /// It arrived broken time and again.
    #[error("it arrived broken {0} times")]
    Broken(u32),
    /// The reconciler has a part of it that makes no sense.
    #[error("the reconciler has {found} bytes of a file of {size}")]
    Offset {
        /// What it has.
        found: u64,
        /// What it should have in the end.
        size: u64,
    },
}

impl UploadError {
    /// Whether trying again cannot help: the file is gone, or it is not one that the reconciler takes, or another
    /// content of that name is stored already.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::File(_, error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
            }
            // Not `OutOfRange`: that is a part at a wrong offset, and the next try asks for the right one.
            Self::Call(status) => matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists),
            Self::Broken(_) => true,
            Self::Store(_) | Self::Offset { .. } => false,
        }
    }
}

/// Brings one file to the reconciler, from where it has it.
///
/// # Errors
///
/// When the reconciler does not have all of it afterwards. It can be called again.
pub(super) async fn send(
    link: &Link,
    traffic: &Traffic,
    store: &Putter,
    pending: &PendingUpload,
    path: &Path,
) -> Result<(), UploadError> {
    let unreadable = |error| UploadError::File(path.to_owned(), error);
    let size = pending.file.size;
    let mut client = link.client();
    let content = match Lane::of(size) {
        Lane::Small => Some(read(path, 0, size).await.map_err(unreadable)?),
        Lane::Large => None,
    };
    let sent = content.as_ref().map_or(0, bytes::Bytes::len);
    traffic.opening(sent).await;
    let begun = client.begin_upload(request(announcement(link, pending, content))).await?.into_inner();
    if begun.artifact.is_some() {
        return Ok(());
    }
    // A large file, or a reconciler that is older than content in announcements.
    let (upload_id, mut offset) = (begun.upload_id, begun.offset);
    if let Some(bounds) = begun.direct {
        let sent = Direct { link, traffic, store, path, size }.send(&upload_id, offset, bounds).await?;
        client.commit_upload(request(v1::CommitUploadRequest { upload_id, sent })).await?;
        return Ok(());
    }
    let mut part_size = PartSize::first();
    while offset < size {
        traffic.free().await;
        let part = read(path, offset, part_size.of(size - offset)).await.map_err(unreadable)?;
        let messages = part::messages(&upload_id, offset, &part);
        let since = Instant::now();
        let reached = client.upload(request(paced(messages, traffic.clone()))).await?.into_inner().offset;
        if reached <= offset {
            return Err(UploadError::Offset { found: reached, size });
        }
        part_size.learn(reached - offset, since.elapsed());
        offset = reached;
    }
    if offset > size {
        return Err(UploadError::Offset { found: offset, size });
    }
    // No deadline but that of a part: hashing and storing take as long as the file is large.
    client.commit_upload(request(v1::CommitUploadRequest { upload_id, sent: None })).await?;
    Ok(())
}

fn announcement(
    link: &Link,
    pending: &PendingUpload,
    content: Option<bytes::Bytes>,
) -> v1::BeginUploadRequest {
    v1::BeginUploadRequest {
        node: link.node.to_string(),
        run_id: pending.key.id.to_string(),
        role: v1::Role::from(pending.key.role).into(),
        name: pending.file.name.clone(),
        size: pending.file.size,
        sha256: bytes::Bytes::copy_from_slice(&pending.file.sha256),
        direct: content.is_none(),
        content,
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PART_DEADLINE);
    request
}

/// The messages of a part, each at its turn. The part ends early when an exclusive run begins: the rest is another
/// part, after the run. The first goes in any case, since a part is not empty.
fn paced(messages: Vec<v1::UploadRequest>, traffic: Traffic) -> impl Stream<Item = v1::UploadRequest> {
    let mut is_first = true;
    stream::unfold(messages.into_iter(), move |mut messages| {
        let may_end = !std::mem::take(&mut is_first);
        let traffic = traffic.clone();
        async move {
            let message = messages.next()?;
            let turn = traffic.turn(message.data.len());
            if may_end {
                tokio::select! {
                    biased;
                    // Cancel-safe: what was not sent is read again from the file.
                    () = traffic.taken() => return None,
                    () = turn => {}
                }
            } else {
                turn.await;
            }
            Some((message, messages))
        }
    })
}

/// Reads a part of a file, piece by piece.
pub(super) async fn each_chunk(
    path: &Path,
    offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut file = File::open(path).await?;
    file.seek(io::SeekFrom::Start(offset)).await?;
    let mut piece = vec![0; part::CHUNK];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(part::CHUNK).min(part::CHUNK);
        file.read_exact(&mut piece[..count]).await?;
        take(&piece[..count]);
        left -= count as u64;
    }
    Ok(())
}

/// Reads a part of a file.
async fn read(path: &Path, offset: u64, length: u64) -> io::Result<bytes::Bytes> {
    let mut file = File::open(path).await?;
    file.seek(io::SeekFrom::Start(offset)).await?;
    let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut part).await?;
    Ok(part.into())
}
