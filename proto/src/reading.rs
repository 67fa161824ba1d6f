//! What a node measured, between the protocol's form and that of `almanac-schemas`.

use almanac_schemas::trigger::{Provider, Value, samples::Sample};
use chrono::{DateTime, Utc};

use crate::{
    convert::{FieldError, instant, timestamp},
    v1,
};

/// What a reading has at most, in bytes, as JSON would write it. Reconcilers pass it on in letters of less than 8,000.
const MAX_READING: usize = 6_000;

/// The longest name and text of a field, in bytes.
const MAX_NAME: usize = 64;
const MAX_TEXT: usize = 128;

/// What a provider measured at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The provider.
    pub provider: Provider,
    /// When, by the node's clock.
    pub at: DateTime<Utc>,
    /// What it measured; empty: nothing any more.
    pub sample: Sample,
}

impl From<Reading> for v1::Reading {
    fn from(reading: Reading) -> Self {
        let value = |value| match value {
            Value::Number(number) => v1::measured_value::Value::Number(number),
            Value::Truth(truth) => v1::measured_value::Value::Truth(truth),
            Value::Text(text) => v1::measured_value::Value::Text(text),
        };
        let sample = reading.sample.into_iter();
        let sample = sample.map(|(name, it)| (name, v1::MeasuredValue { value: Some(value(it)) }));
        Self {
            provider: reading.provider.as_str().to_owned(),
            at: Some(timestamp(reading.at)),
            sample: sample.collect(),
        }
    }
}

impl TryFrom<v1::Reading> for Reading {
    type Error = FieldError;

    /// What is beyond the bounds of a reading is left out: what is watched is for people.
    fn try_from(reading: v1::Reading) -> Result<Self, FieldError> {
        let provider = Provider::find(&reading.provider);
        let provider = provider
            .ok_or_else(|| FieldError::invalid("provider", "no provider of telemetry is called so"))?;
        let value = |value| match value {
            v1::measured_value::Value::Number(number) => {
                Some(number).filter(|it| it.is_finite()).map(Value::Number)
            }
            v1::measured_value::Value::Truth(truth) => Some(Value::Truth(truth)),
            v1::measured_value::Value::Text(mut text) => {
                text.truncate(text.floor_char_boundary(MAX_TEXT));
                // It is shown on terminals.
                Some(Value::Text(text.replace(char::is_control, "\u{fffd}")))
            }
        };
        let is_name = |name: &str| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_good)
        };
        let mut sample: Sample = reading
            .sample
            .into_iter()
            .filter(|(name, _)| is_name(name))
            .filter_map(|(name, it)| Some((name, value(it.value?)?)))
            .collect();
        let mut left = MAX_READING;
        sample.retain(|name, value| {
            // A number has 25 characters at most, and each of a text may need a backslash.
            let text = if let Value::Text(text) = value { 2 * text.len() } else { 25 };
            let fits = left.checked_sub(name.len() + text + "\"\":\"\",".len());
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        Ok(Self { provider, at: instant("at", reading.at.as_ref())?, sample })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_comes_back_as_it_was_sent() {
        let sample = [
            ("latency_ms", Value::Number(61.5)),
            ("obstructed", Value::Truth(false)),
            ("software", Value::Text("2026.1".to_owned())),
        ];
        let sample = sample.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let reading = Reading { provider: Provider::Dish, at: DateTime::UNIX_EPOCH, sample };
        assert_eq!(Reading::try_from(v1::Reading::from(reading.clone())).unwrap(), reading);
    }

    #[test]
    fn what_a_node_says_is_bounded() {
        let value = |value| v1::MeasuredValue { value: Some(value) };
        let text = |text: &str| value(v1::measured_value::Value::Text(text.to_owned()));
        let mut sample: std::collections::HashMap<String, _> =
            (0..100).map(|number| (format!("field_{number:03}"), text(&"ü".repeat(100)))).collect();
        sample.insert("a".repeat(65), text("x"));
        sample.insert("a\u{1b}[2J".to_owned(), text("x"));
        sample.insert("0".to_owned(), text("\u{1b}[2J"));
        sample.insert("1".to_owned(), value(v1::measured_value::Value::Number(f64::NAN)));
        sample.insert("2".to_owned(), v1::MeasuredValue::default());
        let mut reading =
            v1::Reading { provider: "local".to_owned(), at: Some(timestamp(DateTime::UNIX_EPOCH)), sample };
        let read = Reading::try_from(reading.clone()).unwrap();
        assert_eq!(read.sample.len(), 23, "one short one, and those of 271 bytes each");
        assert_eq!(read.sample["0"], Value::Text("\u{fffd}[2J".to_owned()));
        assert!(!read.sample.contains_key("1") && !read.sample.contains_key("2"));
        assert_eq!(read.sample["field_000"], Value::Text("ü".repeat(64)));
        reading.provider = "moon".to_owned();
        assert_eq!(Reading::try_from(reading).unwrap_err().field, "provider");
    }
}
