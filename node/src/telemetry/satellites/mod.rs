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

/// The shells that are told apart, by their inclinations, in whole degrees; within a degree, since there are several of
/// one inclination at different heights, and 53.0 and 53.2.
const SHELLS: [(&str, f64); 4] = [("43", 43.0), ("53", 53.0), ("70", 70.0), ("97", 97.6)];

/// What is in none of them.
const OTHER: &str = "other";

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

    /// As fields, of all and of each shell. Where none is in the field of view, there is no nearest one either.
    fn sample(&self) -> Sample {
        let mut sample = fields("", self.visible.iter().map(|(_, seen)| seen));
        for shell in SHELLS.iter().map(|(name, _)| *name).chain([OTHER]) {
            let of_shell = self.visible.iter().filter(|(inclination, _)| shell_of(*inclination) == shell);
            sample.extend(fields(&format!("_{shell}"), of_shell.map(|(_, seen)| seen)));
        }
        sample
    }
}

/// The shell of an inclination, in degrees.
fn shell_of(inclination: f64) -> &'static str {
    SHELLS.iter().find(|(_, shell)| (inclination - shell).abs() < 1.0).map_or(OTHER, |(name, _)| name)
}

/// How many of them there are, how far and how high, in fields whose names have this `shell`.
fn fields<'s>(shell: &str, seen: impl Iterator<Item = &'s Seen> + Clone) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "there are 100,000 at most")]
    let count = seen.clone().count() as f64;
    let ranges = seen.clone().map(|seen| seen.range_km * 1000.0);
    let elevations = seen.map(|seen| seen.elevation_deg);
    // The mean of none is not a number, and left out.
    let figures = [
        (format!("visible{shell}"), Some(count)),
        (format!("range_min{shell}_m"), ranges.clone().reduce(f64::min)),
        (format!("range_max{shell}_m"), ranges.clone().reduce(f64::max)),
        (format!("range_mean{shell}_m"), Some(ranges.sum::<f64>() / count)),
        (format!("elevation_max{shell}_deg"), elevations.clone().reduce(f64::max)),
        (format!("elevation_mean{shell}_deg"), Some(elevations.sum::<f64>() / count)),
    ];
    let figures = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
    figures
        .filter(|(_, figure)| figure.is_finite())
        .map(|(name, figure)| (name, Value::Number(figure)))
        .collect()
}

#[cfg(test)]
mod constellation;
#[cfg(test)]
mod tests;
