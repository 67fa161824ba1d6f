//! Documents are read field by field, and what is wrong has a place.

use almanac_schemas::{
    Manifest, PublicKey, UserRole,
    manifest::{ManifestError, PathStep},
};

/// One document of each kind, with every field that there is.
const COMPLETE: &str = include_str!("complete.yaml");

fn documents(text: &str) -> Vec<Result<Manifest, ManifestError>> {
    use serde::Deserialize;
    serde_yaml::Deserializer::from_str(text)
        .map(|document| serde_yaml::Value::deserialize(document).unwrap())
        .map(Manifest::from_value)
        .collect()
}

fn error(text: &str) -> (String, String) {
    let error = documents(text).remove(0).unwrap_err();
    let path: Vec<_> = error
        .path
        .iter()
        .map(|step| match step {
            PathStep::Key(key) => key.clone(),
            PathStep::Index(index) => index.to_string(),
        })
        .collect();
    (path.join("."), error.message)
}

#[test]
fn every_field_is_read_and_written_back() {
    let manifests: Vec<Manifest> = documents(COMPLETE).into_iter().map(Result::unwrap).collect();
    let kinds: Vec<_> = manifests.iter().map(|manifest| manifest.kind().as_str()).collect();
    assert_eq!(kinds, ["User", "Node", "Job", "Config"]);
    for manifest in manifests {
        let text = match &manifest {
            Manifest::User(user) => serde_yaml::to_string(user),
            Manifest::Node(node) => serde_yaml::to_string(node),
            Manifest::Job(job) => serde_yaml::to_string(job),
            Manifest::Config(config) => serde_yaml::to_string(config),
        };
        assert_eq!(documents(&text.unwrap()).remove(0).unwrap(), manifest);
    }
}

#[test]
fn a_field_that_is_left_out_has_its_default() {
    let text = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: bob }\nspec: {}\n";
    let Manifest::User(user) = documents(text).remove(0).unwrap() else { panic!("not a user") };
    assert_eq!(user.spec.role, UserRole::User);
    assert_eq!(user.spec.keys, Vec::<PublicKey>::new());
}

#[test]
fn what_is_wrong_has_a_place() {
    let user = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: bob }\nspec: ";
    let (path, message) = error(&format!("{user}{{ rôle: admin }}"));
    assert_eq!(path, "spec.rôle");
    assert!(message.contains("unknown field `rôle`, expected one of `displayName`"), "{message}");
    let (path, message) = error(&format!("{user}{{ keys: [abc] }}"));
    assert_eq!(path, "spec.keys.0");
    assert!(message.contains("not a public key"), "{message}");
    assert_eq!(error("kind: Thing").0, "kind");
    assert_eq!(error("- 1").0, "");
    assert!(error("apiVersion: almanac/v2\nkind: User\nmetadata: { name: bob }\nspec: {}").0 == "apiVersion");
}
