//! The satellites that the node can see, computed from their orbits, which the reconciler passes on.

mod earth;
mod orbits;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use tokio::{sync::watch, task};
use tracing::warn;

use almanac_proto::v1;
use almanac_schemas::{
    node::Coordinates,
    trigger::{Provider as Name, Value, samples::Sample},
};

use crate::clock;

use self::{
    earth::{Place, Seen, Turn},
    orbits::Orbits,
};
use super::provider::{MeasureError, Measured, Provider};

/// How often it is computed. In ten seconds a satellite moves by 75 km, a tenth of the field of view.
const EVERY: Duration = Duration::from_secs(10);

/// How high over the horizon a satellite has to be, in degrees, to be in the field of view: what the operator of the
/// largest constellation gives as the least that its terminals use (SpaceX, FCC SAT-MOD-20200417-00037). An orbit of
/// 550 km is 1,123 km away there. A bound on the distance would be another height for each shell.
pub const FIELD_OF_VIEW_DEG: f64 = 25.0;

/// The shells that are counted apart, by their inclinations, in whole degrees; within a degree, since there are several
/// of one inclination at different heights, and 53.0 and 53.2.
const SHELLS: [(&str, f64); 4] =
    [("visible_43", 43.0), ("visible_53", 53.0), ("visible_70", 70.0), ("visible_97", 97.6)];

/// What is in none of them.
const OTHER: &str = "visible_other";

/// The satellites.
pub struct Satellites {
    feed: watch::Receiver<Arc<v1::Orbits>>,
    place: Place,
    /// What was read last, and of which message.
    orbits: Option<(Arc<v1::Orbits>, Arc<Orbits>)>,
}

impl Satellites {
    /// Those that are seen from these coordinates, whose orbits come by a feed.
    pub fn new(feed: watch::Receiver<Arc<v1::Orbits>>, coordinates: &Coordinates) -> Self {
        Self { feed, place: Place::at(coordinates), orbits: None }
    }

    async fn compute(&mut self) -> Result<Measured, MeasureError> {
        let latest = self.feed.borrow().clone();
        let because = |text: String| match latest.problem.as_str() {
            "" => MeasureError(text),
            problem => MeasureError(format!("{text}: {problem}")),
        };
        if latest.tle_zstd.is_empty() {
            return Err(because("the reconciler has passed on no orbits yet".to_owned()));
        }
        let known = self.orbits.as_ref().filter(|(message, _)| Arc::ptr_eq(message, &latest));
        let known = known.map(|(_, orbits)| orbits.clone());
        let (message, place) = (latest.clone(), self.place);
        // Thousands of orbits take milliseconds, which nobody else is to wait for.
        let computed = task::spawn_blocking(move || {
            let orbits = match known {
                Some(orbits) => orbits,
                None => {
                    let orbits = Orbits::unpack(&message.tle_zstd)
                        .map_err(|error| MeasureError(format!("the orbits cannot be unpacked: {error}")))?;
                    if orbits.unreadable > 0 {
                        warn!(count = orbits.unreadable, "element sets cannot be read and are left out");
                    }
                    Arc::new(orbits)
                }
            };
            let at = clock::now();
            let sky = Sky::of(&orbits, &place, at);
            Ok((orbits, at, sky))
        });
        let computed = computed
            .await
            .map_err(|error| MeasureError(format!("computing the positions ended early: {error}")))?;
        let (orbits, at, sky) = computed?;
        let newest = orbits.all.iter().map(|orbit| orbit.epoch()).max();
        let count = orbits.all.len();
        self.orbits = Some((latest.clone(), orbits));
        match newest {
            None => Err(because("what the reconciler passed on holds no orbits".to_owned())),
            Some(newest) if sky.known == 0 => {
                let (newest, oldest) = (newest.format("%Y-%m-%d"), orbits::OLDEST.num_days());
                Err(because(format!(
                    "none of {count} orbits can be followed; the newest is of {newest}, and they are good for {oldest} days"
                )))
            }
            Some(_) => Ok(Measured { at, sample: sky.sample() }),
        }
    }
}

impl Provider for Satellites {
    fn name(&self) -> Name {
        Name::Satellites
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn is_always_on(&self) -> bool {
        true
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async { self.compute().await.map(Some) }.boxed()
    }
}

/// What is seen of the sky.
#[derive(Debug, Default)]
struct Sky {
    /// How many positions are known, wherever they are.
    known: usize,
    /// Those in the field of view, with their inclinations.
    visible: Vec<(f64, Seen)>,
}

impl Sky {
    fn of(orbits: &Orbits, place: &Place, at: DateTime<Utc>) -> Self {
        let turn = Turn::at(at);
        let mut sky = Self::default();
        for orbit in &orbits.all {
            let Some(position) = orbit.at(at) else { continue };
            sky.known += 1;
            let seen = place.see(turn.to_earth(position));
            if seen.elevation_deg >= FIELD_OF_VIEW_DEG {
                sky.visible.push((orbit.inclination, seen));
            }
        }
        sky
    }

    /// As fields. Where none is in the field of view, there is no nearest one either.
    fn sample(&self) -> Sample {
        #[expect(clippy::cast_precision_loss, reason = "there are 100,000 at most")]
        let count = |count: usize| count as f64;
        let visible = count(self.visible.len());
        let mut sample = Sample::from([("visible".to_owned(), Value::Number(visible))]);
        let mut shells = [0; SHELLS.len()];
        let mut other = 0;
        for (inclination, _) in &self.visible {
            match SHELLS.iter().position(|(_, shell)| (inclination - shell).abs() < 1.0) {
                Some(index) => shells[index] += 1,
                None => other += 1,
            }
        }
        for ((name, _), found) in SHELLS.iter().zip(shells) {
            sample.insert((*name).to_owned(), Value::Number(count(found)));
        }
        sample.insert(OTHER.to_owned(), Value::Number(count(other)));
        let ranges = || self.visible.iter().map(|(_, seen)| seen.range_km * 1000.0);
        let elevations = || self.visible.iter().map(|(_, seen)| seen.elevation_deg);
        let figures = [
            ("range_min_m", ranges().reduce(f64::min)),
            ("range_max_m", ranges().reduce(f64::max)),
            ("range_mean_m", Some(ranges().sum::<f64>() / visible)),
            ("elevation_max_deg", elevations().reduce(f64::max)),
            ("elevation_mean_deg", Some(elevations().sum::<f64>() / visible)),
        ];
        for (name, figure) in figures {
            if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
                sample.insert(name.to_owned(), Value::Number(figure));
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests;
