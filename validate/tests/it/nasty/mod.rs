//! Input that is broken or hostile: it gets a finding with a place, and takes no time.

use std::sync::Arc;

use almanac_validate::{Entry, Finding, Source, check};

fn findings(bytes: &[u8]) -> Vec<Finding> {
    let source = Arc::new(Source::read("a.yaml", Entry::File(bytes)));
    check(&[source], "2026-11-24T00:00:00Z".parse().unwrap()).findings
}

/// The findings as "rule line:column message".
fn lines(bytes: &[u8]) -> Vec<String> {
    let line = |finding: Finding| {
        let location = finding.location.unwrap();
        format!("{} {}:{} {}", finding.rule, location.line, location.column, finding.message)
    };
    findings(bytes).into_iter().map(line).collect()
}

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec:\n  role: admin\n";

#[test]
fn marks_and_line_ends_of_windows_are_fine() {
    assert_eq!(lines(format!("\u{feff}{USER}").as_bytes()), [""; 0]);
    assert_eq!(lines(USER.replace('\n', "\r\n").as_bytes()), [""; 0]);
    let wrong = format!("\u{feff}{}", USER.replace("admin", "root").replace('\n', "\r\n"));
    assert_eq!(lines(wrong.as_bytes()), ["invalid-value 5:9 unknown value `root`"]);
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    assert_eq!(lines(b"a: \xc3\xa9\nb: \xff\n"), ["file-encoding 2:4 the byte 0xFF is not UTF-8"]);
    assert_eq!(lines(b"\xff\xfea\0"), ["file-encoding 1:1 the byte 0xFF is not UTF-8"]);
    assert_eq!(lines(b"a: 1\nb: x\0y\n"), ["file-encoding 2:5 the file contains a NUL character"]);
    assert_eq!(lines(b"a: \x07\n"), ["file-encoding 1:4 the control character U+0007 is not allowed"]);
    assert_eq!(
        lines("a: 1\n---\n\u{feff}b: 1\n".as_bytes()),
        ["file-encoding 3:1 a byte-order mark is allowed at the start of a file only"]
    );
    assert_eq!(
        lines("a: x\u{2028}b: 1\n".as_bytes()),
        ["file-encoding 1:5 the line separator U+2028 is not allowed"]
    );
}

#[test]
fn tabs_and_duplicate_keys_are_syntax_errors() {
    assert_eq!(lines(b"a:\n\tb: 1\n"), ["syntax 2:1 this character cannot start a value"]);
    let tab = findings(b"a:\n\tb: 1\n").remove(0);
    assert_eq!(tab.help.unwrap(), "YAML is indented with spaces: replace the tab");
    assert_eq!(lines(b"a: 1\nb: { c: 1, c: 2 }\n"), ["syntax 2:12 the key `c` occurs twice"]);
    assert_eq!(lines(b"a: *b\n"), ["syntax 1:4 the alias refers to an anchor that does not exist"]);
    assert_eq!(lines(b"a: 99999999999999999999999999999999999\n"), ["syntax 1:4 the number is too large"]);
}

#[test]
fn a_large_file_is_refused_unread() {
    let large = vec![b'#'; 2 << 20];
    let found = findings(&large).remove(0);
    assert_eq!(found.message, "the file has 2097152 bytes, at most 1048576 are allowed");
}

/// None of these may overflow the stack, fill the memory, or take quadratic time.
#[test]
fn bombs_are_refused_at_once() {
    let deep = "syntax 1:129 the file nests more than 128 levels deep";
    let aliases = "syntax 1:1 the aliases of the file expand to more than is allowed";
    let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        laughs += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","));
    }
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(100_000), "*a,".repeat(100_000));
    assert_eq!(lines("[".repeat(10_000).as_bytes()), [deep]);
    assert_eq!(lines("[".repeat(1_000_000).as_bytes()), [deep]);
    assert_eq!(lines(("[".repeat(10_000) + &"]".repeat(10_000)).as_bytes()), [deep]);
    assert_eq!(
        lines("- ".repeat(10_000).as_bytes()),
        ["syntax 1:257 the file nests more than 128 levels deep"]
    );
    assert_eq!(lines(laughs.as_bytes()), [aliases]);
    assert_eq!(lines(wide.as_bytes()), [aliases]);
    assert_eq!(lines(b"a: &a [*a]"), ["syntax 1:4 the file nests more than 128 levels deep"]);
}

/// A file with many brackets is looked at by another parser first, which must say as much.
#[test]
fn a_broken_file_with_many_brackets_has_a_place() {
    let text = format!("a: [{}]\nb: c: d\n", "[],".repeat(200));
    assert_eq!(lines(text.as_bytes()), ["syntax 2:5 a `:` cannot start a value here"]);
}

#[test]
fn what_a_manifest_says_cannot_steer_a_terminal() {
    let found = findings(USER.replace("admin", "\"\\e[31m\\nx\"").as_bytes()).remove(0);
    assert_eq!(found.message, "unknown value `\\u{1b}[31m\\nx`");
}

/// The words and numbers that versions of YAML disagree on: all of these are strings here, and a
/// string is not silently taken for something else.
#[test]
fn ambiguous_scalars_mean_one_thing() {
    let job = |field: &str| {
        format!(
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j }}\nspec:\n  exclusive: {field}\n  owner: a\n"
        )
    };
    for word in ["yes", "no", "on", "off", "y"] {
        let found = lines(job(word).as_bytes());
        let expected = format!("invalid-value 5:14 expected `true` or `false`, found the string `{word}`");
        assert!(found.contains(&expected), "{found:?}");
    }
    let node = |pids: &str| {
        format!(
            "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: n }}\nspec: {{ owner: a, limits: {{ pids: {pids} }} }}\n"
        )
    };
    let number = "invalid-value 4:35 expected a whole number from 0 to 4294967295, found";
    assert_eq!(lines(node("014").as_bytes()), [format!("{number} the string `014`")]);
    assert_eq!(lines(node("1_000").as_bytes()), [format!("{number} the string `1_000`")]);
    assert_eq!(lines(node("12:30").as_bytes()), [format!("{number} the string `12:30`")]);
    assert_eq!(lines(node("-1").as_bytes()), [format!("{number} the number `-1`")]);
    let date = job("true") + "  schedule: { at: 2027-01-10, length: 1m }\n  container: { image: x }\n";
    assert_eq!(lines(date.as_bytes()), ["invalid-value 7:19 `2027-01-10` is not an instant"]);
}
