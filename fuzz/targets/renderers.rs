//! Whatever is found, each form of it is well-formed.
#![no_main]

use std::{path::Path, sync::Arc};

use almanac_fuzz::now;
use almanac_validate::{
    Entry, Source, check,
    render::{github, human, json, junit, markdown, sarif},
};
use libfuzzer_sys::fuzz_target;
use quick_xml::{Reader, events::Event};

/// The first line is the name of a file, the rest its content.
fn source(input: &[u8]) -> Arc<Source> {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (name, content) = input.split_at(end);
    let path = format!("{}.yaml", String::from_utf8_lossy(name));
    Arc::new(Source::read(&path, Entry::File(content)))
}

/// The characters that XML 1.0 has (section 2.2).
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fuzz_target!(|input: &[u8]| {
    let sources = [source(input)];
    let report = check(&sources, now());
    let root = Path::new("test bed");

    for text in [json::json(&report, 1), sarif::sarif(&report, &sources, root)] {
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }

    let text = junit::junit(&report, &sources, root);
    assert!(text.chars().all(is_xml), "{text:?}");
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = true;
    loop {
        match reader.read_event().expect("XML") {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    let value = attribute.expect("an attribute").unescape_value().expect("a value");
                    assert!(value.chars().all(is_xml), "{value:?}");
                }
            }
            _ => {}
        }
    }

    let text = github::github(&report, 1, root);
    let commands = text.lines().filter(|line| line.starts_with("::")).count();
    assert!(!text.contains('\r') && commands <= report.findings.len() + 1, "{text:?}");
    for line in text.lines().filter(|line| line.contains("::")) {
        let starts = ["::error", "::warning", "::notice"].iter().any(|start| line.starts_with(start));
        assert!(starts || !line.trim_start().starts_with("::"), "{line:?}");
    }

    let text = human::human(&report, &sources, root, human::Style::Plain);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    human::human(&report, &sources, root, human::Style::Coloured);
    assert!(markdown::markdown(&report, &sources, root).len() <= 65_536);
});
