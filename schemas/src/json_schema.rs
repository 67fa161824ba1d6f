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
    let branch = |kind: Kind| {
        serde_json::json!({
            "if": { "properties": { "kind": { "const": kind.as_str() } }, "required": ["kind"] },
            "then": { "$ref": format!("{}.json", file_stem(kind)) },
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
