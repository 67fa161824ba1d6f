//! `config check` and `config show`.

use std::fmt::Write;

use serde::Serialize;

use super::{Format, Origin, Problems, SETTINGS, ServeSettings, Setting, Sources, sources::Given};
use crate::{redact, secret::SecretSource};

/// Whether the settings of `serve` can be used.
///
/// # Errors
///
/// With everything that is missing or wrong.
pub fn check(given: Given) -> Result<String, Problems> {
    let file = given.file.clone();
    ServeSettings::resolve(given)?;
    Ok(match file {
        Some(file) => format!("{} and what was given beside it can be used\n", file.display()),
        None => "the configuration can be used\n".to_owned(),
    })
}

/// A setting as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: Option<String>,
    origin: Shown,
    /// The variable or the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip)]
    from: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    Flag,
    Environment,
    File,
    Default,
    Unset,
}

/// The effective value of each setting, and where it comes from. Passwords in addresses are left
/// out. What is wrong comes second; the values are shown all the same.
pub fn show(given: Given, format: Format) -> (String, Option<Problems>) {
    let mut sources = Sources::read(given);
    ServeSettings::from_sources(&mut sources);
    let settings = SETTINGS.iter().map(|setting| (setting.name.to_owned(), sources.get(setting.name)));
    let tables = sources.rows().iter().map(|(name, value)| (name.clone(), Some(value)));
    let rows: Vec<Row> = settings
        .chain(tables)
        .map(|(name, value)| {
            let (origin, source) = match value.map(|value| &value.origin) {
                None => (Shown::Unset, None),
                Some(Origin::Default) => (Shown::Default, None),
                Some(Origin::Flag) => (Shown::Flag, None),
                Some(Origin::Environment(variable)) => (Shown::Environment, Some((*variable).to_owned())),
                Some(Origin::File(path)) => (Shown::File, Some(path.display().to_string())),
            };
            let from = value.map_or_else(|| "not set".to_owned(), |value| value.origin.to_string());
            let value = value.map(|value| shown(&name, &value.text));
            Row { name, value, origin, source, from }
        })
        .collect();
    let text = match format {
        // Strings and enums always have a form as JSON.
        Format::Json => serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n",
        Format::Text => table(&rows),
    };
    let problems = sources.problems();
    (text, (!problems.is_empty()).then_some(Problems(problems)))
}

/// A value without what may be a secret: a password in an address, or whatever stands where only the place of a
/// secret should.
fn shown(name: &str, text: &str) -> String {
    let place = Setting::of(name).is_some_and(Setting::is_place_of_secret);
    if place && text.parse::<SecretSource>().is_err() {
        return redact::HIDDEN.to_owned();
    }
    redact::passwords(text).into_owned()
}

fn table(rows: &[Row]) -> String {
    let value = |row: &Row| row.value.clone().unwrap_or_else(|| "-".to_owned());
    let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let values = rows.iter().map(|row| value(row).chars().count()).max().unwrap_or(0);
    let mut text = format!("{:names$}  {:values$}  FROM\n", "SETTING", "VALUE");
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:names$}  {:values$}  {}", row.name, value(row), row.from);
    }
    text
}
