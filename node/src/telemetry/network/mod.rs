//! The node's network: what its uplink carries, and what the containers of runs do.

mod interfaces;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use tokio::{task, time::Instant};

use almanac_schemas::trigger::{Provider as Name, Value, samples::Sample};

use crate::{
    clock,
    run::RunKey,
    runtime::{Runtime, chain},
};

pub use interfaces::Traffic;
pub(crate) use interfaces::of_container;

use super::provider::{MeasureError, Measured, Provider};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What the containers of runs have to do with the network, as an engine tells it: of each that runs what went to and from
/// it, or that this cannot be told apart from what the host does.
pub type Usage = BTreeMap<RunKey, Option<Traffic>>;

/// The node's network.
pub struct Network {
    runtime: Arc<dyn Runtime>,
    proc: PathBuf,
    experiments: Experiments,
    /// What was last known of each, and when.
    uplink: Option<(Instant, String, Traffic)>,
    containers: Option<(Instant, Traffic)>,
}

impl Network {
    /// The network that is seen in a `/proc`, and what a runtime tells of it.
    pub fn new(runtime: Arc<dyn Runtime>, proc: PathBuf) -> Self {
        Self { runtime, proc, experiments: Experiments::default(), uplink: None, containers: None }
    }

    async fn look(&mut self) -> Result<Sample, MeasureError> {
        let mut sample = Sample::new();
        let proc = self.proc.clone();
        let uplink = task::spawn_blocking(move || interfaces::uplink(&proc)).await;
        let uplink = uplink.map_err(|error| MeasureError(format!("looking at it ended early: {error}")))?;
        let seen = uplink.map(|(name, traffic)| (Instant::now(), name, traffic));
        if let (Some((before, known, earlier)), Some((now, name, later))) = (&self.uplink, &seen)
            && known == name
        {
            put_rates(&mut sample, "uplink", rates(*earlier, *later, *now - *before));
        }
        self.uplink = seen;

        let usage = self.runtime.usage().await.map_err(|error| {
            self.containers = None;
            MeasureError(format!("the engine does not say what its containers do: {}", chain(&error)))
        })?;
        let now = Instant::now();
        let total = self.experiments.add(&usage);
        if let Some(total) = total {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
            let number = |bytes: u64| Value::Number(bytes as f64);
            sample.insert("experiments_rx_bytes".to_owned(), number(total.rx));
            sample.insert("experiments_tx_bytes".to_owned(), number(total.tx));
            if let Some((before, earlier)) = self.containers {
                put_rates(&mut sample, "experiments", rates(earlier, total, now - before));
            }
        }
        self.containers = total.map(|total| (now, total));
        Ok(sample)
    }
}

impl Provider for Network {
    fn name(&self) -> Name {
        Name::Network
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn is_always_on(&self) -> bool {
        false
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async {
            let sample = self.look().await?;
            Ok(Some(Measured { at: clock::now(), sample }))
        }
        .boxed()
    }
}

/// What the containers of runs did, all together. A container takes its counters with it when it is removed.
#[derive(Debug, Default)]
struct Experiments {
    total: Traffic,
    /// What was known of each that ran when it was looked last.
    known: Option<BTreeMap<RunKey, Traffic>>,
}

impl Experiments {
    /// Adds what is new; nothing where one of them cannot be told apart from the host: what the others do is not what
    /// experiments do then.
    fn add(&mut self, usage: &Usage) -> Option<Traffic> {
        let mut seen = BTreeMap::new();
        let mut is_whole = true;
        for (run, traffic) in usage {
            let Some(traffic) = *traffic else {
                is_whole = false;
                continue;
            };
            // What was there before anybody looked is of an earlier time; what came since counts from its beginning, and
            // so does one whose counters began anew.
            let earlier = match &self.known {
                None => traffic,
                Some(known) => known.get(run).copied().unwrap_or_default(),
            };
            self.total.rx += traffic.rx.checked_sub(earlier.rx).unwrap_or(traffic.rx);
            self.total.tx += traffic.tx.checked_sub(earlier.tx).unwrap_or(traffic.tx);
            seen.insert(*run, traffic);
        }
        self.known = Some(seen);
        is_whole.then_some(self.total)
    }
}

/// Bits per second; nothing where a counter went back: it began anew, and nobody knows from where.
fn rates(earlier: Traffic, later: Traffic, time: Duration) -> Option<(f64, f64)> {
    let seconds = time.as_secs_f64();
    let rate = |earlier: u64, later: u64| {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
        let bytes = later.checked_sub(earlier)? as f64;
        Some(bytes * 8.0 / seconds).filter(|rate| rate.is_finite())
    };
    Some((rate(earlier.rx, later.rx)?, rate(earlier.tx, later.tx)?))
}

fn put_rates(sample: &mut Sample, what: &str, rates: Option<(f64, f64)>) {
    if let Some((rx, tx)) = rates {
        sample.insert(format!("{what}_rx_bps"), Value::Number(rx));
        sample.insert(format!("{what}_tx_bps"), Value::Number(tx));
    }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};

    use super::*;

    fn run(job: &str) -> RunKey {
        let id = RunId::new(&job.parse().unwrap(), &"n".parse().unwrap(), chrono::DateTime::UNIX_EPOCH);
        RunKey { id, role: RunRole::Client }
    }

    const fn traffic(rx: u64, tx: u64) -> Traffic {
        Traffic { rx, tx }
    }

    #[test]
    fn what_containers_did_counts_also_after_they_have_gone() {
        let mut experiments = Experiments::default();
        let mut add = |usage: &[(&str, Option<Traffic>)]| {
            experiments.add(&usage.iter().map(|(job, traffic)| (run(job), *traffic)).collect())
        };
        // It was there before anybody looked.
        assert_eq!(add(&[("a", Some(traffic(100, 10)))]), Some(traffic(0, 0)));
        assert_eq!(add(&[("a", Some(traffic(150, 15)))]), Some(traffic(50, 5)));
        assert_eq!(add(&[("a", Some(traffic(150, 15))), ("b", Some(traffic(7, 1)))]), Some(traffic(57, 6)));
        assert_eq!(add(&[]), Some(traffic(57, 6)));
        // One that began anew.
        assert_eq!(add(&[("b", Some(traffic(3, 3)))]), Some(traffic(60, 9)));
        assert_eq!(add(&[("b", Some(traffic(1, 4)))]), Some(traffic(61, 10)));
        // With the host's network, or as a process: what experiments do is not known while it runs.
        assert_eq!(add(&[("b", Some(traffic(2, 4))), ("c", None)]), None);
        assert_eq!(add(&[("b", Some(traffic(2, 4)))]), Some(traffic(62, 10)));
    }

    #[test]
    fn rates_are_bits_per_second_and_never_of_a_counter_that_went_back() {
        let second = Duration::from_secs(1);
        assert_eq!(rates(traffic(0, 0), traffic(1000, 10), second * 2), Some((4000.0, 40.0)));
        assert_eq!(rates(traffic(5, 0), traffic(4, 10), second), None);
        assert_eq!(rates(traffic(0, 0), traffic(1, 1), Duration::ZERO), None);
    }
}
