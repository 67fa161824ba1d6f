//! The node's machine, as its heartbeats see it, without the sensors, which take their time.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::task;

use almanac_proto::v1::HostMetrics;
use almanac_schemas::trigger::{Provider as Name, Value, samples::Sample};

use crate::{clock, heartbeat::host::Places};

use super::provider::{MeasureError, Measured, Provider};

/// How often it is looked at: four short files of the kernel.
const EVERY: Duration = Duration::from_secs(1);

/// The machine.
pub struct Host {
    places: Places,
}

impl Host {
    /// The machine that is seen at these places.
    pub const fn new(places: Places) -> Self {
        Self { places }
    }
}

impl Provider for Host {
    fn name(&self) -> Name {
        Name::Host
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn is_always_on(&self) -> bool {
        false
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async {
            let places = self.places.clone();
            let seen = task::spawn_blocking(move || places.glance()).await;
            let seen =
                seen.map_err(|error| MeasureError(format!("looking at the host ended early: {error}")))?;
            let sample = sample(&seen);
            if sample.is_empty() {
                return Err(MeasureError::new("the kernel says nothing about the host"));
            }
            Ok(Some(Measured { at: clock::now(), sample }))
        }
        .boxed()
    }
}

fn sample(seen: &HostMetrics) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "bytes and seconds far below 2^53")]
    let number = |value: Option<u64>| value.map(|value| value as f64);
    let fields = [
        ("load_1m", seen.load_hundredths.map(|load| f64::from(load) / 100.0)),
        ("memory_free_bytes", number(seen.memory_available)),
        ("disk_free_bytes", number(seen.disk_free)),
        ("uptime_s", number(seen.uptime_seconds)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::Number(value?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_say_is_not_measured() {
        let seen = HostMetrics { load_hundredths: Some(150), disk_free: Some(7), ..HostMetrics::default() };
        let sample = sample(&seen);
        assert_eq!(sample["load_1m"], Value::Number(1.5));
        assert_eq!(sample.keys().collect::<Vec<_>>(), ["disk_free_bytes", "load_1m"]);
    }
}
