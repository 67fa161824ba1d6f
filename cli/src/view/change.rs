//! What a sync changed, and what something went through.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use almanac_proto::{convert::FieldError, v1};

use crate::{
    output::Row,
    table::{Cell, Column, Fit, Tone, printable},
    view::{self, Spec, Sync},
};

/// What a sync did to one user, node, job or to the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `User`, `Node`, `Job` or `Config`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub action: Action,
    /// What it was.
    pub before: Option<Spec>,
    /// What it is.
    pub after: Option<Spec>,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Added,
    Changed,
    Removed,
}

impl TryFrom<v1::Change> for Change {
    type Error = FieldError;

    fn try_from(change: v1::Change) -> Result<Self, FieldError> {
        let side = |field, json: String| view::text(json).map(|json| view::spec(field, &json)).transpose();
        Ok(Self {
            kind: change.kind,
            name: change.name,
            action: view::word::<v1::ChangeAction, _>("action", change.action)?,
            before: side("before", change.before)?,
            after: side("after", change.after)?,
        })
    }
}

impl TryFrom<v1::ChangeAction> for Action {
    type Error = FieldError;

    fn try_from(action: v1::ChangeAction) -> Result<Self, FieldError> {
        match action {
            v1::ChangeAction::Added => Ok(Self::Added),
            v1::ChangeAction::Changed => Ok(Self::Changed),
            v1::ChangeAction::Removed => Ok(Self::Removed),
            v1::ChangeAction::Unspecified => Err(FieldError::missing("action")),
        }
    }
}

impl Change {
    /// What happened, with the fields that are others; lines of this width, where they are limited.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut text = format!("  {} {} {}\n", self.action.sign(), self.kind, self.name);
        for field in self.fields() {
            text.push_str(&field.text(width));
        }
        text
    }

    /// The fields that differ, such as `spec.schedule.cron`; none unless it was there before and after.
    fn fields(&self) -> Vec<Field<'_>> {
        let mut fields = Vec::new();
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            compare(Some(before), Some(after), "", &mut fields);
        }
        fields
    }
}

impl Action {
    const fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }
}

/// A field that is another, or was not there, or is not there any more.
struct Field<'a> {
    name: String,
    before: Option<&'a Spec>,
    after: Option<&'a Spec>,
}

/// How many characters of a value are shown. What is longer is whole in the JSON form.
const VALUE: usize = 40;

impl Field<'_> {
    fn text(&self, width: Option<usize>) -> String {
        let (before, after) = (value(self.before), value(self.after));
        let line = format!("      {}: {before} -> {after}\n", self.name);
        if width.is_none_or(|width| line.trim_end().width() <= width) {
            return line;
        }
        format!("      {}:\n           {before}\n        -> {after}\n", self.name)
    }
}

/// A value on one line, as a plan shows it. What is too long loses its middle: the end of a key or of an
/// image says which it is.
fn value(value: Option<&Spec>) -> String {
    let json = value.map(|value| serde_json::to_string(value).unwrap_or_else(|error| error.to_string()));
    let text = printable(&json.unwrap_or_else(|| "absent".to_owned()));
    let count = text.chars().count();
    if count <= VALUE {
        return text;
    }
    let tail = VALUE / 4;
    let start = text.chars().take(VALUE - tail - 1);
    start.chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

fn compare<'a>(before: Option<&'a Spec>, after: Option<&'a Spec>, name: &str, fields: &mut Vec<Field<'a>>) {
    if before == after {
        return;
    }
    let mapping = |side: Option<&'a Spec>| side.and_then(Spec::as_mapping);
    let (Some(old), Some(new)) = (mapping(before), mapping(after)) else {
        return fields.push(Field { name: name.to_owned(), before, after });
    };
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).filter_map(Spec::as_str).collect();
    for key in names {
        let name = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        compare(old.get(key), new.get(key), &name, fields);
    }
}

/// A change with the sync that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedChange {
    /// The sync.
    pub sync: Sync,
    /// What it changed.
    pub change: Change,
}

impl TryFrom<v1::RecordedChange> for RecordedChange {
    type Error = FieldError;

    fn try_from(recorded: v1::RecordedChange) -> Result<Self, FieldError> {
        Ok(Self {
            sync: recorded.sync.ok_or_else(|| FieldError::missing("sync"))?.try_into()?,
            change: recorded.change.ok_or_else(|| FieldError::missing("change"))?.try_into()?,
        })
    }
}

impl Row for RecordedChange {
    const NONE: &'static str = "no changes";
    const COLUMNS: &'static [Column] = &[
        Column { title: "WHEN", fit: Fit::Keep },
        Column { title: "SYNC", fit: Fit::Keep },
        Column { title: "COMMIT", fit: Fit::Keep },
        Column { title: "CHANGE", fit: Fit::Wrap },
        Column { title: "AUTHOR", fit: Fit::Shorten },
        Column { title: "SUBJECT", fit: Fit::Shorten },
    ];

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        let names: Vec<_> = self.change.fields().into_iter().map(|field| field.name).collect();
        let change = match self.change.action {
            Action::Added => Cell::toned("added", Tone::Good),
            Action::Removed => Cell::toned("removed", Tone::Odd),
            Action::Changed => names.join(", ").into(),
        };
        vec![
            view::ago(self.sync.ended_at, now).into(),
            self.sync.id.to_string().into(),
            self.sync.commit().into(),
            change,
            self.sync.who().into(),
            self.sync.what().into(),
        ]
    }
}
