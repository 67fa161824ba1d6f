//! What there is to fetch, and by which settings.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use almanac_schemas::{
    config::{ConfigSpec, SatelliteSource, WeatherSource},
    node::{Coordinates, NodeSpec, Telemetry},
    secret::SecretRef,
};
use almanac_validate::Testbed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{hex, secret::SecretSource};

/// Parts of a degree to which coordinates are rounded: a hundredth is a kilometre, and a weather service knows nothing
/// finer.
const PER_DEGREE: f64 = 100.0;

/// Something that is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The weather at a place.
    Weather(Place),
    /// The orbits of satellites.
    Orbits,
}

/// Where nodes stand that share their weather, in hundredths of a degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    north: i32,
    east: i32,
}

/// By which settings something is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// From a service of the weather.
    Weather {
        /// Its address.
        url: String,
        /// Where its key is.
        key: SecretSource,
    },
    /// From a service of orbits.
    Url(String),
    /// From a file on this host.
    File(PathBuf),
}

/// By what the other side tells whether there is something newer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validator {
    /// What a service calls this version: of `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// When it changed, by the service: of `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// When a file changed, in nanoseconds since 1970, and how large it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<(i128, u64)>,
}

/// A text that is no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected `orbits`, or `weather` with degrees north and east")]
pub struct SourceError;

/// Everything that a testbed wants to be fetched. What nobody asks for is not fetched.
pub fn wanted(testbed: &Testbed) -> BTreeMap<Source, Wanted> {
    let config = &testbed.config;
    let mut all = BTreeMap::new();
    for entry in testbed.nodes.values() {
        if let (Some(place), Some(WeatherSource { url, api_key })) = (weather(&entry.spec), &config.weather) {
            let wanted = || Wanted::Weather { url: url.clone(), key: secret(api_key) };
            all.entry(Source::Weather(place)).or_insert_with(wanted);
        }
        if wants_orbits(&entry.spec)
            && let Some(wanted) = orbits(config)
        {
            all.entry(Source::Orbits).or_insert(wanted);
        }
    }
    all
}

/// Whether a node's manifest asks for the weather.
pub fn wants_weather(spec: &NodeSpec) -> bool {
    telemetry(spec).is_some_and(|telemetry| telemetry.weather.is_some())
}

/// Whether a node's manifest asks for the orbits of satellites.
pub fn wants_orbits(spec: &NodeSpec) -> bool {
    telemetry(spec).is_some_and(|telemetry| telemetry.satellites.is_some())
}

/// The place whose weather a node asks for.
pub fn weather(spec: &NodeSpec) -> Option<Place> {
    spec.coordinates.as_ref().filter(|_| wants_weather(spec)).map(Place::of)
}

fn telemetry(spec: &NodeSpec) -> Option<&Telemetry> {
    spec.telemetry.as_ref()
}

fn orbits(config: &ConfigSpec) -> Option<Wanted> {
    let SatelliteSource { tle } = config.satellites.as_ref()?;
    let is_file = tle.starts_with('/');
    Some(if is_file { Wanted::File(tle.into()) } else { Wanted::Url(tle.clone()) })
}

fn secret(secret: &SecretRef) -> SecretSource {
    match secret {
        SecretRef::Env(name) => SecretSource::Env(name.clone()),
        SecretRef::File(path) => SecretSource::File(path.into()),
    }
}

impl Wanted {
    /// A hash of the settings. What was fetched by others is fetched again at once.
    pub fn origin(&self) -> String {
        let text = match self {
            Self::Weather { url, key: SecretSource::Env(name) } => format!("weather\n{url}\nenv\n{name}"),
            Self::Weather { url, key: SecretSource::File(path) } => {
                format!("weather\n{url}\nfile\n{}", path.display())
            }
            Self::Url(url) => format!("url\n{url}"),
            Self::File(path) => format!("file\n{}", path.display()),
        };
        hex::encode(Sha256::digest(text))
    }
}

impl Place {
    /// Where coordinates are.
    pub fn of(coordinates: &Coordinates) -> Self {
        // Coordinates are checked: at most 180 degrees, which no integer minds.
        let rounded = |degrees: f64| (degrees * PER_DEGREE).round() as i32;
        Self { north: rounded(coordinates.latitude), east: rounded(coordinates.longitude) }
    }

    /// Degrees north of the equator.
    pub fn latitude(self) -> f64 {
        f64::from(self.north) / PER_DEGREE
    }

    /// Degrees east of Greenwich.
    pub fn longitude(self) -> f64 {
        f64::from(self.east) / PER_DEGREE
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} {:.2}", self.latitude(), self.longitude())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weather(place) => write!(f, "weather {place}"),
            Self::Orbits => f.write_str("orbits"),
        }
    }
}

impl Source {
    /// All words for its kind.
    pub const KINDS: [&'static str; 2] = ["weather", "orbits"];

    /// The word for its kind, as metrics have it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Weather(_) => "weather",
            Self::Orbits => "orbits",
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["orbits"] => Ok(Self::Orbits),
            ["weather", latitude, longitude] => {
                let degrees = |text: &str| text.parse::<f64>().map_err(|_| SourceError);
                let (latitude, longitude) = (degrees(latitude)?, degrees(longitude)?);
                Ok(Self::Weather(Place::of(&Coordinates { latitude, longitude, elevation: 0.0 })))
            }
            _ => Err(SourceError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(latitude: f64, longitude: f64) -> Place {
        Place::of(&Coordinates { latitude, longitude, elevation: 0.0 })
    }

    #[test]
    fn neighbours_share_their_weather() {
        assert_eq!(place(51.5074, -0.1278), place(51.5051, -0.1322));
        assert_ne!(place(51.5074, -0.1278), place(51.52, -0.1278));
    }

    #[test]
    fn a_source_comes_back_as_it_was_written() {
        for source in [
            Source::Orbits,
            Source::Weather(place(51.5074, -0.1278)),
            Source::Weather(place(-90.0, 180.0)),
            Source::Weather(place(-0.004, -0.29)),
        ] {
            assert_eq!(source.to_string().parse(), Ok(source), "{source}");
        }
        for text in ["", "weather", "weather a b", "orbits 1", "weather 1 2 3"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError), "{text}");
        }
    }

    #[test]
    fn other_settings_are_another_origin() {
        let weather =
            |url: &str, key: &str| Wanted::Weather { url: url.to_owned(), key: key.parse().unwrap() };
        let all = [
            weather("https://a", "env:KEY"),
            weather("https://b", "env:KEY"),
            weather("https://a", "env:OTHER"),
            weather("https://a", "file:KEY"),
            Wanted::Url("https://a".to_owned()),
            Wanted::File("/a".into()),
        ];
        for (number, one) in all.iter().enumerate() {
            assert!(all[number + 1..].iter().all(|other| other.origin() != one.origin()));
        }
    }
}
