//! What a node measures.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use almanac_proto::{convert::FieldError, reading, v1};
use almanac_schemas::{
    Instant,
    trigger::{Provider, Value, field::Known},
};

use crate::{
    output::Row,
    table::{Cell, Column, Fit},
    view,
};

/// A field that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// What measured it.
    pub provider: &'static str,
    /// Its name.
    pub field: String,
    /// What it was.
    pub value: Value,
    /// What it says, with its unit where the name has none.
    pub about: Option<&'static str>,
    /// When, by the node's clock.
    pub at: Instant,
}

/// What a provider measured at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The provider.
    pub provider: &'static str,
    /// When, by the node's clock.
    pub at: Instant,
    /// What it measured, by the names of fields; nothing when it measures nothing any more.
    pub sample: BTreeMap<String, Value>,
    #[serde(skip)]
    kind: Provider,
}

impl TryFrom<v1::Reading> for Reading {
    type Error = FieldError;

    fn try_from(reading: v1::Reading) -> Result<Self, FieldError> {
        let reading::Reading { provider, at, sample } = reading.try_into()?;
        Ok(Self { provider: provider.as_str(), at: Instant(at), sample, kind: provider })
    }
}

impl Reading {
    /// Its fields.
    pub fn fields(&self) -> impl Iterator<Item = Measured> {
        self.sample.iter().map(|(name, value)| Measured {
            provider: self.provider,
            field: name.clone(),
            value: value.clone(),
            about: Known::about(self.kind, name),
            at: self.at,
        })
    }

    /// One line.
    pub fn line(&self) -> String {
        let fields: String = self.sample.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let fields = if fields.is_empty() { " nothing any more".to_owned() } else { fields };
        format!("{} {}{fields}", self.at, self.provider)
    }
}

impl Row for Measured {
    const NONE: &'static str = "nothing is measured";
    const COLUMNS: &'static [Column] = &[
        Column { title: "PROVIDER", fit: Fit::Keep },
        Column { title: "FIELD", fit: Fit::Keep },
        Column { title: "VALUE", fit: Fit::Shorten },
        Column { title: "AGE", fit: Fit::Keep },
        Column { title: "ABOUT", fit: Fit::Wrap },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        let value = match &self.value {
            Value::Text(text) => text.clone(),
            value => value.to_string(),
        };
        vec![
            self.provider.into(),
            self.field.as_str().into(),
            value.into(),
            view::ago(Some(self.at), now).into(),
            view::dash(self.about).into(),
        ]
    }
}
