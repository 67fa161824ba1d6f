//! The weather: what a service is asked, and what of its answer is believed.
//! The format is that of OpenWeatherMap's current weather (<https://openweathermap.org/current>).

use reqwest::Url;
use serde_json::Value;
use thiserror::Error;

use super::Place;
use crate::secret::Secret;

/// The longest answer, in bytes. Real ones have some 600.
pub const MAX_ANSWER: usize = 64 << 10;

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WeatherError {
    /// It is something else.
    #[error("the answer is not an object in JSON")]
    Form,
    /// It is an object, and about something else.
    #[error("the answer says nothing of the weather: it has neither `weather` nor `main`")]
    Other,
    /// Nodes are never to see it.
    #[error("the answer repeats the key, and is not passed on")]
    Key,
}

/// The address that answers with the weather at a place. It carries the key and is not to be shown.
pub fn address(mut url: Url, place: Place, key: &Secret) -> Url {
    url.query_pairs_mut()
        .append_pair("lat", &format!("{:.2}", place.latitude()))
        .append_pair("lon", &format!("{:.2}", place.longitude()))
        .append_pair("units", "metric")
        .append_pair("appid", key.reveal());
    url
}

/// The answer as nodes get it.
///
/// # Errors
///
/// When it is not the weather.
pub fn read(answer: &[u8], key: &Secret) -> Result<String, WeatherError> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(answer) else { return Err(WeatherError::Form) };
    if !fields.contains_key("weather") && !fields.contains_key("main") {
        return Err(WeatherError::Other);
    }
    // Written anew: escapes cannot hide anything in it.
    let text = Value::Object(fields).to_string();
    let written = Value::from(key.reveal()).to_string();
    if text.contains(key.reveal()) || text.contains(written.trim_matches('"')) {
        return Err(WeatherError::Key);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Secret {
        Secret::new("hunter2&\"x")
    }

    #[test]
    fn a_key_and_a_place_are_added_to_what_is_asked() {
        let place: Place = match "weather 51.51 -0.13".parse().unwrap() {
            super::super::Source::Weather(place) => place,
            super::super::Source::Orbits => unreachable!("it is the weather"),
        };
        let url = Url::parse("https://example.org/data?lang=en").unwrap();
        assert_eq!(
            address(url, place, &key()).as_str(),
            "https://example.org/data?lang=en&lat=51.51&lon=-0.13&units=metric&appid=hunter2%26%22x"
        );
    }

    #[test]
    fn only_the_weather_is_believed() {
        let good = br#"{"weather":[{"id":500,"main":"Rain"}], "main":{"temp":7.5}, "dt":1800000000}"#;
        assert!(read(good, &key()).unwrap().contains(r#""temp":7.5"#));
        for (bad, error) in [
            (&b""[..], WeatherError::Form),
            (b"<html>", WeatherError::Form),
            (b"[]", WeatherError::Form),
            (b"{\"main\":", WeatherError::Form),
            (b"{\"main\":{}} x", WeatherError::Form),
            (b"\xff", WeatherError::Form),
            (br#"{"cod":"200"}"#, WeatherError::Other),
            (br#"{"main":{"said":"hunter2&\"x"}}"#, WeatherError::Key),
            (br#"{"main":{"said":"\u0068unter2\u0026\u0022x"}}"#, WeatherError::Key),
        ] {
            assert_eq!(read(bad, &key()), Err(error), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_deep_answer_is_refused() {
        let deep = format!("{{\"main\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(read(deep.as_bytes(), &key()), Err(WeatherError::Form));
    }
}
