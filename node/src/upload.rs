//! Brings the files of ended runs to the reconciler, one after the other. A run has finished when
//! the reconciler has all of them; only then are they removed here.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::stream;
use thiserror::Error;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tracing::{error, info, warn};

use almanac_proto::v1;

use crate::{
    backoff::Backoff,
    clock,
    journal::{Journal, JournalError, OpenRun, PendingUpload},
    link::Link,
    point::{Point, Points},
    run::Observation,
    runtime::chain,
    state_dir::StateDir,
};

/// Bytes in one message.
const CHUNK: usize = 256 << 10;

/// Bytes in one call. Bounded, so that a call can have a deadline whatever the size of the file.
const PART: u64 = 4 << 20;

/// How long a part may take: 14 kB/s. An interrupted part goes on where the reconciler says.
const PART_DEADLINE: std::time::Duration = std::time::Duration::from_secs(300);

/// What the uploader works with.
pub struct Uploader {
    /// The link to the reconciler.
    pub link: Link,
    /// Where the queue is.
    pub journal: Journal,
    /// Where the files are.
    pub state_dir: Arc<StateDir>,
    /// Says that there is something in the queue.
    pub work: Arc<Notify>,
    /// Wakes the reporter.
    pub report: Arc<Notify>,
    /// Watches what is done.
    pub points: Points,
}

/// Why a file is not with the reconciler.
#[derive(Debug, Error)]
enum UploadError {
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("the reconciler does not take the file")]
    Call(#[from] Status),
    #[error("the reconciler has {found} bytes of a file of {size}")]
    Offset { found: u64, size: u64 },
}

/// Uploads until the agent stops.
pub async fn upload(mut uploader: Uploader, stop: CancellationToken) {
    let mut backoff = Backoff::for_calls();
    loop {
        let round = async {
            match uploader.upload_next().await {
                Ok(Round::Done) => backoff.reset(),
                Ok(Round::Failed) => uploader.link.back_off(&mut backoff).await,
                Ok(Round::Idle) => uploader.work.notified().await,
                Err(failure) => {
                    error!(error = chain(&failure), "the queue of files cannot be read; trying again");
                    uploader.link.back_off(&mut backoff).await;
                }
            }
        };
        tokio::select! {
            // Cancel-safe: a file stays in the queue until the reconciler has all of it.
            () = stop.cancelled() => return,
            () = round => {}
        }
    }
}

enum Round {
    Done,
    Failed,
    Idle,
}

impl Uploader {
    async fn upload_next(&self) -> Result<Round, JournalError> {
        for run in self.journal.delivered_runs().await? {
            self.finish(run).await?;
        }
        let Some(pending) = self.journal.next_upload().await? else { return Ok(Round::Idle) };
        let path = self.state_dir.run(&pending.key).outbox().join(&pending.file.name);
        match self.send(&pending, &path).await {
            Ok(()) => {
                info!(run = %pending.key, file = pending.file.name, bytes = pending.file.size, "uploaded");
                self.points.reach(Point::Uploaded);
                self.journal.end_upload(pending.id).await?;
                self.points.reach(Point::Forgotten);
                remove(&path);
                Ok(Round::Done)
            }
            Err(UploadError::Call(status)) if status.code() == Code::Unavailable => {
                self.link.complain("upload", &status);
                Ok(Round::Failed)
            }
            Err(error) if is_final(&error) => {
                let problem = format!("`{}` is lost: {}", pending.file.name, chain(&error));
                warn!(run = %pending.key, problem, "a file cannot be uploaded");
                self.give_up(&pending, problem).await?;
                remove(&path);
                Ok(Round::Done)
            }
            Err(error) => {
                if let UploadError::Call(status) = &error {
                    self.link.complain("upload", status);
                } else {
                    warn!(run = %pending.key, error = chain(&error), "an upload failed; trying again");
                }
                self.journal.postpone_upload(pending.id).await?;
                Ok(Round::Failed)
            }
        }
    }

