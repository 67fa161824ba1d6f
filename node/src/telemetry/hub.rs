//! The latest samples of each provider. Providers write them, everybody else reads: nobody asks a provider himself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, watch};

use almanac_schemas::{
    NodeSpec,
    node::{self, Coordinates},
    trigger::{Condition, Decision, Provider, Samples, samples::Sample},
};

use super::{Standing, Standings};

/// How many readings a listener may be behind. At one a second from each of six providers, that is ten seconds; one that
/// is further behind goes on with what is new.
const READINGS: usize = 64;

/// What a provider measured at once, or that it measures nothing any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The provider.
    pub provider: Provider,
    /// When, by this host's clock.
    pub at: DateTime<Utc>,
    /// What it measured; absent: it is silent for too long, and what it measured before is forgotten.
    pub sample: Option<Sample>,
}

/// The latest sample of each provider that is not silent, and when it was measured.
pub type Latest = BTreeMap<Provider, (DateTime<Utc>, Sample)>;

/// What is measured. Clones share it.
#[derive(Clone)]
pub struct Telemetry(Arc<Shared>);

struct Shared {
    known: Mutex<Known>,
    readings: broadcast::Sender<Reading>,
    /// How many want fresh samples now.
    wanted: watch::Sender<usize>,
    declared: watch::Sender<Declared>,
    standings: Mutex<Standings>,
}

/// What a node's manifest says about what is measured there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declared {
    /// What of it; absent: nothing of it.
    pub telemetry: Option<node::Telemetry>,
    /// Where the node is.
    pub coordinates: Option<Coordinates>,
}

#[derive(Default)]
struct Known {
    samples: Samples,
    latest: Latest,
}

/// Somebody wants fresh samples for as long as this is held. Providers that cost something measure only then.
pub struct Wanted(Telemetry);

impl Telemetry {
    /// Nothing was measured.
    pub fn new() -> Self {
        let shared = Shared {
            known: Mutex::default(),
            readings: broadcast::Sender::new(READINGS),
            wanted: watch::Sender::default(),
            declared: watch::Sender::default(),
            standings: Mutex::default(),
        };
        Self(Arc::new(shared))
    }

    /// Takes what a provider measured, and tells whoever listens.
    pub fn record(&self, reading: Reading) {
        let mut known = self.lock();
        match &reading.sample {
            Some(sample) => {
                known.samples.add(reading.provider, sample.clone());
                known.latest.insert(reading.provider, (reading.at, sample.clone()));
            }
            None => {
                known.samples.forget(reading.provider);
                known.latest.remove(&reading.provider);
            }
        }
        drop(known);
        // Nobody may be listening.
        let _ = self.0.readings.send(reading);
    }

    /// The latest sample of each provider.
    pub fn latest(&self) -> Latest {
        self.lock().latest.clone()
    }

    /// Decides a condition by what is known now.
    pub fn decide(&self, condition: &Condition) -> Decision {
        condition.decide(&self.lock().samples)
    }

    /// What is measured from now on.
    pub fn listen(&self) -> broadcast::Receiver<Reading> {
        self.0.readings.subscribe()
    }

    /// Says that fresh samples are wanted until what it returns is dropped.
    pub fn want(&self) -> Wanted {
        self.0.wanted.send_modify(|count| *count += 1);
        Wanted(self.clone())
    }

    /// How many want fresh samples, as it changes.
    pub fn wanted(&self) -> watch::Receiver<usize> {
        self.0.wanted.subscribe()
    }

    /// Says what the node's manifest declares now.
    pub fn declare(&self, node: &NodeSpec) {
        let declared = Declared { telemetry: node.telemetry.clone(), coordinates: node.coordinates };
        self.0.declared.send_if_modified(|known| {
            let changed = *known != declared;
            *known = declared;
            changed
        });
    }

    /// What is declared, as it changes.
    pub fn declared(&self) -> watch::Receiver<Declared> {
        self.0.declared.subscribe()
    }

    /// Whether runs record what is measured while they go on: where the node's manifest, or the host's owner, says that
    /// something is to be measured.
    pub fn is_recorded(&self) -> bool {
        self.0.declared.borrow().telemetry.is_some() || self.standings().contains_key(&Provider::Local)
    }

    /// How the providers are doing.
    pub fn standings(&self) -> Standings {
        self.0.standings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how a provider is doing.
    pub(super) fn note(&self, provider: Provider, change: impl FnOnce(&mut Standing)) {
        let mut standings = self.0.standings.lock().unwrap_or_else(PoisonError::into_inner);
        change(standings.entry(provider).or_default());
    }

    /// A provider is not declared any more.
    pub(super) fn dismiss(&self, provider: Provider) {
        self.0.standings.lock().unwrap_or_else(PoisonError::into_inner).remove(&provider);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("latest", &self.lock().latest).finish_non_exhaustive()
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.0.wanted.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::trigger::Value;

    use super::*;

    fn reading(latency: Option<f64>) -> Reading {
        let sample =
            latency.map(|latency| Sample::from([("pop_ping_latency_ms".to_owned(), Value::Number(latency))]));
        Reading { provider: Provider::Dish, at: DateTime::UNIX_EPOCH, sample }
    }

    #[test]
    fn what_is_measured_is_decided_by_until_its_provider_is_silent() {
        let telemetry = Telemetry::new();
        let mut heard = telemetry.listen();
        let condition = Condition::parse("dish.pop_ping_latency_ms > 60.0").unwrap();
        assert_eq!(telemetry.decide(&condition).holds, None);
        telemetry.record(reading(Some(61.0)));
        assert_eq!(telemetry.decide(&condition).holds, Some(true));
        assert_eq!(telemetry.latest().len(), 1);
        telemetry.record(reading(None));
        assert_eq!(telemetry.decide(&condition).holds, None);
        assert!(telemetry.latest().is_empty());
        assert_eq!(heard.try_recv(), Ok(reading(Some(61.0))));
        assert_eq!(heard.try_recv(), Ok(reading(None)));
    }

    #[test]
    fn what_is_wanted_is_wanted_by_each() {
        let telemetry = Telemetry::new();
        let (one, other) = (telemetry.want(), telemetry.want());
        assert_eq!(*telemetry.wanted().borrow(), 2);
        drop(one);
        assert_eq!(*telemetry.wanted().borrow(), 1);
        drop(other);
        assert_eq!(*telemetry.wanted().borrow(), 0);
    }
}
