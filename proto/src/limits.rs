//! Sizes and times that both ends of a connection agree on.

use std::time::Duration;

/// The largest message, in bytes. A snapshot with 10,000 assignments stays below it.
pub const MAX_MESSAGE: usize = 16 << 20;

/// The most bytes of a file in one message.
pub const MAX_CHUNK: usize = 1 << 20;

/// The most bytes of a small file: one that comes with its announcement, or with others in one answer.
pub const MAX_CONTENT: usize = 64 << 10;

/// The most files that one call asks for at once.
pub const MAX_FILES: usize = 1_000;

/// The most run events in one report.
pub const MAX_EVENTS: usize = 500;

/// How long a call that is not a stream may take.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// How long making a connection may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How often a client probes a connection that is quiet. With [`KEEPALIVE_TIMEOUT`], a peer that is gone is
/// noticed within 18 s. Each probe wakes the host up.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(12);

/// How long a client's probe may go unanswered: a satellite link that changes its satellite loses a second or two.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(6);

/// How often a server probes a connection that is quiet. It is longer than the usual time between two heartbeats, so
/// that an agent that is heard of is not woken up for it.
pub const SERVER_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(45);

/// How long a server's probe may go unanswered.
pub const SERVER_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an answer to a heartbeat may take before its stream is given up.
pub const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);

/// The reconciler's name where none is configured: the audience of tokens.
pub const DEFAULT_AUDIENCE: &str = "almanac";
