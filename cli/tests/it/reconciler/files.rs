//! Files of runs, one or many at a time, or from their store.

use bytes::Bytes;
use tokio_stream::iter;
use tonic::Status;

use almanac_proto::v1;

use super::{Messages, NOW, Reconciler, at};

pub(super) fn list(
    _reconciler: &Reconciler,
    _question: &v1::ListArtifactsRequest,
) -> Result<v1::ListArtifactsResponse, Status> {
    Err(Status::unimplemented("the command asks for runs as a whole"))
}

pub(super) fn download(
    reconciler: &Reconciler,
    question: &v1::DownloadArtifactRequest,
) -> Result<Messages<v1::DownloadArtifactResponse>, Status> {
    let mut state = reconciler.state.lock().unwrap();
    let breaks = state.breaks.pop_front();
    let file = state
        .files
        .iter()
        .find(|file| file.announced.name == question.name && file.announced.role == question.role);
    let file = file.ok_or_else(|| Status::not_found("no such file"))?;
    let rest = file.content[usize::try_from(question.offset).unwrap()..].to_vec();
    let length = breaks.unwrap_or(usize::MAX).min(rest.len());
    let rest = Bytes::from(rest).slice(..length);
    let parts: Vec<_> = rest.chunks(1_000).map(Bytes::copy_from_slice).collect();
    let parts = parts.into_iter().map(|data| Ok(v1::DownloadArtifactResponse { data }));
    let end = breaks.map(|_| Err(Status::unavailable("the reconciler is stopping")));
    Ok(Box::pin(iter(parts.chain(end).collect::<Vec<_>>())))
}

pub(super) fn grant(
    reconciler: &Reconciler,
    question: &v1::GrantDownloadRequest,
) -> Result<v1::GrantDownloadResponse, Status> {
    let mut state = reconciler.state.lock().unwrap();
    state.grants += 1;
    if state.expires_after == Some(state.grants - 1) {
        return Err(Status::failed_precondition(format!("`{}` expired", question.name)));
    }
    let missing = || Status::unimplemented("the store is a folder");
    let url =
        format!("{}/{}?grant={}", state.store.as_ref().ok_or_else(missing)?, question.name, state.grants);
    let headers = [("x-store".to_owned(), "yes".to_owned())].into();
    let request = v1::SignedRequest { method: "GET".to_owned(), url, headers, expires_at: at(NOW) };
    Ok(v1::GrantDownloadResponse { request: Some(request), artifact: None })
}

pub(super) fn download_many(
    reconciler: &Reconciler,
    question: &v1::DownloadFilesRequest,
) -> Result<Messages<v1::DownloadFilesResponse>, Status> {
    let mut state = reconciler.state.lock().unwrap();
    if state.too_many > 0 {
        state.too_many -= 1;
        let mut status = Status::resource_exhausted("you make more calls than 100 per second");
        status.metadata_mut().insert("grpc-retry-pushback-ms", 5_u64.into());
        return Err(status);
    }
    let answer = |(index, wanted): (usize, &v1::FileName)| {
        let found = state
            .files
            .iter()
            .find(|file| file.announced.name == wanted.name && file.announced.role == wanted.role);
        let outcome = match found {
            Some(file) if file.announced.run_id == wanted.run_id => {
                v1::downloaded_file::Outcome::Content(file.content.clone().into())
            }
            _ => v1::downloaded_file::Outcome::Refusal(v1::FileRefusal {
                code: tonic::Code::NotFound.into(),
                message: format!("there is no file `{}`", wanted.name),
            }),
        };
        v1::DownloadedFile { index: u32::try_from(index).unwrap(), outcome: Some(outcome) }
    };
    let files: Vec<_> = question.files.iter().enumerate().map(answer).collect();
    // A message for each two.
    let messages: Vec<_> =
        files.chunks(2).map(|files| Ok(v1::DownloadFilesResponse { files: files.to_vec() })).collect();
    Ok(Box::pin(iter(messages)))
}
