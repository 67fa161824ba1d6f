//! Has one provider measure by its own clock, hands on what it measures, and says when it is silent.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{self, Instant};
use tracing::{info, warn};

use crate::{backoff::Backoff, clock};

use super::{
    Reading, Telemetry,
    provider::{MeasureError, Measured, Provider},
};

/// How long a provider that does not measure is left alone at most. A terminal that comes back is measured again soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Measures until it is dropped. What was measured is forgotten then.
///
/// Cancel-safe: what is being measured is dropped with it.
pub(super) async fn drive(mut provider: Box<dyn Provider>, telemetry: Telemetry) {
    let name = provider.name();
    let (every, patience) = (provider.every(), provider.patience());
    let _silence = Silence { telemetry: telemetry.clone(), provider: name };
    let mut wanted = telemetry.wanted();
    let mut latest: Option<Latest> = None;
    let mut backoff = Backoff::new(every, LONGEST_PAUSE.max(every));
    let mut next = Instant::now();
    let mut problem: Option<String> = None;
    loop {
        let is_idle = !provider.is_always_on() && *wanted.borrow_and_update() == 0;
        telemetry.note(name, |standing| standing.idle = is_idle);
        let ends_at = latest.as_ref().map(|latest| latest.ends_at(patience));
        // Cancel-safe: neither holds anything.
        tokio::select! {
            // What is old is forgotten before anything else is done: it must not be what a trigger is decided by.
            biased;
            () = sleep_until(ends_at) => {
                latest = None;
                telemetry.record(Reading { provider: name, at: clock::now(), sample: None });
                telemetry.note(name, |standing| standing.measured_at = None);
                continue;
            }
            Ok(()) = wanted.changed() => {
                if is_idle {
                    next = Instant::now();
                }
                continue;
            }
            () = time::sleep_until(next), if !is_idle => {}
        }
        let begun = Instant::now();
        // A provider that hangs would otherwise keep what it measured last.
        let asked = time::timeout(every.min(patience), provider.measure()).await;
        let measured = asked.unwrap_or_else(|_elapsed| {
            Err(MeasureError::new(format!("it does not answer within {}", seconds(every))))
        });
        match measured {
            Ok(measured) => {
                backoff.reset();
                // By its own clock: what takes a while does not make it slower.
                next = (next + every).max(begun + every / 2);
                if problem.take().is_some() {
                    info!(provider = %name, "it measures again");
                }
                telemetry.note(name, |standing| standing.problem = None);
                if let Some(Measured { at, sample }) = measured {
                    latest = Some(Latest { at, taken: Instant::now() });
                    telemetry.note(name, |standing| standing.measured_at = Some(at));
                    telemetry.record(Reading { provider: name, at, sample: Some(sample) });
                }
            }
            Err(MeasureError(why)) => {
                next = begun + every.max(backoff.next_wait());
                // Once, and not every second.
                if problem.as_ref() != Some(&why) {
                    warn!(provider = %name, problem = why, "nothing is measured");
                }
                telemetry.note(name, |standing| standing.problem = Some(why.clone()));
                problem = Some(why);
            }
        }
    }
}

/// The latest sample, by both clocks: the one on the wall may be set.
struct Latest {
    at: DateTime<Utc>,
    taken: Instant,
}

impl Latest {
    /// When it is too old.
    fn ends_at(&self, patience: Duration) -> Instant {
        let age = (clock::now() - self.at).max(TimeDelta::zero()).to_std().unwrap_or_default();
        let left = patience.saturating_sub(age);
        (self.taken + patience).min(Instant::now() + left)
    }
}

/// Nothing that a provider measured outlives it.
struct Silence {
    telemetry: Telemetry,
    provider: almanac_schemas::trigger::Provider,
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.telemetry.record(Reading { provider: self.provider, at: clock::now(), sample: None });
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
