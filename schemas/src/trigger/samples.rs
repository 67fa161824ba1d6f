//! What was measured, as far back as triggers look.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Field, FieldType, Provider};

/// How many samples of each provider are kept, the latest included. At one a second that is a minute.
pub const KEPT: usize = 60;

/// A value that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Truth(bool),
    /// A number. One that is none, or has no end, is taken for one that was not measured.
    Number(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// Of which type it is.
    pub const fn is(&self) -> FieldType {
        match self {
            Self::Truth(_) => FieldType::Truth,
            Self::Number(_) => FieldType::Number,
            Self::Text(_) => FieldType::Text,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What a provider measured at once, by the names of fields.
pub type Sample = BTreeMap<String, Value>;

/// The latest samples of each provider.
#[derive(Debug, Clone, Default)]
pub struct Samples(BTreeMap<Provider, VecDeque<Sample>>);

impl Samples {
    /// Adds the latest sample of a provider.
    pub fn add(&mut self, provider: Provider, sample: Sample) {
        let samples = self.0.entry(provider).or_default();
        samples.push_front(sample);
        samples.truncate(KEPT);
    }

    /// Forgets what a provider measured: it is silent for too long.
    pub fn forget(&mut self, provider: Provider) {
        self.0.remove(&provider);
    }

    /// What a field was so many samples ago.
    pub fn get(&self, field: &Field, ago: usize) -> Option<&Value> {
        self.0.get(&field.provider)?.get(ago)?.get(&field.name)
    }
}
