//! The values of settings, and where each comes from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{Problem, SETTINGS, Setting, file};

/// What flags and the environment give.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The values.
    pub values: BTreeMap<&'static str, Value>,
    /// The file that has more.
    pub file: Option<PathBuf>,
}

/// A value as text, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from. The first that gives one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Environment(&'static str),
    /// The file of `--config`.
    File(PathBuf),
    /// Nothing gives it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(variable) => write!(f, "environment ({variable})"),
            Self::File(path) => write!(f, "file ({})", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All sources together, and what was found to be wrong so far.
#[derive(Debug)]
pub struct Sources {
    values: BTreeMap<&'static str, Value>,
    /// The tables of the file that nobody has asked for yet.
    tables: toml::Table,
    path: PathBuf,
    /// The values in tables, as `table.key`.
    rows: Vec<(String, Value)>,
    problems: Vec<Problem>,
}

impl Sources {
    /// Adds the file and the defaults to what is given.
    pub fn read(given: Given) -> Self {
        let path = given.file.clone().unwrap_or_default();
        let mut sources =
            Self { values: given.values, tables: toml::Table::new(), path, rows: vec![], problems: vec![] };
        for setting in SETTINGS {
            if let Some((variable, text)) = shared(setting) {
                let origin = Origin::Environment(variable);
                sources.values.entry(setting.name).or_insert(Value { text, origin });
            }
        }
        if let Some(path) = &given.file {
            match file::read(path) {
                Ok(table) => sources.add_file(table),
                Err(problem) => sources.problems.push(problem),
            }
        }
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                let value = Value { text: default.to_owned(), origin: Origin::Default };
                sources.values.entry(setting.name).or_insert(value);
            }
        }
        sources
    }

    fn add_file(&mut self, table: toml::Table) {
        for (key, value) in table {
            let text = match (Setting::of(&key), value) {
                (None, value) => {
                    self.tables.insert(key, value);
                    continue;
                }
                (Some(setting), toml::Value::String(text)) => Ok((setting, text)),
                (Some(setting), toml::Value::Integer(number)) => Ok((setting, number.to_string())),
                (Some(setting), toml::Value::Boolean(flag)) => Ok((setting, flag.to_string())),
                (Some(_), other) => Err(other.type_str()),
            };
            let origin = Origin::File(self.path.clone());
            match text {
                Ok((setting, text)) => {
                    self.values.entry(setting.name).or_insert(Value { text, origin });
                }
                Err(found) => self.problems.push(Problem::Value {
                    place: format!("`{key}` in {}", self.path.display()),
                    message: format!("expected a text, and found: {found}"),
                }),
            }
        }
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The meaning of a setting; nothing when it is not given, or makes no sense, which is then noted.
    pub fn parse<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.values.get(name)?;
        match parse(&value.text) {
            Ok(meaning) => Some(meaning),
            Err(error) => {
                let place = match &value.origin {
                    Origin::Flag | Origin::Default => format!("`--{name}`"),
                    Origin::Environment(variable) => format!("`{variable}`"),
                    Origin::File(path) => format!("`{name}` in {}", path.display()),
                };
                self.problems.push(Problem::Value { place, message: error.to_string() });
                None
            }
        }
    }

    /// As [`Sources::parse`]; that it is not given is noted.
    pub fn require<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // What a file that cannot be read would have given, nobody knows.
        let unread =
            self.problems.iter().any(|problem| matches!(problem, Problem::Read(..) | Problem::Syntax { .. }));
        if !self.values.contains_key(name) && !unread {
            let variable = Setting::of(name).map_or("", |setting| setting.variable);
            self.problems.push(Problem::Missing { name, variable });
        }
        self.parse(name, parse)
    }

    /// A table of the file, such as `[limits]`, or its defaults. The type refuses unknown fields
    /// (`deny_unknown_fields`), has a default for each, and shows no secret when it is serialised.
    pub fn table<T: DeserializeOwned + Serialize + Default>(&mut self, name: &'static str) -> T {
        let found = self.tables.remove(name);
        let given: BTreeSet<String> =
            found.iter().flat_map(|value| flattened(name, value)).map(|(key, _)| key).collect();
        let table = match found.map(toml::Value::try_into::<T>) {
            None => T::default(),
            Some(Ok(table)) => table,
            Some(Err(error)) => {
                let message = error.message().to_owned();
                let meant = file::nearest_field(&message);
                let (file, table) = (self.path.clone(), name.to_owned());
                self.problems.push(Problem::Table { file, table, message, meant });
                // Its defaults are not what will count, and are not shown as if they were.
                return T::default();
            }
        };
        if let Ok(value) = toml::Value::try_from(&table) {
            for (key, text) in flattened(name, &value) {
                let origin =
                    if given.contains(&key) { Origin::File(self.path.clone()) } else { Origin::Default };
                self.rows.push((key, Value { text, origin }));
            }
        }
        table
    }

    /// Notes a problem.
    pub fn note(&mut self, problem: impl Into<Problem>) {
        self.problems.push(problem.into());
    }

    /// The values in the tables that were asked for.
    pub fn rows(&self) -> &[(String, Value)] {
        &self.rows
    }

    /// What is wrong, once everything was asked for: a key that nobody asked for means nothing.
    pub fn problems(mut self) -> Vec<Problem> {
        let asked = self.rows.iter().filter_map(|(key, _)| key.split('.').next());
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).chain(asked).collect();
        for key in self.tables.keys() {
            let meant = file::nearest(key, known.iter().copied()).map(str::to_owned);
            let (file, key) = (self.path.clone(), key.clone());
            self.problems.push(Problem::UnknownKey { file, key, meant });
        }
        self.problems
    }
}

/// The values below a value, by their paths.
fn flattened(path: &str, value: &toml::Value) -> Vec<(String, String)> {
    match value {
        toml::Value::Table(table) => {
            table.iter().flat_map(|(key, value)| flattened(&format!("{path}.{key}"), value)).collect()
        }
        toml::Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, value)| flattened(&format!("{path}.{index}"), value)).collect()
        }
        toml::Value::String(text) => vec![(path.to_owned(), text.clone())],
        toml::Value::Integer(number) => vec![(path.to_owned(), number.to_string())],
        toml::Value::Float(number) => vec![(path.to_owned(), number.to_string())],
        toml::Value::Boolean(flag) => vec![(path.to_owned(), flag.to_string())],
        toml::Value::Datetime(instant) => vec![(path.to_owned(), instant.to_string())],
    }
}

/// The value of a variable that other programs share.
#[expect(clippy::disallowed_methods, reason = "this is the configuration")]
fn shared(setting: &Setting) -> Option<(&'static str, String)> {
    let variable = setting.shared_variable()?;
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some((variable, text))
}
