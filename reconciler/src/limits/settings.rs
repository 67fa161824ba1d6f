//! The table `[limits]` of the configuration's file.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};

/// What a caller may take. The defaults are far above what agents and people need, and far below what
/// would harm others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// How many calls a user or node may make in a second, in the long run.
    pub requests_per_second: NonZeroU32,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
    /// How many calls in a second may come from one address without a valid token, in the long run.
    pub failures_per_second: NonZeroU32,
    /// How many of these at once, after a pause.
    pub failures_burst: NonZeroU32,
    /// How many streams of its desired state a node may have open, and how many of heartbeats. One is needed, and another while the
    /// first hangs on a connection that died without a word.
    pub streams_per_node: NonZeroUsize,
    /// How many heartbeats all nodes together are to send in a second. More nodes send them less often than the
    /// testbed declares.
    pub heartbeats_per_second: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |value: u32| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        Self {
            requests_per_second: number(100),
            burst: number(500),
            failures_per_second: number(50),
            failures_burst: number(500),
            streams_per_node: NonZeroUsize::MIN.saturating_add(3),
            heartbeats_per_second: number(500),
        }
    }
}
