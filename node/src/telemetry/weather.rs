//! The weather at the node's coordinates: what the reconciler fetched of OpenWeatherMap's current weather
//! (<https://openweathermap.org/current>) and passed on. The key to it stays there.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value as Json;
use tokio::sync::watch;

use almanac_proto::{convert, v1};
use almanac_schemas::trigger::{FieldType, Provider as Name, Value, field::KNOWN, samples::Sample};

use crate::clock;

use super::provider::{MeasureError, Measured, Provider};

/// How often it is looked whether something came.
const EVERY: Duration = Duration::from_secs(1);

/// How old it may be: the reconciler fetches it every ten minutes, and after two hours the rain may be over.
pub const OLDEST: TimeDelta = TimeDelta::hours(2);

/// The longest text that is taken for one.
const LONGEST_TEXT: usize = 200;

/// The weather.
pub struct Weather {
    feed: watch::Receiver<Arc<v1::Weather>>,
    /// Which one was measured last.
    known: Option<DateTime<Utc>>,
}

impl Weather {
    /// What comes by a feed.
    pub const fn new(feed: watch::Receiver<Arc<v1::Weather>>) -> Self {
        Self { feed, known: None }
    }

    fn look(&mut self, now: DateTime<Utc>) -> Result<Option<Measured>, MeasureError> {
        let latest = self.feed.borrow().clone();
        let because = |text: &str| match latest.problem.as_str() {
            "" => MeasureError::new(text),
            problem => MeasureError(format!("{text}: {problem}")),
        };
        if latest.json.is_empty() {
            return Err(because("the reconciler has passed on no weather yet"));
        }
        let fetched_at = convert::instant("fetched_at", latest.fetched_at.as_ref())
            .map_err(|error| MeasureError(error.to_string()))?;
        if now - fetched_at > OLDEST {
            return Err(because("the reconciler has passed on no weather for two hours"));
        }
        if self.known == Some(fetched_at) {
            return Ok(None);
        }
        let sample = sample(&latest.json)?;
        self.known = Some(fetched_at);
        Ok(Some(Measured { at: fetched_at, sample }))
    }
}

impl Provider for Weather {
    fn name(&self) -> Name {
        Name::Weather
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn patience(&self) -> Duration {
        OLDEST.to_std().unwrap_or_default()
    }

    fn is_always_on(&self) -> bool {
        true
    }

    fn measure(&mut self) -> BoxFuture<'_, Result<Option<Measured>, MeasureError>> {
        async { self.look(clock::now()) }.boxed()
    }
}

/// Where each field is in the JSON, and what it is where it is absent there.
const FIELDS: [(&str, &str, Absent); 17] = [
    ("id", "/weather/0/id", Absent::Unknown),
    ("main", "/weather/0/main", Absent::Unknown),
    ("description", "/weather/0/description", Absent::Unknown),
    ("temp", "/main/temp", Absent::Unknown),
    ("temp_min", "/main/temp_min", Absent::Unknown),
    ("temp_max", "/main/temp_max", Absent::Unknown),
    ("pressure", "/main/pressure", Absent::Unknown),
    ("humidity", "/main/humidity", Absent::Unknown),
    ("clouds", "/clouds/all", Absent::Unknown),
    // The service says how much has fallen where something has, and leaves it out in dry weather: what is absent in an
    // answer that is whole is none. Without that, no trigger could ask for dry weather.
    ("rain_1h", "/rain/1h", Absent::Nothing),
    ("snow_1h", "/snow/1h", Absent::Nothing),
    // Those of three hours are not said by all stations, dry or not.
    ("rain_3h", "/rain/3h", Absent::Unknown),
    ("snow_3h", "/snow/3h", Absent::Unknown),
    ("visibility", "/visibility", Absent::Unknown),
    ("wind_speed", "/wind/speed", Absent::Unknown),
    ("wind_deg", "/wind/deg", Absent::Unknown),
    ("wind_gust", "/wind/gust", Absent::Unknown),
];

/// What a field is that is absent in an answer that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Unknown,
    Nothing,
}

