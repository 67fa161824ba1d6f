//! What every call works with.

use std::{future::Future, sync::Arc};

use almanac_proto::limits;
use chrono::TimeDelta;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    applied::Applied,
    artifacts::Uploads,
    auth, clock,
    follow::Follower,
    heartbeats::Heartbeats,
    rights::{Action, Caller},
    store::Store,
};

use super::refuse;

/// What every call works with. Clones share it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// What is in force.
    pub applied: watch::Receiver<Arc<Applied>>,
    /// Who runs rounds.
    pub follower: Follower,
    /// What nodes said last.
    pub heartbeats: Heartbeats,
    /// Files of runs.
    pub uploads: Uploads,
    /// The reconciler's name, which tokens are for.
    pub audience: Arc<str>,
    /// The repository, as people name it.
    pub repository: Arc<str>,
    /// The branch that is followed.
    pub branch: Arc<str>,
    /// How long looks may fail before what is known about the repository is stale.
    pub stale_after: TimeDelta,
    /// Cancelled when the program stops: streams end then.
    pub stop: CancellationToken,
}

impl Context {
    /// What is in force now.
    pub fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.applied.borrow())
    }

    /// Who calls, by the token of the call.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        auth::caller(&self.applied.borrow(), metadata, &self.audience, clock::now())
            .map_err(|error| refuse::unauthenticated(&error))
    }

    /// Who calls, when they may do what they call for.
    pub fn allowed(&self, metadata: &MetadataMap, action: Action<'_>) -> Result<Caller, Status> {
        let caller = self.caller(metadata)?;
        caller.may(action).map_err(|error| refuse::forbidden(&error))?;
        Ok(caller)
    }
}

/// Gives a call the time that every call has.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(limits::CALL_DEADLINE, call).await.unwrap_or_else(|_| {
        let seconds = limits::CALL_DEADLINE.as_secs();
        Err(Status::deadline_exceeded(format!("the call took longer than {seconds} s; try again")))
    })
}
