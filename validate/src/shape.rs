//! What the JSON Schemas say about a place in a manifest.

use std::{collections::BTreeSet, sync::LazyLock};

use almanac_schemas::{Kind, json_schema, manifest::PathStep};
use serde_json::Value;

/// The fields that the mapping at a place must have.
pub(crate) fn required(kind: Kind, path: &[PathStep]) -> Vec<String> {
    /// To make one takes longer than to read a document, and a file may have thousands that lack a field.
    static SCHEMAS: LazyLock<[Value; 4]> =
        LazyLock::new(|| Kind::ALL.map(|kind| json_schema::of(kind).to_value()));
    let root = &SCHEMAS[kind as usize];
    let place = path.iter().try_fold(root, |schema, step| {
        let schema = resolve(root, schema);
        match step {
            PathStep::Key(key) => schema.get("properties")?.get(key),
            PathStep::Index(_) => schema.get("items"),
        }
    });
    let required = place.map(|schema| resolve(root, schema)).and_then(|schema| schema.get("required"));
    let names = required.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Which of the fields of a mapping has a field of its own by this name: it was written one level too high.
/// The mapping is known by its fields, and only manifests and their `spec`s are looked at.
pub(crate) fn belongs_below(field: &str, siblings: &[String]) -> Option<String> {
    let schemas = Kind::ALL.map(json_schema::of);
    let mut parents: BTreeSet<String> = BTreeSet::new();
    for schema in &schemas {
        let root = schema.as_value();
        let spec = fields(root, root).find(|(name, _)| *name == "spec").map(|(_, spec)| spec);
        for place in [Some(root), spec].into_iter().flatten() {
            let here = || fields(root, place);
            let same = here().count() == siblings.len()
                && here().all(|(name, _)| siblings.iter().any(|it| it == name));
            let has = |(_, child): &(&String, &Value)| fields(root, child).any(|(name, _)| name == field);
            parents.extend(here().filter(|_| same).filter(has).map(|(name, _)| name.clone()));
        }
    }
    // What is a field of several may belong to either.
    parents.pop_first().filter(|_| parents.is_empty())
}

/// The fields of a mapping with their schemas.
fn fields<'a>(root: &'a Value, schema: &'a Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
    resolve(root, schema).get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Follows references, and takes what is not null of an optional field.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let referred = schema.get("$ref").and_then(Value::as_str);
    if let Some(target) = referred.and_then(|pointer| root.pointer(pointer.trim_start_matches('#'))) {
        return resolve(root, target);
    }
    let branches = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
    match branches.into_iter().find(|branch| !is_null(branch)) {
        Some(branch) => resolve(root, branch),
        None => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required_at(kind: Kind, path: &str) -> Vec<String> {
        let steps: Vec<_> = path.split_terminator('.').map(|key| PathStep::Key(key.to_owned())).collect();
        required(kind, &steps)
    }

    #[test]
    fn required_fields_are_known_at_every_depth() {
        assert_eq!(required_at(Kind::Job, ""), ["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!(required_at(Kind::Job, "spec"), ["owner", "schedule", "container"]);
        assert_eq!(required_at(Kind::Job, "spec.server"), ["node", "container"]);
        assert_eq!(required_at(Kind::Job, "spec.config"), Vec::<String>::new());
        assert_eq!(required_at(Kind::Node, "spec.coordinates"), ["latitude", "longitude"]);
    }
    #[test]
    fn what_was_written_too_high_is_known() {
        let siblings = |kind: Kind, place: &str| -> Vec<String> {
            let schema = json_schema::of(kind);
            let root = schema.as_value();
            let spec = fields(root, root).find(|(name, _)| *name == place).map(|(_, spec)| spec);
            fields(root, spec.unwrap_or(root)).map(|(name, _)| name.clone()).collect()
        };
        let below = |field, kind, place| belongs_below(field, &siblings(kind, place));
        assert_eq!(below("nodes", Kind::Job, "").as_deref(), Some("spec"));
        assert_eq!(below("labels", Kind::Node, "").as_deref(), Some("metadata"));
        assert_eq!(below("cron", Kind::Job, "spec").as_deref(), Some("schedule"));
        assert_eq!(below("image", Kind::Job, "spec").as_deref(), Some("container"));
        assert_eq!(below("image", Kind::Node, "spec"), None);
        assert_eq!(below("nonsense", Kind::Job, ""), None);
    }
}
