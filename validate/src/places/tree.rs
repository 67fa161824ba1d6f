//! A file's text as a tree of nodes with their places. The tree is an arena: however deep a file
//! nests, nothing here recurses.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// The nodes of a file, as far as the file can be parsed.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// The root of each document; an empty document has an empty scalar.
    pub(super) documents: Vec<usize>,
    /// Keys that occur twice in a mapping.
    pub(super) duplicates: Vec<Duplicate>,
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
pub(super) struct Node {
    /// The bytes, without an anchor, a tag, and the header of a block scalar.
    pub(super) range: Range<usize>,
    pub(super) content: Content,
    /// Whether it is in a collection in flow style, where commas and brackets mean something.
    pub(super) in_flow: bool,
    /// Whether a tag says what it is.
    pub(super) tagged: bool,
    /// Whether an alias stands for it elsewhere.
    pub(super) aliased: bool,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    Mapping {
        /// The nodes of keys and values, by the keys' text.
        entries: HashMap<String, (usize, usize)>,
        style: StructureStyle,
    },
    Sequence {
        items: Vec<usize>,
        style: StructureStyle,
    },
    /// Stands for another node.
    Alias(usize),
    /// An alias of nothing.
    Dangling,
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) style: ScalarStyle,
    /// Its value, where that is not the text in the file without quotes.
    pub(super) value: Option<String>,
}

impl Tree {
    /// Reads a text. What comes after a syntax error is not in the tree.
    pub(super) fn read(text: &str) -> Self {
        let mut builder = Builder::default();
        let options = granit_parser::options! { emit_comments: false };
        for event in Parser::new_from_str_with_options(text, options) {
            let Ok((event, span)) = event else { break };
            let Some(range) = span.byte_range() else { break };
            builder.event(text, &event, range);
        }
        builder.tree
    }
}

impl Node {
    /// Whether it is a collection in block style.
    pub(super) fn is_block(&self) -> bool {
        matches!(
            self.content,
            Content::Mapping { style: StructureStyle::Block, .. }
                | Content::Sequence { style: StructureStyle::Block, .. }
        )
    }
}

impl Scalar {
    /// The bytes of one of its quotes.
    pub(super) fn quote(&self) -> usize {
        usize::from(matches!(self.style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted))
    }

    /// Whether it is introduced by `|` or `>`.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.style, ScalarStyle::Literal | ScalarStyle::Folded)
    }
}

/// The node of a key, and what it says; one that is a collection says nothing.
type Key = (usize, Option<String>);

#[derive(Default)]
struct Builder {
    tree: Tree,
    /// The collections that are open, with the key that waits for its value.
    open: Vec<(usize, Option<Key>)>,
    anchors: HashMap<usize, usize>,
    /// The end of the last thing that is more than white space: a block ends there.
    end: usize,
}

impl Builder {
    fn event(&mut self, text: &str, event: &Event<'_>, mut range: Range<usize>) {
        match event {
            Event::Scalar(value, style, ..) => {
                let mut scalar = Scalar { style: *style, value: None };
                if scalar.is_block() {
                    // The line ends after the last line belong to it, and would be shown as lines of their own.
                    range.end = range.start + text[range.clone()].trim_end_matches(['\n', '\r', ' ']).len();
                }
                let quote = scalar.quote();
                let source = text.get(range.start + quote..range.end.saturating_sub(quote));
                scalar.value = (source != Some(value.as_ref())).then(|| value.to_string());
                self.end = self.end.max(range.end);
                self.add(event, range, Content::Scalar(scalar), Some(value));
            }
            Event::Alias(id) => {
                let target = self.anchors.get(id).copied();
                if let Some(target) = target {
                    self.tree.nodes[target].aliased = true;
                }
                self.end = self.end.max(range.end);
                let text = target.and_then(|target| self.value(text, target));
                self.add(event, range, target.map_or(Content::Dangling, Content::Alias), text.as_deref());
            }
            Event::MappingStart(style, ..) => {
                let content = Content::Mapping { entries: HashMap::new(), style: *style };
                let node = self.add(event, range, content, None);
                self.open.push((node, None));
            }
            Event::SequenceStart(style, ..) => {
                let node =
                    self.add(event, range, Content::Sequence { items: Vec::new(), style: *style }, None);
                self.open.push((node, None));
            }
            Event::MappingEnd | Event::SequenceEnd => {
                // The end of a flow collection is a bracket, that of a block is empty.
                if !range.is_empty() {
                    self.end = self.end.max(range.end);
                }
                if let Some((node, _)) = self.open.pop() {
                    let range = &mut self.tree.nodes[node].range;
                    range.end = range.start.max(self.end);
                }
            }
            Event::DocumentStart(..) => self.anchors.clear(),
            _ => {}
        }
    }

    /// What a scalar says.
    fn value(&self, text: &str, node: usize) -> Option<String> {
        let Node { range, content: Content::Scalar(scalar), .. } = &self.tree.nodes[node] else {
            return None;
        };
        let quote = scalar.quote();
        let source = || text.get(range.start + quote..range.end.saturating_sub(quote)).map(str::to_owned);
        scalar.value.clone().or_else(source)
    }

    /// Adds a node and ties it to what it is in. `text` is the value of a scalar.
    fn add(&mut self, event: &Event<'_>, range: Range<usize>, content: Content, text: Option<&str>) -> usize {
        let tree = &mut self.tree;
        let node = tree.nodes.len();
        let in_flow = self.open.last().is_some_and(|(parent, _)| !tree.nodes[*parent].is_block());
        tree.nodes.push(Node { range, content, in_flow, tagged: event.tag().is_some(), aliased: false });
        if let Some(id) = event.anchor_id() {
            self.anchors.insert(id, node);
        }
        let Some((parent, key)) = self.open.last_mut() else {
            tree.documents.push(node);
            return node;
        };
        match (&mut tree.nodes[*parent].content, key.take()) {
            (Content::Sequence { items, .. }, _) => items.push(node),
            (Content::Mapping { .. }, None) => *key = Some((node, text.map(str::to_owned))),
            (Content::Mapping { entries, .. }, Some((key, Some(name)))) => match entries.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert((key, node))),
                Entry::Occupied(entry) => {
                    let (name, first) = (entry.key().clone(), entry.get().0);
                    let range = |node: usize| tree.nodes[node].range.clone();
                    let (first, second) = (range(first), range(key));
                    let document = tree.documents.len() - 1;
                    tree.duplicates.push(Duplicate { document, key: name, first, second });
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

    #[test]
    fn duplicates_are_found_with_both_places() {
        let tree = Tree::read("a: 1\n---\nb: { c: 1, c: 2 }\n");
        let [duplicate] = tree.duplicates.as_slice() else { panic!("{:?}", tree.duplicates) };
        assert_eq!(duplicate.document, 1);
        assert_eq!((duplicate.key.as_str(), duplicate.first.start, duplicate.second.start), ("c", 14, 20));
    }
}
