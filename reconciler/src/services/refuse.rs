//! From errors to status codes with a text that a person can act on. What is ours to mend is logged
//! in full and told in brief.

#![expect(clippy::needless_pass_by_value, reason = "`map_err` calls them, which gives errors away")]

use almanac_proto::convert::FieldError;
use almanac_schemas::{Instant, NodeName, RunId};
use chrono::SubsecRound;
use tonic::{Status, metadata::MetadataValue};

use crate::{
    artifacts::{ObjectError, StagingError, UploadError},
    auth::AuthError,
    causes::chain,
    follow::AskError,
    metrics::Metrics,
    rights::Forbidden,
    source::LookError,
    store::{ArtifactRow, Expired, StoreError},
    sync::RoundError,
};

/// The header by which gRPC says when to try again (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

pub(crate) fn unauthenticated(error: &AuthError, metrics: &Metrics) -> Status {
    let AuthError::TooMany(error) = error else { return Status::unauthenticated(chain(error)) };
    metrics.rate_limited();
    let mut status = Status::resource_exhausted(error.to_string());
    status.metadata_mut().insert(PUSHBACK, MetadataValue::from(error.after().as_millis() as u64));
    status
}

pub(crate) fn forbidden(error: &Forbidden) -> Status {
    Status::permission_denied(error.to_string())
}

pub(crate) fn no_node(name: &NodeName) -> Status {
    Status::not_found(format!("there is no node `{name}`; ListNodes lists those that there are"))
}

pub(super) fn no_file(run: RunId, name: &str) -> Status {
    Status::not_found(format!("run {run} has no file `{name}`; ListArtifacts lists its files"))
}

/// Why a file is not there any more that was.
pub(crate) fn expired(file: &ArtifactRow) -> Option<Status> {
    let Expired { at, kept_for } = file.expired?;
    Some(Status::failed_precondition(format!(
        "`{}` of run {} expired at {}: it was stored at {} and kept for {kept_for}, as its job or the testbed's settings said; the run's record stays",
        file.name,
        file.run,
        Instant(at.trunc_subsecs(0)),
        Instant(file.stored_at.trunc_subsecs(0)),
    )))
}

pub(crate) fn field(error: FieldError) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(crate) fn store(error: StoreError) -> Status {
    if let StoreError::Lost = error {
        // That is said once, and not for each of those who call meanwhile.
        tracing::debug!(error = chain(&error), "a call failed");
    } else {
        tracing::error!(error = chain(&error), "a call failed");
    }
    match error {
        StoreError::Full(_) => Status::resource_exhausted("the disk of the reconciler's database is full"),
        StoreError::ReadOnly(_) => Status::unavailable("the reconciler's database is read-only"),
        StoreError::Late(_) | StoreError::Lost | StoreError::Away(_) => {
            Status::unavailable("the reconciler's database cannot be used at the moment; try again")
        }
        StoreError::Outrun | StoreError::Deposed => Status::aborted(error.to_string()),
        StoreError::Database(_) | StoreError::Value { .. } => {
            Status::internal("the reconciler's database failed; its log says more")
        }
    }
}

pub(crate) fn upload(error: UploadError) -> Status {
    let text = error.to_string();
    match error {
        UploadError::UnknownRun(_) | UploadError::UnknownUpload(_) => Status::not_found(text),
        UploadError::OtherNode { .. } => Status::permission_denied(text),
        UploadError::Different { .. } => Status::already_exists(text),
        UploadError::Busy(_) => Status::aborted(text),
        UploadError::Offset { .. } | UploadError::TooLong { .. } => Status::out_of_range(text),
        UploadError::Incomplete { .. } | UploadError::Url(_) | UploadError::Through | UploadError::Direct => {
            Status::failed_precondition(text)
        }
        UploadError::Length { .. } => Status::out_of_range(text),
        UploadError::Hash { .. } | UploadError::Damaged { .. } | UploadError::Gone(_) => {
            Status::data_loss(text)
        }
        UploadError::Name(_) => Status::invalid_argument(text),
        UploadError::Staging(StagingError::Full(_)) => Status::resource_exhausted(text),
        UploadError::Staging(error @ StagingError::Io(..)) => internal(&error),
        UploadError::Object(error) => object(error),
        UploadError::Store(error) => store(error),
    }
}

pub(crate) fn object(error: ObjectError) -> Status {
    match error {
        ObjectError::Full(_) => Status::resource_exhausted(error.to_string()),
        ObjectError::NotFound { .. } => Status::not_found(error.to_string()),
        // Whoever asks tries again: settings and stores are put right without them.
        ObjectError::Access(..) | ObjectError::Refused(..) | ObjectError::Clock(_) => {
            Status::failed_precondition(logged(&error))
        }
        ObjectError::Store(..) => Status::unavailable(logged(&error)),
        ObjectError::Read(..) => internal(&error),
    }
}

pub(crate) fn ask(error: AskError) -> Status {
    match error {
        AskError::Busy => Status::resource_exhausted("many wait for a sync already; try again in a moment"),
        AskError::Stopping => Status::unavailable("the reconciler is stopping; try again in a moment"),
    }
}

pub(crate) fn find(error: RoundError) -> Status {
    match error {
        RoundError::Look(error) => {
            let text = chain(&error);
            match error {
                LookError::NoCommit { .. } => Status::not_found(text),
                LookError::Ambiguous { .. } => Status::invalid_argument(text),
                LookError::Fetch(..) => Status::unavailable(text),
                _ => Status::failed_precondition(text),
            }
        }
        RoundError::Store(error) => store(error),
        error => internal(&error),
    }
}

fn internal(error: &dyn std::error::Error) -> Status {
    Status::internal(logged(error))
}

/// What is told is for those who run the reconciler as well.
fn logged(error: &dyn std::error::Error) -> String {
    let text = chain(error);
    tracing::error!(error = text, "a call failed");
    text
}
