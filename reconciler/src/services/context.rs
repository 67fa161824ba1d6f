//! What every call works with.

use std::sync::Arc;

use almanac_proto::limits;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    applied::Applied,
    artifacts::Uploads,
    auth::Authenticator,
    clock,
    follow::Follower,
    heartbeats::Heartbeats,
    instructions::Instructions,
    limits::Streams,
    live::Live,
    logs::Hub,
    metrics::Metrics,
    request,
    rights::{Action, Caller},
    store::{Store, StoreError},
    surroundings::Surroundings,
    tasks::Tasks,
};

use super::{message::Facts, refuse};

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
    /// What people said to nodes.
    pub instructions: Instructions,
    /// What was fetched for nodes.
    pub surroundings: Surroundings,
    /// What clients want of servers.
    pub tasks: Tasks,
    /// Who watches which log.
    pub logs: Hub,
    /// Who watches what which node measures.
    pub live: Live,
    /// Files of runs.
    pub uploads: Uploads,
    /// Who tells who calls.
    pub authenticator: Arc<Authenticator>,
    /// The streams of desired states.
    pub streams: Streams,
    /// The streams of heartbeats.
    pub heartbeat_streams: Streams,
    /// What is measured.
    pub metrics: Metrics,
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

    /// What is known of nodes and jobs at an instant.
    pub(super) fn facts<'a>(&'a self, applied: &'a Applied, now: DateTime<Utc>) -> Facts<'a> {
        let Self { heartbeats, instructions, surroundings, .. } = self;
        let pace = heartbeats.pace(applied);
        Facts { applied, heartbeats, instructions, surroundings, pace, now }
    }

    /// Who calls, by the token of the call.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let request = request::current();
        let from = request.as_ref().map(|request| request.peer);
        let caller = self
            .authenticator
            .caller(&self.applied.borrow(), metadata, from, clock::now())
            .map_err(|error| refuse::unauthenticated(&error, &self.metrics))?;
        if let Some(request) = request {
            request.made_by(caller.name());
        }
        Ok(caller)
    }

    /// Whether anybody is known by the token of a call, before the call is read.
    pub fn known(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let from = request::current().map(|request| request.peer);
        self.authenticator
            .knows(&self.applied.borrow(), metadata, from, clock::now())
            .map_err(|error| refuse::unauthenticated(&error, &self.metrics))
    }

    /// Asks the database something, which is measured. One that is known to be away is not waited for.
    pub(crate) async fn database<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Status> {
        self.metrics.database(operation, self.store.unless_lost(work)).await.map_err(refuse::store)
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
