//! The metrics by name.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

/// Durations of calls and of the database: from a tenth of a millisecond to what a call may take.
const CALL_SECONDS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Durations of rounds: reading a commit of ten thousand jobs and a fetch over a slow line included.
const ROUND_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

/// By how much runs start late. A tenth of a second is what a good node reaches.
const SKEW_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

type SecondsGauge = Gauge<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Families {
    pub(super) requests: Histograms<RequestLabels>,
    pub(super) rate_limited: Counter,
    pub(super) connections: Gauge,
    pub(super) connections_refused: Counter,
    pub(super) handshakes_failed: Counter,
    pub(super) connected_nodes: Gauge,
    pub(super) watch_streams: Gauge,
    pub(super) heartbeats: Counter,
    pub(super) heartbeat_streams: Gauge,
    pub(super) skewed_clocks: Gauge,
    pub(super) syncs: Histograms<OutcomeLabel>,
    pub(super) revision_lag: SecondsGauge,
    pub(super) look_age: SecondsGauge,
    pub(super) leader: Gauge,
    pub(super) run_events: Family<RunLabels, Counter>,
    pub(super) start_skew: Histogram,
    pub(super) store_failures: Family<ReasonLabel, Counter>,
    pub(super) files_removed: Counter,
    pub(super) bytes_removed: Counter,
    pub(super) removals_failed: Counter,
    pub(super) uploads_forgotten: Counter,
    pub(super) fetches: Family<FetchLabels, Counter>,
    pub(super) queue_depth: Family<QueueLabel, Gauge>,
    pub(super) database: Histograms<OperationLabel>,
    pub(super) database_errors: Family<OperationLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) method: String,
    pub(super) code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RunLabels {
    pub(super) phase: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FetchLabels {
    pub(super) source: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct QueueLabel {
    pub(super) queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabel {
    pub(super) operation: &'static str,
}

/// Registers metrics as they are made.
struct Registering<'a>(&'a mut Registry);

impl Registering<'_> {
    fn plain<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

impl Families {
    /// Makes all of them, and registers them with their help.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let call: fn() -> Histogram = || Histogram::new(CALL_SECONDS);
        let round: fn() -> Histogram = || Histogram::new(ROUND_SECONDS);
        let mut all = Registering(registry);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        all.0.register("build", "The version of this program", build);
        Self {
            requests: all.seconds(
                "request_duration",
                "How long requests took to the end of their answer, by method and code",
                Family::new_with_constructor(call),
            ),
            rate_limited: all.plain(
                "rate_limited",
                "Calls refused because their caller made too many",
                Counter::default(),
            ),
            connections: all.plain("connections", "Connections that are open", Gauge::default()),
            connections_refused: all.plain(
                "connections_refused",
                "Connections closed at once because there were too many",
                Counter::default(),
            ),
            handshakes_failed: all.plain(
                "tls_handshakes_failed",
                "Connections whose TLS handshake failed or took too long",
                Counter::default(),
            ),
            connected_nodes: all.plain(
                "connected_nodes",
                "Nodes that watch their desired state",
                Gauge::default(),
            ),
            watch_streams: all.plain(
                "watch_streams",
                "Streams of desired states that are open",
                Gauge::default(),
            ),
            heartbeats: all.plain("heartbeats", "Heartbeats received", Counter::default()),
            heartbeat_streams: all.plain(
                "heartbeat_streams",
                "Streams of heartbeats that are open",
                Gauge::default(),
            ),
            skewed_clocks: all.plain(
                "skewed_clocks",
                "Nodes whose clock differs from this one by more than a second",
                Gauge::default(),
            ),
            syncs: all.seconds(
                "sync_duration",
                "How long rounds took, from the look at the repository to its end, by outcome",
                Family::new_with_constructor(round),
            ),
            revision_lag: all.seconds(
                "revision_lag",
                "How long the head of the branch has been known and not in force; 0 when it is in force",
                Gauge::default(),
            ),
            look_age: all.seconds(
                "look_age",
                "How long ago the repository was last looked at with success; since the start, if never",
                Gauge::default(),
            ),
            leader: all.plain(
                "leader",
                "Whether this reconciler puts commits in force: 1, or 0 for a standby",
                Gauge::default(),
            ),
            run_events: all.plain(
                "run_events",
                "Steps of runs recorded, by phase, and for terminal phases by reason",
                Family::default(),
            ),
            start_skew: all.seconds(
                "run_start_skew",
                "How much later than scheduled containers started",
                Histogram::new(SKEW_SECONDS),
            ),
            store_failures: all.plain(
                "store_failures",
                "Times that a store of files did not do what it was asked, by reason",
                Family::default(),
            ),
            files_removed: all.plain(
                "files_removed",
                "Files of runs removed from their stores since their retention was over",
                Counter::default(),
            ),
            bytes_removed: all.plain("bytes_removed", "How many bytes these files had", Counter::default()),
            removals_failed: all.plain(
                "removals_failed",
                "Times that a store failed to remove such a file, after which it is left in peace for a while",
                Counter::default(),
            ),
            uploads_forgotten: all.plain(
                "uploads_forgotten",
                "Announced uploads that are forgotten since nobody went on with them, or long after their end",
                Counter::default(),
            ),
            fetches: all.plain(
                "fetches",
                "Times that the weather or orbits were to be fetched for nodes, by source and outcome",
                Family::default(),
            ),
            queue_depth: all.plain("queue_depth", "What waits, by queue", Family::default()),
            database: all.seconds(
                "database_duration",
                "How long the database took, by operation",
                Family::new_with_constructor(call),
            ),
            database_errors: all.plain(
                "database_errors",
                "Operations that the database failed, by operation",
                Family::default(),
            ),
        }
    }
}
