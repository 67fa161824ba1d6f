//! Bytes, characters and line ends.

use std::{path::Path, sync::Arc};

use almanac_validate::{
    Entry, Source, check,
    render::human::{Style, human},
};
use chrono::Utc;

use super::{NONE, USER, findings, help, lines};

#[test]
fn marks_and_line_ends_of_windows_are_fine() {
    assert_eq!(lines(format!("\u{feff}{USER}")), NONE);
    assert_eq!(lines("\u{feff}"), NONE);
    assert_eq!(lines(USER.replace('\n', "\r\n")), NONE);
    let wrong = format!("\u{feff}{}", USER.replace("admin", "root").replace('\n', "\r\n"));
    assert_eq!(lines(wrong), ["invalid-value 5:9 unknown value `root`"]);
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    assert_eq!(lines(b"a: \xc3\xa9\nb: \xff\n"), ["file-encoding 2:4 the byte 0xFF is not UTF-8"]);
    assert_eq!(lines(b"a: 1\nb: x\0y\n"), ["file-encoding 2:5 the file contains a NUL character"]);
    assert_eq!(help(b"a: 1\nb: x\0y\n"), "manifests are text: remove it");
    assert_eq!(lines(b"a: \x07\n"), ["file-encoding 1:4 the control character U+0007 is not allowed"]);
    assert_eq!(lines("a: x\u{2028}b: 1\n"), ["file-encoding 1:5 the line separator U+2028 is not allowed"]);
    for twice in ["a: 1\n---\n\u{feff}b: 1\n", "a: 1\n\n\u{feff}", "a: x\n\n\u{feff}y\n"] {
        let [found] = lines(twice).try_into().unwrap();
        assert_eq!(found, "file-encoding 3:1 a byte-order mark is allowed at the start of a file only");
    }
}

#[test]
fn what_steers_a_terminal_is_not_shown_as_it_is() {
    // The second is the single character that begins a sequence of ANSI on some terminals (ECMA-48, CSI).
    for text in [&b"a: \x96 \x1b[31m"[..], b"a: \x96 \xc2\x9b31m", b"a: \xc2\x9b31m"] {
        let sources = [Arc::new(Source::read("a.yaml", Entry::File(text)))];
        let report = check(&sources, Utc::now());
        let shown = human(&report, &sources, Path::new(""), Style::Plain);
        assert!(shown.contains("31m"), "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[test]
fn other_encodings_are_recognised() {
    let sixteen = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{USER}").encode_utf16().flat_map(order).collect()
    };
    let thirty_two = |order: fn(u32) -> [u8; 4], mark: &str| -> Vec<u8> {
        format!("{mark}{USER}").chars().flat_map(|c| order(u32::from(c))).collect()
    };
    for mark in ["", "\u{feff}"] {
        for (name, bytes) in [
            ("UTF-16", sixteen(u16::to_le_bytes, mark)),
            ("UTF-16", sixteen(u16::to_be_bytes, mark)),
            ("UTF-32", thirty_two(u32::to_le_bytes, mark)),
            ("UTF-32", thirty_two(u32::to_be_bytes, mark)),
        ] {
            let [found] = findings(&bytes).try_into().unwrap();
            assert_eq!(found.rule.as_str(), "file-encoding");
            assert_eq!(found.help.unwrap(), format!("the file is {name}: save it as UTF-8"));
        }
    }
}

/// In a terminal, what follows a carriage return covers what was there: a reviewer would not see it.
#[test]
fn a_carriage_return_alone_is_refused() {
    let found =
        |line| vec![format!("file-encoding {line} a carriage return is allowed before a line feed only")];
    assert_eq!(lines(USER.replace('\n', "\r")), found("1:23"));
    assert_eq!(lines(format!("{USER}# nothing\rspec: 1\n")), found("6:10"));
    assert_eq!(lines(format!("{USER}  team: \"a\rb\"\n")), found("6:11"));
    assert_eq!(lines(format!("{USER}\r")), found("6:1"));
}

#[test]
fn tabs_separate_and_do_not_indent() {
    assert_eq!(lines(USER.replace("role: ", "role:\t")), NONE);
    assert_eq!(lines(USER.replace("admin", "admin\t")), NONE);
    assert_eq!(lines(format!("{USER}  displayName: \"a\tb\"\n")), NONE);
    for (text, place) in [("a:\n\tb: 1\n", "2:1"), ("a:\n  \tb: 1\n", "2:3"), ("a:\n  -\tb\n", "2:4")] {
        assert_eq!(lines(text), [format!("syntax {place} this character cannot start a value")], "{text:?}");
        assert_eq!(help(text), "YAML is indented with spaces: replace the tab");
    }
}

#[test]
fn what_a_manifest_says_cannot_steer_a_terminal() {
    let found = lines(USER.replace("admin", "\"\\e[31m\\nx\""));
    assert_eq!(found, ["invalid-value 5:9 unknown value `\\u{1b}[31m\\nx`"]);
    let found = lines(USER.replace("alice", "\"\\u202eecila\""));
    assert_eq!(
        found,
        [
            "invalid-value 3:19 `\\u{202e}ecila` is not a name: `\\u{202e}` (U+202E) is not one of a-z, 0-9 and `-`"
        ]
    );
}
