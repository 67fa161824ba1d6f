//! How a provider is doing, for people.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use almanac_schemas::trigger::Provider;

/// How a provider is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it measured last; absent: not since the agent started, or it is silent.
    pub measured_at: Option<DateTime<Utc>>,
    /// Why it does not measure, if it should.
    pub problem: Option<String>,
    /// Whether it waits until somebody wants what it measures.
    pub idle: bool,
}

/// How the declared providers are doing.
pub type Standings = BTreeMap<Provider, Standing>;
