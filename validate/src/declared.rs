//! What a tree declares, as far as it can be read: also of one with errors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac_schemas::Kind;
use chrono::{DateTime, Utc};
use serde_yaml::Value;

use crate::{Source, Testbed, check::sorted, rules::Context, yaml};

/// A manifest by its kind and name. There is one `Config` at most, so its name does not matter.
pub type Key = (Kind, String);

/// The name that stands for that of the settings.
pub(crate) const CONFIG: &str = "global";

/// What a tree declares, as far as it can be read.
#[derive(Debug)]
pub struct Declared {
    /// What is whole: manifests that are right in themselves and declared once.
    pub testbed: Arc<Testbed>,
    /// What is known by name only, since something in it is wrong or it is declared more than once;
    /// with what its documents say.
    pub damaged: BTreeMap<Key, Vec<Value>>,
    /// The files that hold something not even known by name, with their text.
    pub unreadable: BTreeMap<String, String>,
}

impl Declared {
    /// What some sources declare.
    pub fn new(sources: &[Arc<Source>]) -> Self {
        let sorted = sorted(sources);
        // The instant is for rules, and none is applied.
        let mut testbed = Context::new(&sorted, DateTime::<Utc>::UNIX_EPOCH).testbed();
        let damaged = damaged(&sorted);
        testbed.users.retain(|name, _| !damaged.contains_key(&(Kind::User, name.to_string())));
        testbed.nodes.retain(|name, _| !damaged.contains_key(&(Kind::Node, name.to_string())));
        testbed.jobs.retain(|name, _| !damaged.contains_key(&(Kind::Job, name.to_string())));
        let unreadable = sorted.iter().filter(|source| !source.is_complete());
        let unreadable =
            unreadable.map(|source| (source.path().to_owned(), source.text().to_owned())).collect();
        Self { testbed: Arc::new(testbed), damaged, unreadable }
    }

    /// Whether everything is known.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_empty()
    }
}

impl From<Arc<Testbed>> for Declared {
    /// What a tree without errors declares.
    fn from(testbed: Arc<Testbed>) -> Self {
        Self { testbed, damaged: BTreeMap::new(), unreadable: BTreeMap::new() }
    }
}

/// The key of a manifest of some kind and name.
pub(crate) fn key(kind: Kind, name: &str) -> Key {
    (kind, if kind == Kind::Config { CONFIG } else { name }.to_owned())
}

fn damaged(sources: &[&Source]) -> BTreeMap<Key, Vec<Value>> {
    let mut seen = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let documents = || {
        sources.iter().flat_map(|source| {
            source.documents().iter().filter_map(move |document| {
                let (kind, name) = document.name()?;
                Some((*source, document, key(kind, name)))
            })
        })
    };
    for (_, document, key) in documents() {
        if !document.is_whole() || !seen.insert(key.clone()) {
            keys.insert(key);
        }
    }
    let mut damaged: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for (source, document, key) in documents().filter(|(.., key)| keys.contains(key)) {
        // What was taken out to read on is only in the text.
        let (parsed, _) = yaml::documents(source.text());
        let value = parsed.into_iter().find(|parsed| parsed.index == document.index);
        damaged.entry(key).or_default().extend(value.map(|parsed| parsed.value));
    }
    damaged
}
