//! The orbits of satellites: two-line element sets (<https://celestrak.org/columns/v04n03/>), and where SGP4 says that
//! their satellites are.

use std::io::{self, Read};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sgp4::{Constants, Elements, MinutesSinceEpoch};

use super::earth::Vector;

/// The longest text that is unpacked: 100,000 satellites have 17 MB with their names.
const LONGEST: u64 = 32 << 20;

/// The most satellites that are followed.
const MOST: usize = 100_000;

/// How old an element set may be. An orbit that low is off by tens of kilometres after two weeks of drag and manoeuvres.
pub(super) const OLDEST: TimeDelta = TimeDelta::days(14);

/// The orbit of a satellite.
pub(super) struct Orbit {
    constants: Constants,
    epoch: NaiveDateTime,
    /// Degrees.
    pub(super) inclination: f64,
}

/// All orbits of a text.
#[derive(Default)]
pub(super) struct Orbits {
    /// Those that can be read.
    pub(super) all: Vec<Orbit>,
    /// How many could not be.
    pub(super) unreadable: usize,
}

impl Orbits {
    /// Unpacks and reads a text.
    ///
    /// # Errors
    ///
    /// When it cannot be unpacked.
    pub(super) fn unpack(packed: &[u8]) -> io::Result<Self> {
        let mut text = Vec::new();
        zstd::stream::read::Decoder::new(packed)?.take(LONGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
        }
        // Names may be in any encoding; element sets are ASCII.
        Ok(Self::read(&String::from_utf8_lossy(&text)))
    }

    /// Reads element sets, with or without lines of names. What is none is passed over: one damaged line is no reason to
    /// see no satellite.
    pub(super) fn read(text: &str) -> Self {
        let mut orbits = Self::default();
        let mut first: Option<&str> = None;
        for line in text.lines().map(str::trim_end) {
            if line.starts_with("1 ") && line.len() == LINE {
                orbits.unreadable += usize::from(first.is_some());
                first = Some(line);
            } else if line.starts_with("2 ") && line.len() == LINE {
                match first.take().and_then(|first| Orbit::of(first, line)) {
                    Some(orbit) if orbits.all.len() < MOST => orbits.all.push(orbit),
                    _ => orbits.unreadable += 1,
                }
            }
        }
        orbits.unreadable += usize::from(first.is_some());
        orbits
    }
}

/// The length of each line of an element set.
const LINE: usize = 69;

impl Orbit {
    /// As the element sets were made: by the constants of WGS 72 and the formulas of AFSPC, whatever earth the place is on
    /// (AIAA 2006-6753, section IV).
    fn of(first: &str, second: &str) -> Option<Self> {
        let elements = Elements::from_tle(None, first.as_bytes(), second.as_bytes()).ok()?;
        let constants = Constants::from_elements_afspc_compatibility_mode(&elements).ok()?;
        Some(Self { constants, epoch: elements.datetime, inclination: elements.inclination })
    }

    /// When it was measured.
    pub(super) fn epoch(&self) -> DateTime<Utc> {
        self.epoch.and_utc()
    }

    /// Where its satellite is in TEME, in kilometres; nothing where it must have come down, or the orbit is too old.
    pub(super) fn at(&self, instant: DateTime<Utc>) -> Option<Vector> {
        let since = instant.naive_utc() - self.epoch;
        if since.abs() > OLDEST {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "two weeks in microseconds are exact")]
        let minutes = since.num_microseconds()? as f64 / 60e6;
        self.after(minutes)
    }

    /// Where it is so many minutes after its epoch.
    pub(super) fn after(&self, minutes: f64) -> Option<Vector> {
        let predicted = self.constants.propagate_afspc_compatibility_mode(MinutesSinceEpoch(minutes)).ok()?;
        predicted.position.iter().all(|along| along.is_finite()).then_some(predicted.position)
    }
}

#[cfg(test)]
mod tests;
