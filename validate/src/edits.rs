//! What was changed in a document's value, so that a path in it leads back to the file.

use std::collections::{BTreeMap, BTreeSet};

use almanac_schemas::manifest::PathStep;

/// Changes, by where they are in the file.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// For a mapping and a key of the value: the key in the file.
    keys: BTreeMap<Vec<PathStep>, String>,
    /// For a sequence of the file: the positions that were taken out.
    items: BTreeMap<Vec<PathStep>, BTreeSet<usize>>,
}

impl Edits {
    /// A key of the mapping at `parent` was renamed.
    pub(crate) fn renamed(&mut self, parent: &[PathStep], from: &str, to: &str) {
        let mut place = self.original(parent);
        place.push(PathStep::Key(to.to_owned()));
        self.keys.insert(place, from.to_owned());
    }

    /// An item of the sequence at `parent` was taken out.
    pub(crate) fn removed(&mut self, parent: &[PathStep], index: usize) {
        let place = self.original(parent);
        let index = self.original_index(&place, index);
        self.items.entry(place).or_default().insert(index);
    }

    /// Where something of the value is in the file.
    pub(crate) fn original(&self, path: &[PathStep]) -> Vec<PathStep> {
        let mut original = Vec::with_capacity(path.len());
        for step in path {
            let step = match step {
                PathStep::Index(index) => PathStep::Index(self.original_index(&original, *index)),
                PathStep::Key(_) => {
                    original.push(step.clone());
                    let renamed = self.keys.get(&original);
                    original.pop();
                    renamed.map_or_else(|| step.clone(), |key| PathStep::Key(key.clone()))
                }
            };
            original.push(step);
        }
        original
    }

    fn original_index(&self, sequence: &[PathStep], index: usize) -> usize {
        // In ascending order, each item that was taken out before this one moves it by one.
        let removed = self.items.get(sequence).into_iter().flatten();
        removed.fold(index, |index, removed| if *removed <= index { index + 1 } else { index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> PathStep {
        PathStep::Key(key.to_owned())
    }

    #[test]
    fn paths_lead_back() {
        let mut edits = Edits::default();
        edits.renamed(&[key("spec")], "nodez", "nodes");
        let nodes = [key("spec"), key("nodes")];
        edits.removed(&nodes, 1);
        edits.removed(&nodes, 0);
        let item = |index| [key("spec"), key("nodes"), PathStep::Index(index)];
        assert_eq!(edits.original(&item(0)), [key("spec"), key("nodez"), PathStep::Index(2)]);
        assert_eq!(edits.original(&[key("nodes")]), [key("nodes")]);
        edits.removed(&nodes, 0);
        assert_eq!(edits.original(&item(0)), [key("spec"), key("nodez"), PathStep::Index(3)]);
    }
}
