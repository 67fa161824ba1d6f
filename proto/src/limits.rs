//! Sizes and times that both ends of a connection agree on.

use std::time::Duration;

/// The largest message, in bytes. A snapshot with 10,000 assignments stays below it.
pub const MAX_MESSAGE: usize = 16 << 20;

/// The most bytes of a file in one message.
pub const MAX_CHUNK: usize = 1 << 20;

/// The most bytes of a file that comes with its announcement.
pub const MAX_CONTENT: usize = 64 << 10;

/// The most run events in one report.
pub const MAX_EVENTS: usize = 500;

/// How long a call that is not a stream may take.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// How long making a connection may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How often a quiet connection is probed. With [`KEEPALIVE_TIMEOUT`], a dead peer is noticed
/// within 20 s.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a probe may go unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The reconciler's name where none is configured: the audience of tokens.
pub const DEFAULT_AUDIENCE: &str = "almanac";
