//! What the parser of values must not be given: it takes quadratic time for brackets that nest deeply,
//! and bounds the number of aliases but not what they expand to.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser};

/// What would take a parser of values longer than any honest file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hazard {
    /// Collections within collections, too many levels of them; the byte where it becomes too much.
    Depth(usize),
    /// Aliases that expand to too many values.
    Expansion,
    /// The text cannot be parsed, so that there is no telling: where it breaks, and why.
    Unknown(usize, String),
}

/// The deepest nesting, which is also that of the parser of values.
const MAX_DEPTH: usize = 128;

/// The most that the values of a file may weigh once its aliases are expanded, in about the bytes of
/// memory that they take. A file of the largest size without aliases has half of it.
const MAX_WEIGHT: usize = 64 << 20;

/// The most that aliases may add to a document, weighed in the same way. So a specification, whose file has 1 MiB at
/// most, fits into a message of the protocol with its former version beside it, however it is escaped there.
const MAX_ADDED: usize = 512 << 10;

/// What a value weighs beside its text.
const VALUE_WEIGHT: usize = 64;

/// Finds what a parser of values should not be given.
pub(crate) fn hazard(text: &str) -> Option<Hazard> {
    let bytes = text.as_bytes();
    let brackets = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    let refers = |sign: u8| {
        let named =
            |pair: &[u8]| pair[0] == sign && (pair[1].is_ascii_alphanumeric() || b"_-".contains(&pair[1]));
        bytes.windows(2).any(named)
    };
    // A file with few brackets, and without an anchor that is referred to, is safe as it is.
    if brackets <= MAX_DEPTH && !(refers(b'&') && refers(b'*')) {
        return None;
    }
    let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, emit_comments: false };
    let mut weights: HashMap<usize, usize> = HashMap::new();
    // The anchor of each open collection, and the weight of everything before it.
    let mut open: Vec<(Option<usize>, usize)> = Vec::new();
    let (mut weight, mut added) = (0_usize, 0_usize);
    for event in Parser::new_from_str_with_options(text, options) {
        let event = match event {
            Ok((event, _)) => event,
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                return Some(match error.kind() {
                    ErrorKind::RecursionLimitExceeded => Hazard::Depth(at),
                    kind => Hazard::Unknown(at, kind.to_string()),
                });
            }
        };
        let anchor = event.anchor_id();
        match event {
            Event::Scalar(text, ..) => {
                let own = VALUE_WEIGHT + text.len();
                weight = weight.saturating_add(own);
                weights.extend(anchor.map(|id| (id, own)));
            }
            Event::DocumentStart(..) => added = 0,
            Event::Alias(id) => {
                let own = weights.get(&id).copied().unwrap_or(VALUE_WEIGHT);
                (weight, added) = (weight.saturating_add(own), added.saturating_add(own));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                open.push((anchor, weight));
                weight = weight.saturating_add(VALUE_WEIGHT);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((Some(id), before)) = open.pop() {
                    weights.insert(id, weight - before);
                }
            }
            _ => {}
        }
        if weight > MAX_WEIGHT || added > MAX_ADDED {
            return Some(Hazard::Expansion);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazards_are_found_and_honest_files_pass() {
        assert_eq!(hazard(&"[".repeat(1_000_000)), Some(Hazard::Depth(MAX_DEPTH)));
        assert_eq!(hazard(&format!("a: {}", "[]".repeat(MAX_DEPTH))), None);
        let strings = "- '['\n".repeat(10_000);
        assert_eq!(hazard(&strings), None);
        assert_eq!(hazard("a: &x [1]\nb: *x\nc: '*/5 * * * *'\n"), None);
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
            bomb += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","));
        }
        assert_eq!(hazard(&bomb), Some(Hazard::Expansion));
        let wide = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(10_000), "*a,".repeat(10_000));
        assert_eq!(hazard(&wide), Some(Hazard::Expansion));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(10_000));
        assert_eq!(hazard(&long), Some(Hazard::Expansion));
    }
}
