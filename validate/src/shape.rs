//! What the JSON Schemas say about a place in a manifest.

use std::sync::LazyLock;

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

    fn fields(kind: Kind, path: &str) -> Vec<String> {
        let steps: Vec<_> = path.split_terminator('.').map(|key| PathStep::Key(key.to_owned())).collect();
        required(kind, &steps)
    }

    #[test]
    fn required_fields_are_known_at_every_depth() {
        assert_eq!(fields(Kind::Job, ""), ["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!(fields(Kind::Job, "spec"), ["owner", "schedule", "container"]);
        assert_eq!(fields(Kind::Job, "spec.server"), ["node", "container"]);
        assert_eq!(fields(Kind::Job, "spec.config"), Vec::<String>::new());
        assert_eq!(fields(Kind::Node, "spec.coordinates"), ["latitude", "longitude"]);
    }
}
