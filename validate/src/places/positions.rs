//! Where things are in a file.
//!
//! The parser of values reports no positions for what it accepted, so a file is parsed a second time
//! when, and only when, something is to be said about it.

use std::ops::Range;

use almanac_schemas::manifest::PathStep;

use super::{
    scalar,
    tree::{Content, Duplicate, Tree},
};

/// A place within a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Which document of the file, from 0.
    pub(crate) document: usize,
    /// The way from the document's root.
    pub(crate) path: Vec<PathStep>,
    /// What is meant of the place that the path leads to.
    pub(crate) focus: Focus,
}

/// What is meant of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Focus {
    /// The value.
    Value,
    /// The key that holds the value, or the value itself in a sequence.
    Key,
    /// These bytes of a string.
    Within(Range<usize>),
}

/// The places of a text, as far as it can be parsed.
#[derive(Debug)]
pub(crate) struct Positions<'a> {
    pub(super) text: &'a str,
    pub(super) tree: Tree,
}

/// Where a path leads.
pub(super) struct Found {
    /// The node of the value.
    pub(super) value: usize,
    /// The node of its key, if it is in a mapping.
    pub(super) key: Option<usize>,
    /// Whether an alias is on the way: the value is written once and counts in several places.
    pub(super) shared: bool,
}

impl<'a> Positions<'a> {
    /// Reads a text. What comes after a syntax error has no positions.
    pub(crate) fn read(text: &'a str) -> Self {
        Self { text, tree: Tree::read(text) }
    }

    /// The bytes of a place; of the nearest thing around it when the place itself does not exist.
    pub(crate) fn range(&self, spot: &Spot) -> Option<Range<usize>> {
        let nodes = &self.tree.nodes;
        let range = |node: usize| nodes[node].range.clone();
        let found = match self.find(spot)? {
            Ok(found) => found,
            Err(around) => return Some(range(around)),
        };
        let node = found.value;
        Some(match &spot.focus {
            Focus::Key => {
                let root = if spot.path.is_empty() { self.first_key(node) } else { None };
                range(found.key.or(root).unwrap_or(node))
            }
            // A block is a wall of text: its key stands for it.
            Focus::Value if nodes[node].is_block() => {
                range(found.key.or_else(|| self.first_key(node)).unwrap_or(node))
            }
            Focus::Value => range(node),
            Focus::Within(part) => self.within(node, part),
        })
    }

    /// The document that a byte is in, and the way to the innermost thing there. A position in a
    /// sequence is not part of what a thing is, so the way through one is left out.
    pub(crate) fn way(&self, byte: usize) -> Option<(usize, Vec<&str>)> {
        let nodes = &self.tree.nodes;
        let covers = |node: usize| {
            let range = &nodes[node].range;
            range.contains(&byte) || range.start == byte
        };
        let document = self.tree.documents.iter().position(|root| covers(*root))?;
        let mut node = self.tree.documents[document];
        let mut way = Vec::new();
        loop {
            let next = match &nodes[node].content {
                Content::Mapping { entries, .. } => {
                    let found = entries.iter().find(|(_, (key, value))| covers(*key) || covers(*value));
                    found.map(|(name, (_, value))| {
                        way.push(name.as_str());
                        *value
                    })
                }
                Content::Sequence { items, .. } => items.iter().copied().find(|item| covers(*item)),
                Content::Scalar { .. } | Content::Alias(_) | Content::Dangling => None,
            };
            match next {
                Some(next) if covers(next) => node = next,
                _ => return Some((document, way)),
            }
        }
    }

    /// Keys that occur twice in a mapping of a document.
    pub(crate) fn duplicates(&self, document: usize) -> impl Iterator<Item = &Duplicate> {
        // They come in the order of documents, of which there may be as many.
        let all = &self.tree.duplicates;
        let first = all.partition_point(|duplicate| duplicate.document < document);
        all[first..].iter().take_while(move |duplicate| duplicate.document == document)
    }

    /// Where a path leads; or else the node that is to be shown in its place.
    pub(super) fn find(&self, spot: &Spot) -> Option<Result<Found, usize>> {
        let nodes = &self.tree.nodes;
        let value = *self.tree.documents.get(spot.document)?;
        let mut found = Found { value, key: None, shared: nodes[value].aliased };
        for (depth, step) in spot.path.iter().enumerate() {
            let next = match (self.content(found.value), step) {
                (Content::Mapping { entries, .. }, PathStep::Key(name)) => {
                    entries.get(name).map(|(key, value)| (Some(*key), *value))
                }
                (Content::Sequence { items, .. }, PathStep::Index(index)) => {
                    items.get(*index).map(|item| (None, *item))
                }
                _ => None,
            };
            let Some((key, value)) = next else {
                // Around something that is absent, a whole mapping would be a wall of text: its key says it.
                let around = if depth == 0 { self.first_key(found.value) } else { found.key };
                return Some(Err(around.unwrap_or(found.value)));
            };
            let through_alias = matches!(nodes[found.value].content, Content::Alias(_));
            found = Found { value, key, shared: found.shared || through_alias || nodes[value].aliased };
        }
        Some(Ok(found))
    }

