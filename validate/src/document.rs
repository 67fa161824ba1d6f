//! One document: from a value to a manifest, with everything that is wrong on the way.
//!
//! The types stop at the first thing that is wrong. So a document is read again and again, each time
//! with what was reported last taken out or put right, until it is a manifest or nothing is left to
//! try. What follows from a thing that was taken out is not reported.

use std::collections::BTreeSet;

use almanac_schemas::{
    Kind, Manifest,
    manifest::{ManifestError, PathStep},
};
use serde_yaml::Value;

use crate::{
    Rule,
    edits::Edits,
    places::{Change, Focus, Remedy, Spot},
    shape,
    wording::{self, Class, Wording},
    yaml,
    yaml::Parsed,
};

/// How often a document is read at most. Each time costs as much as the document is long.
const MAX_READINGS: usize = 100;

/// What a document says.
#[derive(Debug)]
pub(crate) struct Document {
    /// Which document of the file, from 0.
    pub(crate) index: usize,
    /// What it declares.
    pub(crate) content: Content,
    /// Whether nothing is wrong within it.
    sound: bool,
}

/// What a document declares.
#[derive(Debug)]
pub(crate) enum Content {
    /// A manifest. Unknown fields, which are reported, are left out.
    Manifest(Box<Manifest>),
    /// A manifest with wrong or missing values, which are reported. Its name counts, so that those
    /// who refer to it are not reported as well.
    Damaged {
        /// The kind.
        kind: Kind,
        /// The name, as it is written.
        name: String,
    },
    /// Something that is not even known by name.
    Unknown,
}

impl Document {
    /// Whether it is a manifest that is right in itself.
    pub(crate) fn is_whole(&self) -> bool {
        self.sound && matches!(self.content, Content::Manifest(_))
    }

    /// Something in it is reported that the types do not see.
    pub(crate) fn damage(&mut self) {
        self.sound = false;
        if let Content::Manifest(manifest) = &self.content {
            self.content = Content::Damaged { kind: manifest.kind(), name: manifest.name().to_owned() };
        }
    }

    /// What it declares, as far as that is known.
    pub(crate) fn name(&self) -> Option<(Kind, &str)> {
        match &self.content {
            Content::Manifest(manifest) => Some((manifest.kind(), manifest.name())),
            Content::Damaged { kind, name } => Some((*kind, name)),
            Content::Unknown => None,
        }
    }
}

/// Something that is wrong within a document.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) rule: Rule,
    pub(crate) message: String,
    pub(crate) spot: Spot,
    pub(crate) help: Option<String>,
    /// What the scalar at the spot is to become.
    pub(crate) fix: Option<Remedy>,
}

/// The documents of a file in which nothing is wrong, as in almost all.
pub(crate) fn all_right(parsed: Vec<Parsed>) -> Option<Vec<Document>> {
    let document = |Parsed { index, value }| {
        let content = Content::Manifest(Box::new(Manifest::if_right(value)?));
        Some(Document { index, content, sound: true })
    };
    parsed.into_iter().map(document).collect()
}

/// Reads a document in which something may be wrong.
pub(crate) fn read(index: usize, mut value: Value) -> (Document, Vec<Problem>) {
    let name = name(&value);
    let mut repair =
        Repair { index, problems: Vec::new(), edits: Edits::default(), removed: BTreeSet::new() };
    let mut manifest = None;
    for _ in 0..MAX_READINGS {
        match Manifest::from_value(value.clone()) {
            Ok(read) => {
                manifest = Some(read);
                break;
            }
            Err(error) => {
                if !repair.step(&mut value, error) {
                    break;
                }
            }
        }
    }
    let content = match (manifest, name) {
        (Some(manifest), _) if repair.removed.is_empty() => Content::Manifest(Box::new(manifest)),
        (_, Some((kind, name))) => Content::Damaged { kind, name },
        _ => Content::Unknown,
    };
    (Document { index, content, sound: repair.problems.is_empty() }, repair.problems)
}

/// The kind and name of a document that need not be right otherwise.
fn name(value: &Value) -> Option<(Kind, String)> {
    let kind = value.get("kind")?.as_str()?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((kind, value.get("metadata")?.get("name")?.as_str()?.to_owned()))
}

struct Repair {
    index: usize,
    problems: Vec<Problem>,
    edits: Edits,
    /// Where in the file something was taken out because it is wrong, or lacks something.
    removed: BTreeSet<Vec<PathStep>>,
}

