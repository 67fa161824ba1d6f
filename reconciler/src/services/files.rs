//! Many small files in one answer: a call for each would cost more than what it brings.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use almanac_proto::{
    convert::{FieldError, parse},
    limits, v1,
};
use almanac_schemas::{RunId, RunRole, UserName};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Code, Status};

use crate::{
    artifacts::Opened,
    rights::{Action, Caller},
    store::ArtifactRow,
};

use super::{Context, refuse, runs, stopping::until_stopped};

/// How many files of a call are read at a time. Each is in memory until those before it are sent.
const READING: usize = 16;

/// How many bytes of files end a message. A message has one file at least, and at most this and the last file.
const MESSAGE: usize = 256 << 10;

/// What is answered.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::DownloadFilesResponse, Status>> + Send>>;

/// A file that is asked for.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    run: RunId,
    role: RunRole,
    name: String,
}

/// Answers each file by itself: what one cannot be sent for holds back none of the others.
pub(super) async fn download(
    context: &Context,
    caller: &Caller,
    files: Vec<v1::FileName>,
) -> Result<Answers, Status> {
    let most = limits::MAX_FILES;
    if files.len() > most {
        return Err(Status::invalid_argument(format!("one call asks for {most} files at most")));
    }
    let keys: Vec<Key> = files.into_iter().map(key).collect::<Result<_, _>>().map_err(refuse::field)?;
    let mut ids: Vec<RunId> = keys.iter().map(|key| key.run).collect();
    ids.sort_unstable();
    ids.dedup();
    let runs = context.database("runs_of", context.store.runs_of(&ids)).await?;
    let owners: HashMap<RunId, UserName> =
        runs.into_iter().filter(|row| runs::sees(caller, row)).map(|row| (row.id, row.owner)).collect();
    let rows = context.database("artifacts_of", context.store.artifacts_of(&ids)).await?;
    let mut rows: HashMap<Key, ArtifactRow> = rows
        .into_iter()
        .map(|row| (Key { run: row.run, role: row.role, name: row.name.clone() }, row))
        .collect();
    // Each store is opened once, and what keeps it from being opened is said once.
    let mut stores: HashMap<String, Result<Arc<Opened>, Status>> = HashMap::new();
    let wanted: Vec<Result<(ArtifactRow, Arc<Opened>), Status>> = keys
        .iter()
        .map(|key| {
            let owner = owners
                .get(&key.run)
                .ok_or_else(|| Status::not_found(format!("there is no run {} that you may see", key.run)))?;
            caller.may(Action::Download { owner }).map_err(|error| refuse::forbidden(&error))?;
            let row = sendable(key, rows.remove(key))?;
            let store = stores.entry(row.store.clone()).or_insert_with(|| runs::store_of(context, &row));
            Ok((row, store.clone()?))
        })
        .collect();
    let read = stream::iter(wanted.into_iter().enumerate())
        .map(async |(index, wanted)| {
            let content = match wanted {
                Ok((row, store)) => content(row, store).await,
                Err(refusal) => Err(refusal),
            };
            (index, content)
        })
        .buffered(READING);
    let answers = packed(read.map(|(index, content)| answer(index, content)));
    Ok(Box::pin(until_stopped(answers, context.stop.clone(), "ask again for the files that have not come")))
}

fn key(file: v1::FileName) -> Result<Key, FieldError> {
    let role = RunRole::try_from(file.role())?;
    Ok(Key { run: parse("run_id", &file.run_id)?, role, name: file.name })
}

fn sendable(key: &Key, row: Option<ArtifactRow>) -> Result<ArtifactRow, Status> {
    let row = row.ok_or_else(|| refuse::no_file(key.run, &key.name))?;
    if let Some(refusal) = refuse::expired(&row) {
        return Err(refusal);
    }
    if row.size > limits::MAX_CONTENT as u64 {
        return Err(Status::out_of_range(format!(
            "`{}` of run {} has {} bytes, and {} may come with others; DownloadArtifact sends it",
            row.name,
            row.run,
            row.size,
            limits::MAX_CONTENT
        )));
    }
    Ok(row)
}

/// All of a small file.
async fn content(row: ArtifactRow, store: Arc<Opened>) -> Result<Bytes, Status> {
    if row.size == 0 {
        return Ok(Bytes::new());
    }
    let mut parts = store.get(&row.path, 0).await.map_err(refuse::object)?;
    let mut content = BytesMut::new();
    while let Some(part) = parts.try_next().await.map_err(refuse::object)? {
        content.extend_from_slice(&part);
        if content.len() > limits::MAX_CONTENT {
            return Err(Status::data_loss(format!(
                "`{}` of run {} is larger in its store than it was when it was stored",
                row.name, row.run
            )));
        }
    }
    Ok(content.freeze())
}

fn answer(index: usize, content: Result<Bytes, Status>) -> v1::DownloadedFile {
    use v1::downloaded_file::Outcome;
    let outcome = match content {
        Ok(content) => Outcome::Content(content),
        Err(status) => Outcome::Refusal(v1::FileRefusal {
            code: if status.code() == Code::Ok { Code::Unknown } else { status.code() }.into(),
            message: status.message().to_owned(),
        }),
    };
    v1::DownloadedFile { index: u32::try_from(index).unwrap_or(u32::MAX), outcome: Some(outcome) }
}

/// Puts files together into messages.
fn packed(
    files: impl Stream<Item = v1::DownloadedFile> + Send + 'static,
) -> impl Stream<Item = Result<v1::DownloadFilesResponse, Status>> + Send {
    stream::unfold(Box::pin(files), async |mut files| {
        let mut message = v1::DownloadFilesResponse::default();
        let mut bytes = 0;
        while bytes < MESSAGE
            && let Some(file) = files.next().await
        {
            if let Some(v1::downloaded_file::Outcome::Content(content)) = &file.outcome {
                bytes += content.len();
            }
            message.files.push(file);
        }
        (!message.files.is_empty()).then_some((Ok(message), files))
    })
}
