//! Keys: twice, of other types, tagged, anchored.

use super::{NONE, USER, job, lines, node};

fn spec(fields: &str) -> Vec<String> {
    lines(USER.replace("role: admin", fields))
}

#[test]
fn a_key_occurs_once_however_it_is_written() {
    for (fields, place) in [
        ("role: user\n  role: admin", "6:3"),
        ("\"role\": user\n  role: admin", "6:3"),
        ("'role': user\n  \"r\\x6fle\": admin", "6:3"),
        ("role: user\n  ? role\n  : admin", "6:5"),
        ("team: x\n  role: user\n  role: admin", "7:3"),
    ] {
        assert_eq!(spec(fields), [format!("syntax {place} the key `role` occurs twice")], "{fields}");
    }
    assert_eq!(lines("a: 1\nb: { c: 1, c: 2 }\n"), ["syntax 2:12 the key `c` occurs twice"]);
    assert_eq!(
        lines(node("limits: { pids: 1, cpus: 1, \"pids\": 2 }")),
        ["syntax 12:31 the key `pids` occurs twice"]
    );
    assert_eq!(spec("yes: a\n  \"yes\": b"), ["syntax 6:3 the key `yes` occurs twice"]);
    // The parser of values sees that these are the same, and says where the mapping is.
    for fields in ["~: a\n  null: b", "1: a\n  0x1: b", "true: 1\n  TRUE: 2", "[a]: 1\n  [a]: 2"] {
        assert_eq!(spec(fields), ["syntax 5:3 a key occurs twice in this mapping"], "{fields}");
    }
}

#[test]
fn a_key_is_a_string() {
    assert_eq!(spec("1: x"), ["syntax 5:3 the key `1` is not a string"]);
    assert_eq!(spec("true: x"), ["syntax 5:3 the key `true` is not a string"]);
    assert_eq!(spec("~: x"), ["syntax 5:3 this key is empty"]);
    assert_eq!(spec("? [a]\n  : x"), ["syntax 5:5 a key must be a string, not a list or a mapping"]);
    assert_eq!(spec("? {a: b}\n  : x"), ["syntax 5:5 a key must be a string, not a list or a mapping"]);
    assert_eq!(
        lines(node("").replace("{ name: n }", "{ name: n, labels: {0x1F: a, 1.0: b, \"2\": c} }")),
        ["syntax 9:31 the key `0x1F` is not a string", "syntax 9:40 the key `1.0` is not a string"]
    );
    assert_eq!(
        lines(job("config: { a: [{ 1: x }], ~: y }")),
        ["syntax 21:19 the key `1` is not a string", "syntax 21:28 this key is empty"]
    );
    // In YAML 1.2 these are words like others, and in quotes anything is a string.
    assert_eq!(
        lines(node("").replace("{ name: n }", "{ name: n, labels: {yes: no, on: off, \"1\": y} }")),
        NONE
    );
    assert_eq!(spec("? role\n  : admin"), NONE);
    assert_eq!(spec("&a role: admin"), NONE);
}

#[test]
fn an_alias_as_a_key_is_what_it_stands_for() {
    assert_eq!(spec("team: &r role\n  *r : admin"), NONE);
    assert_eq!(spec("team: &r role\n  *r : root"), ["invalid-value 6:8 unknown value `root`"]);
    assert_eq!(spec("team: &r role\n  role: user\n  *r : admin"), ["syntax 7:3 the key `role` occurs twice"]);
}

#[test]
fn merge_keys_are_refused() {
    assert_eq!(spec("<<: { role: admin }"), ["unknown-field 5:3 unknown field `<<`"]);
    assert_eq!(
        lines("apiVersion: almanac/v1\nkind: User\nmetadata: &m { name: alice }\nspec: { <<: *m }\n"),
        ["unknown-field 4:9 unknown field `<<`"]
    );
}

#[test]
fn tags_that_mean_nothing_are_refused() {
    let found = |tag: &str, place: &str| vec![format!("syntax {place} the tag `{tag}` means nothing here")];
    assert_eq!(spec("role: !admin admin"), found("!admin", "5:16"));
    assert_eq!(spec("!custom role: admin"), found("!custom", "5:11"));
    assert_eq!(spec("team: !!binary surrey"), found("!!binary", "5:18"));
    assert_eq!(lines(format!("!custom\n{USER}")), found("!custom", "2:1"));
    assert_eq!(lines(node("limits: { pids: !custom 5 }")), found("!custom", "12:27"));
    assert_eq!(lines(job("config: { a: !custom { b: c } }")), found("!custom", "21:24"));
    assert_eq!(spec("team: !!str surrey\n  role: admin"), NONE);
    assert_eq!(lines(node("limits: { pids: !!int \"5\" }")), NONE);
}
