//! The JSON Schemas (draft 2020-12) of the manifests, for editors and other tools.

use schemars::{Schema, generate::SchemaSettings};

use crate::{Config, Job, Kind, Node, User};

/// The JSON Schema of one kind of document.
pub fn of(kind: Kind) -> Schema {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match kind {
        Kind::User => generator.into_root_schema_for::<User>(),
        Kind::Node => generator.into_root_schema_for::<Node>(),
        Kind::Job => generator.into_root_schema_for::<Job>(),
        Kind::Config => generator.into_root_schema_for::<Config>(),
    };
    schema.insert("title".to_owned(), format!("Almanac {kind}").into());
    schema
}

/// The schema that accepts any document, by its `kind`. It is what an editor is pointed at.
pub fn any() -> Schema {
    by_kind(|kind| format!("{}.json", file_stem(kind)))
}

fn by_kind(reference: impl Fn(Kind) -> String) -> Schema {
    let branch = |kind: Kind| {
        serde_json::json!({
            "if": { "properties": { "kind": { "const": kind.as_str() } }, "required": ["kind"] },
            "then": { "$ref": reference(kind) },
        })
    };
    schemars::json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Almanac manifest",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": { "kind": { "enum": Kind::ALL.map(Kind::as_str) } },
        "allOf": Kind::ALL.map(branch),
    })
}

/// The schema that accepts any document, without references to other files.
pub fn bundled() -> Schema {
    let mut schema = by_kind(|kind| format!("#/$defs/{kind}"));
    let mut definitions = serde_json::Map::new();
    for kind in Kind::ALL {
        let mut definition = of(kind).to_value();
        // It is part of a document that says so, and its references lead from the root of that.
        definition.as_object_mut().map(|definition| definition.remove("$schema"));
        redirect(&mut definition, kind);
        definitions.insert(kind.as_str().to_owned(), definition);
    }
    schema.insert("$defs".to_owned(), definitions.into());
    schema
}

/// Lets the references of a kind's schema lead to where it is in the bundle.
fn redirect(value: &mut serde_json::Value, kind: Kind) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "$ref").and_then(|target| target.strip_prefix("#/")) {
                    Some(rest) => *value = format!("#/$defs/{kind}/{rest}").into(),
                    None => redirect(value, kind),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, kind)),
        _ => {}
    }
}

/// The checked-in files, by name, with their content.
pub fn files() -> Vec<(String, String)> {
    let text = |schema: Schema| format!("{:#}\n", schema.as_value());
    let mut files: Vec<_> =
        Kind::ALL.iter().map(|kind| (format!("{}.json", file_stem(*kind)), text(of(*kind)))).collect();
    files.push(("manifest.json".to_owned(), text(any())));
    files
}

fn file_stem(kind: Kind) -> String {
    kind.as_str().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference in a value.
    fn references(value: &serde_json::Value) -> Vec<&str> {
        match value {
            serde_json::Value::Object(fields) => fields
                .iter()
                .flat_map(|(key, value)| match value.as_str() {
                    Some(target) if key == "$ref" => vec![target],
                    _ => references(value),
                })
                .collect(),
            serde_json::Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_reference_of_the_bundle_leads_somewhere() {
        let bundle = bundled().to_value();
        let references = references(&bundle);
        assert!(references.len() > Kind::ALL.len());
        for reference in references {
            let target = bundle.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some_and(serde_json::Value::is_object), "{reference}");
        }
        assert_eq!(bundle.pointer("/$defs/Job/title").unwrap(), "Almanac Job");
    }
}
