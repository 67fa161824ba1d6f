//! The findings do not depend on the order of the files.

use std::sync::Arc;

use almanac_validate::{Entry, Source, check, render::json};

const FILES: [(&str, &str); 3] = [
    ("b.yaml", "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n"),
    ("a.yaml", "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: { teem: x }\n"),
    (
        "c.yaml",
        "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: alice }\nspec: { owner: bob }\n---\n\
         apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alicia }\n",
    ),
];

#[test]
fn findings_are_the_same_in_every_order() {
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let mut sources: Vec<_> =
        FILES.iter().map(|(path, text)| Arc::new(Source::read(path, Entry::File(text.as_bytes())))).collect();
    let expected = json::json(&check(&sources, now), 3);
    assert_eq!(expected.matches("duplicate-name").count(), 2, "{expected}");
    for _ in 0..3 {
        sources.rotate_left(1);
        assert_eq!(json::json(&check(&sources, now), 3), expected);
        sources.swap(0, 1);
        assert_eq!(json::json(&check(&sources, now), 3), expected);
    }
}