    /// Brings one file to the reconciler, from where it has it.
    async fn send(&self, pending: &PendingUpload, path: &Path) -> Result<(), UploadError> {
        let mut client = self.link.client();
        let begin = v1::BeginUploadRequest {
            node: self.link.node.to_string(),
            run_id: pending.key.id.to_string(),
            role: v1::Role::from(pending.key.role).into(),
            name: pending.file.name.clone(),
            size: pending.file.size,
            sha256: bytes::Bytes::copy_from_slice(&pending.file.sha256),
        };
        let begun = client.begin_upload(Link::request(begin)).await?.into_inner();
        let (upload_id, mut offset) = (begun.upload_id, begun.offset);
        let size = pending.file.size;
        while offset < size {
            let part = read(path, offset, PART.min(size - offset))
                .await
                .map_err(|error| UploadError::File(path.to_owned(), error))?;
            let messages = chunks(&upload_id, offset, &part);
            let mut request = Request::new(stream::iter(messages));
            request.set_timeout(PART_DEADLINE);
            let reached = client.upload(request).await?.into_inner().offset;
            if reached <= offset {
                return Err(UploadError::Offset { found: reached, size });
            }
            offset = reached;
        }
        if offset > size {
            return Err(UploadError::Offset { found: offset, size });
        }
        client.commit_upload(Link::request(v1::CommitUploadRequest { upload_id })).await?;
        Ok(())
    }

    /// The reconciler has all files of a run.
    async fn finish(&self, OpenRun { order, state }: OpenRun) -> Result<(), JournalError> {
        let transition = state.next(Observation::Delivered, clock::now());
        self.journal.advance(&order, &transition, clock::now()).await?;
        self.points.reach(Point::Finished);
        self.report.notify_one();
        let key = order.key();
        if let Some(step) = transition.step {
            info!(run = %key, job = %order.job, phase = %step.phase, message = step.message, "run");
        }
        if let Err(error) = self.state_dir.run(&key).remove() {
            warn!(run = %key, %error, "the folder of a run cannot be removed");
        }
        Ok(())
    }

    /// A file will never be with the reconciler, and its run says so.
    async fn give_up(&self, pending: &PendingUpload, problem: String) -> Result<(), JournalError> {
        if let Some(OpenRun { order, state }) = self.journal.open_run(&pending.key).await? {
            let transition = state.next(Observation::Refused(problem), clock::now());
            self.journal.advance(&order, &transition, clock::now()).await?;
        }
        self.journal.end_upload(pending.id).await
    }
}

/// Whether trying again cannot help: the file is gone, or it is not one that the reconciler takes, or
/// another content of that name is stored already.
fn is_final(error: &UploadError) -> bool {
    match error {
        UploadError::File(_, error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
        // Not `OutOfRange`: that is a part at a wrong offset, and the next try asks for the right one.
        UploadError::Call(status) => {
            matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists)
        }
        UploadError::Offset { .. } => false,
    }
}

/// Reads a part of a file.
async fn read(path: &Path, offset: u64, length: u64) -> io::Result<bytes::Bytes> {
    let mut file = File::open(path).await?;
    file.seek(io::SeekFrom::Start(offset)).await?;
    let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut part).await?;
    Ok(part.into())
}

/// The messages of a part. They share its memory.
fn chunks(upload_id: &str, offset: u64, part: &bytes::Bytes) -> Vec<v1::UploadRequest> {
    (0..part.len())
        .step_by(CHUNK)
        .map(|start| v1::UploadRequest {
            upload_id: upload_id.to_owned(),
            offset: offset + start as u64,
            data: part.slice(start..part.len().min(start + CHUNK)),
        })
        .collect()
}

/// A file that stays behind goes with the folder of its run.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(file = %path.display(), %error, "an uploaded file cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_into_messages_without_gap_or_repeat() {
        let part = bytes::Bytes::from(vec![7; CHUNK * 2 + 3]);
        let messages = chunks("u", 100, &part);
        let shape: Vec<(u64, usize)> =
            messages.iter().map(|message| (message.offset, message.data.len())).collect();
        assert_eq!(shape, [(100, CHUNK), (100 + CHUNK as u64, CHUNK), (100 + 2 * CHUNK as u64, 3)]);
        assert!(chunks("u", 0, &bytes::Bytes::new()).is_empty());
    }
}
