//! What is measured, for Prometheus.
//!
//! Labels have few values: no names of runs, users or nodes. `docs/metrics.md` lists what there is, and
//! a test compares it with what is exposed.

mod families;
mod revision;

use std::{sync::Arc, time::Duration};

use almanac_schemas::Phase;
use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::{encoding::text, registry::Registry};
use tracing::Instrument;

use crate::{
    artifacts::ObjectError,
    limits::StreamKind,
    run::RunEvent,
    store::StoreError,
    surroundings::{Source, schedule::Outcome},
};
use families::{
    Families, FetchLabels, OperationLabel, OutcomeLabel, QueueLabel, ReasonLabel, RequestLabels, RunLabels,
};
use revision::Revision;

/// The type of what [`Metrics::text`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is measured. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    families: Families,
    revision: Revision,
    registry: Registry,
}

/// How a round ended, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundOutcome {
    /// A commit was put in force.
    Applied,
    /// A commit was found to be wrong.
    Rejected,
    /// A commit waits for a human's word.
    Waiting,
    /// Nothing was new.
    Unchanged,
    /// Somebody wants the syncs to rest.
    Suspended,
    /// The repository or the database could not be used.
    Failed,
}

/// What is looked at when metrics are asked for, since it is known elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Depths {
    /// Whether this reconciler puts commits in force.
    pub leads: bool,
    /// How long ago the repository was last looked at with success, or the program started if it never was.
    pub look_age: TimeDelta,
    /// Callers that wait for a round.
    pub sync_requests: usize,
    /// Heartbeats that are not in the database yet.
    pub unwritten_heartbeats: usize,
    /// Nodes whose clock is off.
    pub clocks_off: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("almanac");
        let families = Families::register(&mut registry);
        // What never happened shows a zero, which a rate can be taken of.
        for reason in ObjectError::REASONS {
            drop(families.store_failures.get_or_create(&ReasonLabel { reason }));
        }
        for (source, outcome) in
            Source::KINDS.into_iter().flat_map(|kind| Outcome::WORDS.map(|word| (kind, word)))
        {
            drop(families.fetches.get_or_create(&FetchLabels { source, outcome }));
        }
        Self(Arc::new(Inner { families, revision: Revision::default(), registry }))
    }
}

impl Metrics {
    /// All of it, as text.
    pub fn text(&self, depths: Depths) -> String {
        let Inner { families, revision, registry } = &*self.0;
        let depth = |queue, value: usize| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            families.queue_depth.get_or_create(&QueueLabel { queue }).set(value);
        };
        depth("sync_requests", depths.sync_requests);
        depth("unwritten_heartbeats", depths.unwritten_heartbeats);
        families.skewed_clocks.set(i64::try_from(depths.clocks_off).unwrap_or(i64::MAX));
        families.revision_lag.set(revision.lag().as_secs_f64());
        families.look_age.set(depths.look_age.as_seconds_f64());
        families.leader.set(depths.leads.into());
        let mut encoded = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut encoded, registry);
        encoded
    }

    /// A request has ended.
    pub fn request(&self, method: &str, code: &str, took: Duration) {
        let labels = RequestLabels { method: method.to_owned(), code: code.to_owned() };
        self.0.families.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A round has ended, and with it it is known or not whether its commit is in force.
    pub fn round(&self, outcome: RoundOutcome, in_force: Option<bool>, took: Duration) {
        if let Some(in_force) = in_force {
            self.0.revision.looked(in_force);
        }
        let label = OutcomeLabel { outcome: outcome.as_str() };
        self.0.families.syncs.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// Runs something with the database, and measures how long it takes.
    pub async fn database<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = std::time::Instant::now();
        let result = work.instrument(tracing::info_span!("database", operation)).await;
        let took = begun.elapsed().as_secs_f64();
        let label = OperationLabel { operation };
        self.0.families.database.get_or_create(&label).observe(took);
        // An operation that never failed shows a zero, which a rate can be taken of.
        self.0.families.database_errors.get_or_create(&label).inc_by(u64::from(result.is_err()));
        result
    }

    /// A node reported a step of a run, which was recorded now. Its job spreads its runs over `jitter`.
    pub fn run_event(&self, event: &RunEvent, jitter: almanac_schemas::Duration) {
        let labels = RunLabels {
            phase: event.step.phase.as_str(),
            reason: event.step.reason.map_or("", |reason| reason.as_str()),
        };
        self.0.families.run_events.get_or_create(&labels).inc();
        if event.step.phase == Phase::Running {
            let begin = event.scheduled_at + event.run.offset(jitter);
            self.0.families.start_skew.observe(skew(begin, event.step.at));
        }
    }

    /// A store of files did not do what it was asked.
    pub fn store_failed(&self, reason: &'static str) {
        self.0.families.store_failures.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Files of runs were removed from their store, since their retention was over.
    pub fn removed(&self, files: u64, bytes: u64) {
        self.0.families.files_removed.inc_by(files);
        self.0.families.bytes_removed.inc_by(bytes);
    }

    /// A store failed to remove such a file.
    pub fn removal_failed(&self) {
        self.0.families.removals_failed.inc();
    }

    /// Announced uploads were forgotten.
    pub fn uploads_forgotten(&self, uploads: u64) {
        self.0.families.uploads_forgotten.inc_by(uploads);
    }

    /// Something was to be fetched for nodes.
    pub fn fetch(&self, source: &'static str, outcome: &'static str) {
        self.0.families.fetches.get_or_create(&FetchLabels { source, outcome }).inc();
    }

    /// A node sent a heartbeat.
    pub fn heartbeat(&self) {
        self.0.families.heartbeats.inc();
    }

    /// How many streams of a kind are open, and of how many nodes.
    pub fn streams(&self, kind: StreamKind, streams: usize, nodes: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        match kind {
            StreamKind::Watch => {
                self.0.families.watch_streams.set(number(streams));
                self.0.families.connected_nodes.set(number(nodes));
            }
            StreamKind::Heartbeat => {
                self.0.families.heartbeat_streams.set(number(streams));
            }
        }
    }

    /// A connection was opened; it counts until the value is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.0.families.connections.inc();
        OpenConnection(self.clone())
    }

    /// A connection was closed at once, since there were too many.
    pub fn connection_refused(&self) {
        self.0.families.connections_refused.inc();
    }

    /// A client could not agree on TLS, or took too long.
    pub fn handshake_failed(&self) {
        self.0.families.handshakes_failed.inc();
    }

    /// A call was refused, since its caller made too many.
    pub fn rate_limited(&self) {
        self.0.families.rate_limited.inc();
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct OpenConnection(Metrics);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.families.connections.dec();
    }
}

impl RoundOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Waiting => "waiting",
            Self::Unchanged => "unchanged",
            Self::Suspended => "suspended",
            Self::Failed => "failed",
        }
    }
}

/// By how many seconds a run started late. A clock that is slow makes it less than nothing.
fn skew(scheduled_at: DateTime<Utc>, at: DateTime<Utc>) -> f64 {
    (at - scheduled_at).as_seconds_f64()
}
