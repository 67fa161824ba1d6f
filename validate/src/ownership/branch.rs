//! A branch that is followed from commit to commit, for the rights that it grants on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac_schemas::Kind;

use crate::{Declared, Key, Source, declared::key, revision::Difference};

/// The manifests of a branch, as they are after one of its commits.
///
/// What all of them together declare would have to be collected anew after each commit, at a cost that
/// follows the size of the testbed. So it is collected of those alone that can matter for a change: the
/// users, what cannot be read and may be one, and whatever is declared by a name that the change touches.
#[derive(Debug, Default)]
pub struct Branch {
    files: BTreeMap<String, Arc<Source>>,
    /// Which files declare something.
    declaring: BTreeMap<Key, BTreeSet<String>>,
    /// The files that decide who somebody is: with users, or with what is not even known by name.
    people: BTreeSet<String>,
}

impl Branch {
    /// A branch whose tree holds these.
    pub fn new(sources: Vec<Arc<Source>>) -> Self {
        let mut branch = Self::default();
        branch.advance(&Difference { before: Vec::new(), after: sources });
        branch
    }

    /// Goes on to the next commit. Whether users may have changed.
    pub fn advance(&mut self, change: &Difference) -> bool {
        let mut users = false;
        for source in &change.before {
            let path = source.path();
            self.files.remove(path);
            users |= self.people.remove(path);
            for key in keys(source) {
                if let Some(paths) = self.declaring.get_mut(&key) {
                    paths.remove(path);
                }
            }
        }
        for source in &change.after {
            let path = source.path();
            self.files.insert(path.to_owned(), Arc::clone(source));
            if !source.is_complete() || keys(source).any(|(kind, _)| kind == Kind::User) {
                self.people.insert(path.to_owned());
                users = true;
            }
            for key in keys(source) {
                self.declaring.entry(key).or_default().insert(path.to_owned());
            }
        }
        users
    }

    /// What it declares, as far as it matters for a change: all users, and what is declared by the names
    /// that the change touches.
    pub fn rights(&self, change: &Difference) -> Declared {
        let touched = change.before.iter().chain(&change.after).flat_map(|source| keys(source));
        let declaring: Vec<_> = touched.filter_map(|key| self.declaring.get(&key)).flatten().collect();
        let paths: BTreeSet<&String> = self.people.iter().chain(declaring).collect();
        let sources: Vec<_> = paths.into_iter().filter_map(|path| self.files.get(path).cloned()).collect();
        Declared::new(&sources)
    }
}

fn keys(source: &Source) -> impl Iterator<Item = Key> {
    source.documents().iter().filter_map(|document| document.name()).map(|(kind, name)| key(kind, name))
}