    fn within(&self, node: usize, part: &Range<usize>) -> Range<usize> {
        let whole = self.tree.nodes[node].range.clone();
        let Content::Scalar(scalar) = &self.tree.nodes[node].content else { return whole };
        if let Some(value) = &scalar.value {
            let found = scalar::part(&self.text[whole.clone()], scalar.style, value, part);
            return found.map_or(whole.clone(), |found| whole.start + found.start..whole.start + found.end);
        }
        let start = whole.start + scalar.quote();
        let (from, to) = (start + part.start, start + part.end);
        if to <= whole.end { from..to } else { whole }
    }

    fn content(&self, node: usize) -> &Content {
        match &self.tree.nodes[node].content {
            Content::Alias(target) => &self.tree.nodes[*target].content,
            content => content,
        }
    }

    /// The first key of a mapping: where a document without a name is pointed at.
    fn first_key(&self, node: usize) -> Option<usize> {
        let Content::Mapping { entries, .. } = self.content(node) else { return None };
        entries.values().map(|(key, _)| *key).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a place, written as `spec.nodes.0`.
    fn text<'a>(yaml: &'a str, path: &str, focus: Focus) -> &'a str {
        let step = |step: &str| match step.parse() {
            Ok(index) => PathStep::Index(index),
            Err(_) => PathStep::Key(step.to_owned()),
        };
        let path = path.split('.').filter(|step| !step.is_empty()).map(step).collect();
        let range = Positions::read(yaml).range(&Spot { document: 0, path, focus }).unwrap();
        &yaml[range]
    }

    const BLOCK: &str =
        "# top\nkind: Job\nspec:\n  nodes:\n    - a\n    - 'b c'\n  env: { X: \"1\", Y: [1, {z: 2}] }\n";

    #[test]
    fn finds_keys_and_values_in_any_style() {
        assert_eq!(text(BLOCK, "kind", Focus::Value), "Job");
        assert_eq!(text(BLOCK, "kind", Focus::Key), "kind");
        assert_eq!(text(BLOCK, "spec.nodes.1", Focus::Value), "'b c'");
        assert_eq!(text(BLOCK, "spec.nodes.1", Focus::Within(2..3)), "c");
        assert_eq!(text(BLOCK, "spec.env.Y.1.z", Focus::Value), "2");
        assert_eq!(text(BLOCK, "spec.env", Focus::Value), "{ X: \"1\", Y: [1, {z: 2}] }");
    }

    #[test]
    fn a_byte_leads_to_the_way_to_it() {
        let positions = Positions::read(BLOCK);
        let way = |text: &str| positions.way(BLOCK.find(text).unwrap()).unwrap();
        assert_eq!(way("b c"), (0, vec!["spec", "nodes"]));
        assert_eq!(way("nodes"), (0, vec!["spec", "nodes"]));
        assert_eq!(way("z: 2"), (0, vec!["spec", "env", "Y", "z"]));
        assert_eq!(way("kind"), (0, vec!["kind"]));
    }

    #[test]
    fn a_block_is_shown_by_its_key_and_a_document_by_its_first() {
        assert_eq!(text(BLOCK, "spec.nodes", Focus::Value), "nodes");
        assert_eq!(text(BLOCK, "", Focus::Value), "kind");
    }

    #[test]
    fn what_is_absent_is_shown_by_what_it_is_missing_from() {
        assert_eq!(text(BLOCK, "spec.owner", Focus::Value), "spec");
        assert_eq!(text(BLOCK, "metadata.name", Focus::Value), "kind");
    }

    #[test]
    fn aliases_lead_to_what_they_stand_for() {
        let yaml = "a: &x { b: 1 }\nc: *x\n";
        assert_eq!(text(yaml, "c", Focus::Value), "*x");
        assert_eq!(text(yaml, "c.b", Focus::Value), "1");
    }

    #[test]
    fn a_part_of_a_value_is_found_in_any_style() {
        assert_eq!(text("a: \"\\x41bc\"", "a", Focus::Within(1..2)), "b");
        assert_eq!(text("a: 'it''s'", "a", Focus::Within(2..4)), "''s");
        assert_eq!(text("a: >\n  x\n  yz\n", "a", Focus::Within(2..4)), "yz");
    }

    #[test]
    fn a_block_scalar_ends_with_its_text() {
        assert_eq!(text("a: |  # c\n\n  x\n   y\n\n\nb: 1\n", "a", Focus::Value), "x\n   y");
    }
}
