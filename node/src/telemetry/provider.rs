//! What measures something.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use thiserror::Error;

use almanac_schemas::trigger::{Provider as Name, samples::Sample};

/// What measures something. It is asked again and again, by [`crate::telemetry::drive`], which knows the clock: a provider
/// has but to measure once.
pub trait Provider: Send + 'static {
    /// Which it is.
    fn name(&self) -> Name;

    /// How often it is asked. An answer that takes longer is given up.
    fn every(&self) -> Duration;

    /// How old a sample may become before it is forgotten.
    fn patience(&self) -> Duration {
        self.every() * PERIODS
    }

    /// Whether it measures also while nobody wants what it does: it costs nothing to speak of.
    fn is_always_on(&self) -> bool;

    /// Measures, or says that there is nothing new since the last time.
    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>>;
}

/// After how many of its periods without a sample a provider is silent.
const PERIODS: u32 = 3;

/// What was measured at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub sample: Sample,
}

/// Why nothing was measured, for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct MeasureError(pub String);

impl MeasureError {
    /// What it says.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