/// Reads an answer. Temperatures are degrees Celsius and speeds metres per second, as the reconciler asks for them.
fn sample(json: &str) -> Result<Sample, MeasureError> {
    let json: Json = serde_json::from_str(json)
        .map_err(|error| MeasureError(format!("what the weather service said is no JSON: {error}")))?;
    // Of an answer without its main parts, nothing can be said of what is absent.
    let is_whole = json.pointer("/weather/0/id").is_some_and(Json::is_number)
        && json.pointer("/main/temp").is_some_and(Json::is_number);
    let mut sample = Sample::new();
    for (name, pointer, absent) in FIELDS {
        let value = match json.pointer(pointer) {
            Some(Json::Number(number)) => {
                number.as_f64().filter(|number| number.is_finite()).map(Value::Number)
            }
            Some(Json::String(text)) if text.len() <= LONGEST_TEXT => Some(Value::Text(text.clone())),
            None if is_whole && absent == Absent::Nothing => Some(Value::Number(0.0)),
            _ => None,
        };
        if let Some(value) = value.filter(|value| Some(value.is()) == declared(name)) {
            sample.insert(name.to_owned(), value);
        }
    }
    if sample.is_empty() {
        return Err(MeasureError::new("what the weather service said holds nothing that is known"));
    }
    Ok(sample)
}

fn declared(name: &str) -> Option<FieldType> {
    KNOWN.iter().find(|known| known.provider == Name::Weather && known.name == name).map(|known| known.is)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenWeatherMap's documentation has it.
    const RAIN: &str = r#"{"coord":{"lon":10.99,"lat":44.34},
        "weather":[{"id":501,"main":"Rain","description":"moderate rain","icon":"10d"}],"base":"stations",
        "main":{"temp":25.3,"feels_like":25.6,"temp_min":23.9,"temp_max":26.9,"pressure":1015,"humidity":64},
        "visibility":10000,"wind":{"speed":0.62,"deg":349,"gust":1.18},"rain":{"1h":3.16},"clouds":{"all":100},
        "dt":1661870592,"cod":200}"#;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn told(json: &str, seconds: i64) -> Arc<v1::Weather> {
        let fetched_at = Some(convert::timestamp(at(seconds)));
        Arc::new(v1::Weather { json: json.to_owned(), fetched_at, problem: String::new() })
    }

    #[test]
    fn an_answer_becomes_fields() {
        let sample = sample(RAIN).unwrap();
        assert_eq!(sample["rain_1h"], Value::Number(3.16));
        assert_eq!(sample["main"], Value::Text("Rain".to_owned()));
        assert_eq!(sample["clouds"], Value::Number(100.0));
        assert_eq!(sample["snow_1h"], Value::Number(0.0));
        assert!(!sample.contains_key("rain_3h"));
        assert_eq!(FIELDS.len(), KNOWN.iter().filter(|known| known.provider == Name::Weather).count());
        assert!(FIELDS.iter().all(|(name, ..)| declared(name).is_some()));
    }

    #[test]
    fn what_is_not_said_is_not_measured() {
        let dry = RAIN.replace(r#""rain":{"1h":3.16},"#, "");
        assert_eq!(sample(&dry).unwrap()["rain_1h"], Value::Number(0.0));
        // Not whole: then nobody knows.
        let part = sample(r#"{"wind":{"speed":3}}"#).unwrap();
        assert_eq!(part.keys().collect::<Vec<_>>(), ["wind_speed"]);
        // Of another type than declared.
        let odd =
            sample(r#"{"weather":[{"id":"x","main":7}],"main":{"temp":"warm","pressure":1e3}}"#).unwrap();
        assert_eq!(odd.keys().collect::<Vec<_>>(), ["pressure"]);
        for hostile in ["", "[]", "{}", "null", "\u{0}", r#"{"weather":[]}"#, r#"{"cod":401,"message":"no"}"#]
        {
            assert!(sample(hostile).is_err(), "{hostile}");
        }
        assert!(sample(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn each_is_measured_once_and_not_when_it_is_old() {
        let (sender, feed) = watch::channel(Arc::new(v1::Weather::default()));
        let mut weather = Weather::new(feed);
        assert!(weather.look(at(0)).unwrap_err().0.contains("no weather yet"));
        sender.send_replace(told(RAIN, 0));
        assert_eq!(weather.look(at(5)).unwrap().unwrap().at, at(0));
        assert_eq!(weather.look(at(6)), Ok(None));
        sender.send_replace(told(RAIN, 600));
        assert!(weather.look(at(601)).unwrap().is_some());
        let late =
            Arc::new(v1::Weather { problem: "its key is refused".to_owned(), ..(*told(RAIN, 600)).clone() });
        sender.send_replace(late);
        let why = weather.look(at(600 + 7201)).unwrap_err().0;
        assert!(why.contains("two hours") && why.ends_with("its key is refused"), "{why}");
        sender.send_replace(told("{", 9000));
        assert!(weather.look(at(9001)).is_err());
    }
}
