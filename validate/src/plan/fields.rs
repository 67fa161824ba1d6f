//! The difference of two manifests, field by field.

use std::fmt;

use almanac_schemas::manifest::PathStep;
use serde_json::Value;

/// A field that is another, or was not there, or is not there any more.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The way to it from the manifest's root. The position of an item that is gone is the one it had.
    pub path: Vec<PathStep>,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// The longest lists that are compared item by item: more would take quadratic time.
const MAX_ITEMS: usize = 500;

impl FieldChange {
    /// The differences of two values.
    pub fn between(before: &Value, after: &Value) -> Vec<Self> {
        let mut changes = Vec::new();
        compare(&mut Vec::new(), before, after, &mut changes);
        changes
    }

    /// The way to it, such as `spec.nodes[1]`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.path {
            match step {
                PathStep::Index(index) => name += &format!("[{index}]"),
                PathStep::Key(key) if plain(key) => {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name += key;
                }
                PathStep::Key(key) => name += &format!("[{}]", Value::from(key.as_str())),
            }
        }
        name
    }
}

/// One line without a bound on its length, such as `spec.length: "2m" -> "3m"`.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        write!(f, "{}: {} -> {}", self.name(), text(&self.before), text(&self.after))
    }
}

fn plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

fn compare(path: &mut Vec<PathStep>, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                entry(path, PathStep::Key(key.clone()), before.get(key), after.get(key), changes);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len().max(after.len()) <= MAX_ITEMS => {
            items(path, before, after, changes);
        }
        (before, after) => changes.push(FieldChange {
            path: path.clone(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

fn entry(
    path: &mut Vec<PathStep>,
    step: PathStep,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    path.push(step);
    match (before, after) {
        (Some(before), Some(after)) => compare(path, before, after, changes),
        (before, after) => {
            changes.push(FieldChange { path: path.clone(), before: before.cloned(), after: after.cloned() });
        }
    }
    path.pop();
}

/// Lists are compared along their longest common subsequence, so that an item in the middle that goes
/// does not change all that follow. What is between common items is compared in pairs.
fn items(path: &mut Vec<PathStep>, before: &[Value], after: &[Value], changes: &mut Vec<FieldChange>) {
    let mut common = common(before, after);
    common.push((before.len(), after.len()));
    let (mut i, mut j) = (0, 0);
    for (next_i, next_j) in common {
        while i < next_i || j < next_j {
            let (old, new) = (before.get(i).filter(|_| i < next_i), after.get(j).filter(|_| j < next_j));
            let index = if new.is_some() { j } else { i };
            entry(path, PathStep::Index(index), old, new, changes);
            i += usize::from(old.is_some());
            j += usize::from(new.is_some());
        }
        (i, j) = (next_i + 1, next_j + 1);
    }
}

/// The positions of a longest common subsequence.
fn common(before: &[Value], after: &[Value]) -> Vec<(usize, usize)> {
    // The length of the longest one from two positions on.
    let mut longest = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            longest[i][j] = if before[i] == after[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < before.len() && j < after.len() {
        if before[i] == after[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn changes(before: &Value, after: &Value) -> Vec<String> {
        FieldChange::between(before, after).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_are_compared_at_every_depth() {
        let before = json!({ "spec": { "schedule": { "cron": "*/15 * * * *", "length": "2m" }, "a": 1 } });
        let after = json!({ "spec": { "schedule": { "cron": "*/30 * * * *", "length": "2m" }, "b.c": [] } });
        assert_eq!(
            changes(&before, &after),
            [
                "spec.a: 1 -> absent",
                "spec[\"b.c\"]: absent -> []",
                "spec.schedule.cron: \"*/15 * * * *\" -> \"*/30 * * * *\"",
            ]
        );
        assert_eq!(changes(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn lists_are_compared_item_by_item() {
        assert_eq!(changes(&json!(["a", "b", "c"]), &json!(["a", "c"])), ["[1]: \"b\" -> absent"]);
        assert_eq!(changes(&json!(["a", "c"]), &json!(["a", "b", "c"])), ["[1]: absent -> \"b\""]);
        assert_eq!(
            changes(&json!(["a", "b"]), &json!(["a", "x", "y"])),
            ["[1]: \"b\" -> \"x\"", "[2]: absent -> \"y\""]
        );
        assert_eq!(changes(&json!([{ "p": 1, "q": 2 }]), &json!([{ "p": 1, "q": 3 }])), ["[0].q: 2 -> 3"]);
    }

    proptest! {
        /// As many items change as the two lists differ by, and none when they do not.
        #[test]
        fn a_list_that_grows_by_some_items_has_as_many_additions(
            list in proptest::collection::vec(0_u8..4, 0..12),
            more in proptest::collection::vec((0_usize..12, 4_u8..9), 0..5),
        ) {
            let mut longer = list.clone();
            for (at, item) in &more {
                longer.insert((*at).min(longer.len()), *item);
            }
            let found = FieldChange::between(&json!(list), &json!(longer));
            prop_assert_eq!(found.len(), more.len());
            prop_assert!(found.iter().all(|change| change.before.is_none()));
            let back = FieldChange::between(&json!(longer), &json!(list));
            prop_assert!(back.len() == more.len() && back.iter().all(|change| change.after.is_none()));
        }
    }
}
