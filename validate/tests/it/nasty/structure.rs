//! Documents, nesting and aliases.

use super::{NONE, USER, findings, help, lines, node};

#[test]
fn files_without_a_manifest_are_fine() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "---\n---\n# a\n---\n", "%YAML 1.2\n---\n"]
    {
        assert_eq!(lines(text), NONE, "{text:?}");
    }
    assert_eq!(lines(format!("{USER}...\n")), NONE);
    assert_eq!(lines("...\n"), ["syntax 1:1 expected a value here"]);
}

#[test]
fn what_follows_a_document_is_not_passed_over() {
    let after = |text: &str| lines(format!("{USER}{text}"));
    assert_eq!(after("...\ngarbage\n"), ["syntax 7:1 expected `---` before another document"]);
    assert_eq!(after(&format!("...\n{USER}")), ["syntax 7:1 expected `---` before another document"]);
    assert_eq!(after("garbage\n"), ["syntax 7:1 expected `:` after this key"]);
    assert_eq!(after("}\n"), ["syntax 6:1 expected a key, or a smaller indentation"]);
    let mapping = "a manifest is a mapping with `apiVersion`, `kind`, `metadata` and `spec`";
    assert_eq!(after("--- garbage\n"), [format!("invalid-value 6:5 {mapping}")]);
    assert_eq!(after("---\n[]\n"), [format!("invalid-value 7:1 {mapping}")]);
    assert_eq!(after("---\n1\n"), [format!("invalid-value 7:1 {mapping}")]);
}

#[test]
fn another_version_of_yaml_is_refused() {
    let with = |directive: &str| format!("{directive}\n---\n{USER}");
    assert_eq!(lines(with("%YAML 1.2")), NONE);
    assert_eq!(lines(with("%YAML 1.1")), ["syntax 1:1 manifests are YAML 1.2, and not 1.1"]);
    assert_eq!(lines(with("%YAML 2.0")), ["syntax 1:1 this version of YAML is not known"]);
    assert_eq!(help(with("%YAML 2.0")), "remove this line: manifests are YAML 1.2");
    assert_eq!(lines(with("%FOO bar")), ["syntax 1:5 this directive is not known"]);
    assert_eq!(
        lines(format!("{USER}...\n{}", with("%YAML 1.1")))[0],
        "syntax 7:1 manifests are YAML 1.2, and not 1.1"
    );
    assert_eq!(lines(format!("%YAML 1.2\n{USER}")), ["syntax 2:1 expected `---` before another document"]);
}

/// None of these may overflow the stack, fill the memory, or take quadratic time.
#[test]
fn bombs_are_refused_at_once() {
    let too_deep = |text: &str, place: &str| {
        let found = lines(text);
        assert_eq!(found, [format!("syntax {place} the file nests more than 128 levels deep")]);
    };
    too_deep(&"[".repeat(10_000), "1:129");
    too_deep(&"[".repeat(1_000_000), "1:129");
    too_deep(&("[".repeat(10_000) + &"]".repeat(10_000)), "1:129");
    too_deep(&"{".repeat(10_000), "1:129");
    too_deep(&"{a: ".repeat(10_000), "1:513");
    too_deep(&"[{a: ".repeat(10_000), "1:321");
    too_deep(&format!("? {}", "[".repeat(10_000)), "1:131");
    too_deep(&"- ".repeat(10_000), "1:257");
    too_deep(&"? ".repeat(10_000), "1:257");
    too_deep(&"- ? ".repeat(10_000), "1:257");
    let mapping: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    too_deep(&mapping, "129:129");
    too_deep(&format!("{}a:\n{}- [{}", "- ".repeat(50), " ".repeat(102), "[".repeat(10_000)), "2:233");

    let aliases = "syntax 1:1 the aliases of the file expand to more than is allowed";
    let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    let mut merges = "a: &a { x: 1, y: 2 }\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        laughs += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","));
        let entries: Vec<_> = (0..9).map(|index| format!("k{index}: *{from}")).collect();
        merges += &format!("{to}: &{to} {{ <<: *{from}, {} }}\n", entries.join(", "));
    }
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(100_000), "*a,".repeat(100_000));
    for bomb in [laughs, merges, wide] {
        assert_eq!(lines(bomb), [aliases]);
    }
    // A job that no message would hold, and a file of many that share what they have in common.
    let large = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(6));
    assert_eq!(lines(large), [aliases]);
    let shares = format!("a: &a [{}]\nb: *a\nc: *a\n", "x,".repeat(1_000));
    assert!(lines(vec![shares; 30].join("---\n")).iter().all(|line| !line.contains("aliases")));
    assert_eq!(lines("a: &a [*a]"), ["syntax 1:4 the file nests more than 128 levels deep"]);
    assert_eq!(lines("a: *b\n"), ["syntax 1:4 the alias refers to an anchor that does not exist"]);
}

/// A file with many brackets is looked at by another parser first, which must say as much.
#[test]
fn a_broken_file_with_many_brackets_has_a_place() {
    let text = format!("a: [{}]\nb: c: d\n", "[],".repeat(200));
    assert_eq!(lines(text), ["syntax 2:5 a `:` cannot start a value here"]);
    let text = format!("a: [{}]\nb: - c\n", "[],".repeat(200));
    let [found] = lines(text).try_into().unwrap();
    assert!(found.starts_with("syntax 2:4 ") && !found.contains('"'), "{found}");
}

#[test]
fn anchors_are_fine_where_they_mean_one_thing() {
    let labels = node("").replace("{ name: n }", "&m { name: &n n, labels: { a: *n } }");
    assert_eq!(lines(labels), NONE);
    let wrong = findings(node("limits: { pids: &p x }\n  guard: *p").as_bytes());
    assert_eq!(wrong.len(), 2);
}
