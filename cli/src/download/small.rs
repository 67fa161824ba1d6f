//! Small files, many in one call.

use bytes::Bytes;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tonic::{Code, Status};

use almanac_proto::{
    convert::FieldError,
    v1::{self, downloaded_file::Outcome as Sent},
};

use super::File;
use crate::{
    call::{CallError, Caller},
    fetch::{FetchError, PART_DEADLINE},
    view::State,
};

/// What came of a file.
type Result<T> = std::result::Result<T, FetchError>;

/// What came of files, by their places in the list.
type Came = Vec<(usize, Result<State>)>;

/// Fetches files that are not there, and hands over what comes of each as it comes. Those that nothing is handed over for
/// have not arrived.
///
/// # Errors
///
/// When the call fails, or what is answered makes no sense.
pub(super) async fn save(
    caller: &Caller,
    files: &[File],
    mut came: impl FnMut(usize, Result<State>),
) -> Result<()> {
    let question = v1::DownloadFilesRequest { files: files.iter().map(name).collect() };
    let late = |_| caller.silent();
    let call = caller.patiently(async |mut client| client.download_files(question.clone()).await);
    let mut answers = timeout(PART_DEADLINE, call).await.map_err(late)??;
    // While one message is written, the next one comes.
    let mut writing: Option<JoinHandle<Came>> = None;
    loop {
        let message = timeout(PART_DEADLINE, answers.message()).await.map_err(late)?;
        if let Some(before) = writing.take() {
            before.await?.into_iter().for_each(|(index, state)| came(index, state));
        }
        let Some(message) = message.map_err(|status| caller.explain(&status))? else { return Ok(()) };
        let mut contents = Vec::with_capacity(message.files.len());
        for sent in message.files {
            let index = sent.index as usize;
            let file = files
                .get(index)
                .ok_or_else(|| CallError::Answer(wrong("is of no file that was asked for")))?;
            match sent.outcome {
                Some(Sent::Content(content)) => contents.push((index, file.clone(), content)),
                Some(Sent::Refusal(refusal)) => came(index, Err(refused(caller, refusal).into())),
                None => return Err(CallError::Answer(wrong("has no outcome")).into()),
            }
        }
        writing = Some(spawn_blocking(move || {
            let put = |(index, file, content): (usize, File, Bytes)| {
                (index, file.place.put(&file.artifact, &content))
            };
            contents.into_iter().map(put).collect()
        }));
    }
}

fn name(file: &File) -> v1::FileName {
    v1::FileName {
        run_id: file.run.to_string(),
        role: v1::Role::from(file.artifact.role).into(),
        name: file.artifact.name.clone(),
    }
}

fn wrong(problem: &str) -> FieldError {
    FieldError::invalid("files", format!("one {problem}"))
}

fn refused(caller: &Caller, refusal: v1::FileRefusal) -> CallError {
    caller.explain(&Status::new(Code::from(refusal.code), refusal.message))
}