impl Repair {
    /// Reports an error, and changes the value so that it does not happen again. Whether that was possible.
    fn step(&mut self, value: &mut Value, error: ManifestError) -> bool {
        let ManifestError { path, message } = error;
        let found = find(value, &path);
        match wording::classify(&message) {
            Class::UnknownField { expected } => {
                let Some((PathStep::Key(field), parent)) = path.split_last() else { return false };
                let unknown = wording::unknown_field(field, &expected);
                let Some(Value::Mapping(mapping)) = find_mut(value, parent) else { return false };
                let meant = unknown.meant.filter(|meant| !mapping.contains_key(meant.as_str()));
                let content = mapping.remove(field.as_str());
                let fix = meant.as_ref().filter(|_| unknown.certain).map(|meant| Remedy {
                    message: format!("rename `{field}` to `{meant}`"),
                    change: Change::Write(meant.clone()),
                });
                let wording = Wording {
                    rule: Rule::UnknownField,
                    message: unknown.message,
                    focus: Focus::Key,
                    help: Some(unknown.help),
                    fix,
                };
                self.report(&path, wording);
                let Some(content) = content else { return false };
                if let Some(meant) = meant
                    && let Some(Value::Mapping(mapping)) = find_mut(value, parent)
                {
                    self.edits.renamed(parent, field, &meant);
                    mapping.insert(meant.into(), content);
                }
                true
            }
            Class::MissingField { field } => {
                let mut inner = path.clone();
                inner.push(PathStep::Key(field.clone()));
                if !self.removed.contains(&self.edits.original(&inner)) {
                    self.missing(value, &path, field);
                }
                self.remove(value, &path)
            }
            Class::Invalid { message } => {
                let wording = wording::invalid(&message, found);
                let fix = wording.fix.filter(|remedy| accepted(value, &path, &remedy.change));
                self.report(&path, Wording { fix, ..wording });
                // With another version in place, the rest can still be checked.
                if path == [PathStep::Key("apiVersion".to_owned())]
                    && let Some(version) = value.get_mut("apiVersion")
                    && version.as_str() != Some("almanac/v1")
                {
                    *version = "almanac/v1".into();
                    self.removed.insert(path);
                    return true;
                }
                self.remove(value, &path)
            }
        }
    }

    /// Reports a field that is missing, and all others that the same mapping lacks: it is not read again.
    fn missing(&mut self, value: &Value, path: &[PathStep], field: String) {
        let kind = name_of_kind(value);
        let mut fields = vec![field];
        if let (Some(kind), Some(Value::Mapping(mapping))) = (kind, find(value, path)) {
            for other in shape::required(kind, path) {
                let mut inner = path.to_vec();
                inner.push(PathStep::Key(other.clone()));
                let known = fields.contains(&other) || self.removed.contains(&self.edits.original(&inner));
                if !known && !mapping.contains_key(other.as_str()) {
                    fields.push(other);
                }
            }
        }
        for field in fields {
            let message = format!("missing field `{field}`");
            let help = wording::missing_help(&field);
            let (rule, focus) = (Rule::MissingField, Focus::Key);
            self.report(path, Wording { rule, message, focus, help, fix: None });
        }
    }

    fn remove(&mut self, value: &mut Value, path: &[PathStep]) -> bool {
        let Some((last, parent)) = path.split_last() else { return false };
        self.removed.insert(self.edits.original(path));
        match (find_mut(value, parent), last) {
            (Some(Value::Mapping(mapping)), PathStep::Key(key)) => mapping.remove(key.as_str()).is_some(),
            (Some(Value::Sequence(items)), PathStep::Index(index)) if *index < items.len() => {
                items.remove(*index);
                self.edits.removed(parent, *index);
                true
            }
            _ => false,
        }
    }

    fn report(&mut self, path: &[PathStep], wording: Wording) {
        let Wording { rule, message, focus, help, fix } = wording;
        let spot = Spot { document: self.index, path: self.edits.original(path), focus };
        self.problems.push(Problem { rule, message, spot, help, fix });
    }
}

/// Whether the types accept a change of the value at a path.
fn accepted(value: &Value, path: &[PathStep], change: &Change) -> bool {
    let mut value = value.clone();
    let Some(changed) = find_mut(&mut value, path) else { return false };
    *changed = match (change, &changed) {
        (Change::Write(new), _) => Value::String(new.clone()),
        (Change::Quote, Value::Number(number)) => Value::String(number.to_string()),
        (Change::Quote, Value::Bool(word)) => Value::String(word.to_string()),
        (Change::Quote, _) => return false,
        (Change::Bare(new), _) => match yaml::number_or_bool(new) {
            Some(value) => value,
            None => return false,
        },
    };
    Manifest::from_value(value).map_or_else(|error| error.path != path, |_| true)
}

fn name_of_kind(value: &Value) -> Option<Kind> {
    let kind = value.get("kind")?.as_str()?;
    Kind::ALL.into_iter().find(|known| known.as_str() == kind)
}

fn find<'a>(value: &'a Value, path: &[PathStep]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        PathStep::Key(key) => value.get(key.as_str()),
        PathStep::Index(index) => value.get(*index),
    })
}

fn find_mut<'a>(value: &'a mut Value, path: &[PathStep]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        PathStep::Key(key) => value.get_mut(key.as_str()),
        PathStep::Index(index) => value.get_mut(*index),
    })
}
