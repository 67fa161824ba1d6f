//! Where things are in a file.
//!
//! The parser of values reports no positions for what it accepted, so a file is parsed a second time
//! when, and only when, something is to be said about it. The tree is an arena: however deep a file
//! nests, nothing here recurses.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

use almanac_schemas::manifest::PathStep;
use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

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

/// The tree of a file's nodes, as far as the file can be parsed.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    nodes: Vec<Node>,
    /// The root of each document; an empty document has an empty scalar.
    documents: Vec<usize>,
    /// Keys that occur twice in a mapping.
    duplicates: Vec<Duplicate>,
}

/// A key that occurs twice in a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duplicate {
    /// The document, from 0.
    pub(crate) document: usize,
    /// The key.
    pub(crate) key: String,
    /// The bytes of its first occurrence.
    pub(crate) first: Range<usize>,
    /// The bytes of its second occurrence.
    pub(crate) second: Range<usize>,
}

#[derive(Debug)]
struct Node {
    range: Range<usize>,
    /// Whether it is a collection in block style.
    block: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A scalar; whether its text in the file is its value, after so many bytes of quotes.
    Scalar {
        verbatim: Option<usize>,
    },
    /// The nodes of keys and values, by the keys' text.
    Mapping(HashMap<String, (usize, usize)>),
    Sequence(Vec<usize>),
    /// Stands for another node.
    Alias(usize),
}

impl Positions {
    /// Reads a text. What comes after a syntax error has no positions.
    pub(crate) fn read(text: &str) -> Self {
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let Some(range) = span.byte_range() else { break };
            builder.event(text, &event, range);
        }
        builder.positions
    }

    /// The bytes of a place; of the nearest thing around it when the place itself does not exist.
    pub(crate) fn range(&self, spot: &Spot) -> Option<Range<usize>> {
        let mut node = *self.documents.get(spot.document)?;
        let mut key = None;
        for (depth, step) in spot.path.iter().enumerate() {
            let next = match (self.content(node), step) {
                (Content::Mapping(entries), PathStep::Key(name)) => {
                    entries.get(name).map(|(key, value)| (Some(*key), *value))
                }
                (Content::Sequence(items), PathStep::Index(index)) => {
                    items.get(*index).map(|item| (None, *item))
                }
                _ => None,
            };
            let Some((found, value)) = next else {
                // Around something that is absent, a whole mapping would be a wall of text: its key says it.
                let around = if depth == 0 { self.first_key(node) } else { key };
                return Some(self.nodes[around.unwrap_or(node)].range.clone());
            };
            (key, node) = (found, value);
        }
        match &spot.focus {
            Focus::Key => {
                let root = if spot.path.is_empty() { self.first_key(node) } else { None };
                Some(self.nodes[key.or(root).unwrap_or(node)].range.clone())
            }
            // A block is a wall of text: its key stands for it.
            Focus::Value => Some(match key {
                Some(key) if self.nodes[node].block => self.nodes[key].range.clone(),
                None if self.nodes[node].block => {
                    self.nodes[self.first_key(node).unwrap_or(node)].range.clone()
                }
                _ => self.nodes[node].range.clone(),
            }),
            Focus::Within(part) => {
                let whole = self.nodes[node].range.clone();
                let Content::Scalar { verbatim: Some(quotes) } = self.nodes[node].content else {
                    return Some(whole);
                };
                let start = whole.start + quotes;
                let (from, to) = (start + part.start, start + part.end);
                Some(if to <= whole.end { from..to } else { whole })
            }
        }
    }

    /// The document that a byte is in, and the way to the innermost thing there. A position in a
    /// sequence is not part of what a thing is, so the way through one is left out.
    pub(crate) fn way(&self, byte: usize) -> Option<(usize, Vec<&str>)> {
        let covers = |node: usize| {
            let range = &self.nodes[node].range;
            range.contains(&byte) || range.start == byte
        };
        let document = self.documents.iter().position(|root| covers(*root))?;
        let mut node = self.documents[document];
        let mut way = Vec::new();
        loop {
            let next = match &self.nodes[node].content {
                Content::Mapping(entries) => {
                    let found = entries.iter().find(|(_, (key, value))| covers(*key) || covers(*value));
                    found.map(|(name, (_, value))| {
                        way.push(name.as_str());
                        *value
                    })
                }
                Content::Sequence(items) => items.iter().copied().find(|item| covers(*item)),
                Content::Scalar { .. } | Content::Alias(_) => None,
            };
            match next {
                Some(next) if covers(next) => node = next,
                _ => return Some((document, way)),
            }
        }
    }

    /// Keys that occur twice in a mapping of a document.
    pub(crate) fn duplicates(&self, document: usize) -> impl Iterator<Item = &Duplicate> {
        self.duplicates.iter().filter(move |duplicate| duplicate.document == document)
    }

    fn content(&self, node: usize) -> &Content {
        match &self.nodes[node].content {
            Content::Alias(target) => &self.nodes[*target].content,
            content => content,
        }
    }

    /// The first key of a mapping: where a document without a name is pointed at.
    fn first_key(&self, node: usize) -> Option<usize> {
        let Content::Mapping(entries) = self.content(node) else { return None };
        entries.values().map(|(key, _)| *key).min()
    }
}

#[derive(Default)]
struct Builder {
    positions: Positions,
    /// The collections that are open, with the key that waits for its value.
    open: Vec<(usize, Option<(usize, String)>)>,
    anchors: HashMap<usize, usize>,
    /// The end of the last thing that is more than white space: a block ends there.
    end: usize,
}

impl Builder {
    fn event(&mut self, text: &str, event: &Event<'_>, range: Range<usize>) {
        match event {
            Event::Scalar(value, style, ..) => {
                // Only when the file holds the value as it is do offsets in one lead to the other.
                let quotes =
                    usize::from(matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted));
                let source = text.get(range.start + quotes..range.end.saturating_sub(quotes));
                let verbatim = (source == Some(value.as_ref())).then_some(quotes);
                self.end = self.end.max(range.end);
                self.add(event, range, Content::Scalar { verbatim }, Some(value));
            }
            Event::Alias(id) => {
                let content = match self.anchors.get(id) {
                    Some(target) => Content::Alias(*target),
                    None => Content::Scalar { verbatim: None },
                };
                self.end = self.end.max(range.end);
                self.add(event, range, content, None);
            }
            Event::MappingStart(..) => {
                let node = self.add(event, range, Content::Mapping(HashMap::new()), None);
                self.open.push((node, None));
            }
            Event::SequenceStart(..) => {
                let node = self.add(event, range, Content::Sequence(Vec::new()), None);
                self.open.push((node, None));
            }
            Event::MappingEnd | Event::SequenceEnd => {
                // The end of a flow collection is a bracket, that of a block is empty.
                if !range.is_empty() {
                    self.end = self.end.max(range.end);
                }
                if let Some((node, _)) = self.open.pop() {
                    let range = &mut self.positions.nodes[node].range;
                    range.end = range.start.max(self.end);
                }
            }
            Event::DocumentStart(..) => self.anchors.clear(),
            _ => {}
        }
    }

    /// Adds a node and ties it to what it is in. `text` is the value of a scalar.
    fn add(&mut self, event: &Event<'_>, range: Range<usize>, content: Content, text: Option<&str>) -> usize {
        let positions = &mut self.positions;
        let node = positions.nodes.len();
        let block = matches!(
            event,
            Event::MappingStart(StructureStyle::Block, ..) | Event::SequenceStart(StructureStyle::Block, ..)
        );
        positions.nodes.push(Node { range, block, content });
        if let Some(id) = event.anchor_id() {
            self.anchors.insert(id, node);
        }
        let Some((parent, key)) = self.open.last_mut() else {
            positions.documents.push(node);
            return node;
        };
        match (&mut positions.nodes[*parent].content, key.take()) {
            (Content::Sequence(items), _) => items.push(node),
            (Content::Mapping(_), None) => *key = Some((node, text.unwrap_or_default().to_owned())),
            (Content::Mapping(entries), Some((key, name))) => match entries.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert((key, node))),
                Entry::Occupied(entry) => {
                    let (document, name, first) =
                        (positions.documents.len() - 1, entry.key().clone(), entry.get().0);
                    let range = |node: usize| positions.nodes[node].range.clone();
                    let (first, second) = (range(first), range(key));
                    positions.duplicates.push(Duplicate { document, key: name, first, second });
                }
            },
            _ => {}
        }
        node
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
    fn escaped_text_is_shown_as_a_whole() {
        assert_eq!(text("a: \"\\x41bc\"", "a", Focus::Within(1..2)), "\"\\x41bc\"");
        assert_eq!(text("a: 'it''s'", "a", Focus::Within(0..1)), "'it''s'");
    }

    #[test]
    fn duplicates_are_found_with_both_places() {
        let positions = Positions::read("a: 1\n---\nb: { c: 1, c: 2 }\n");
        assert_eq!(positions.duplicates(0).count(), 0);
        let duplicate = positions.duplicates(1).next().unwrap();
        assert_eq!((duplicate.key.as_str(), duplicate.first.start, duplicate.second.start), ("c", 14, 20));
    }
}
