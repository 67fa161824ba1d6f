//! The page of each rule, `docs/rules/RULE.md`: what it shows is what happens.

use std::{fs, path::PathBuf};

use almanac_validate::{Rule, Severity};

use super::book;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules")
}

#[test]
fn every_page_fails_and_passes_as_it_says() {
    // What is wrong with commits only the reconciler sees: its tests execute this page.
    for rule in Rule::ALL.iter().filter(|rule| **rule != Rule::CommitSignature) {
        let path = folder().join(format!("{rule}.md"));
        let cases = book::execute(&path);
        let [fails, passes] = cases.as_slice() else {
            panic!("{rule}: a page has an example that fails and one that passes")
        };
        assert_eq!((fails.title.as_str(), passes.title.as_str()), ("What fails", "What passes"), "{rule}");
        assert!(fails.printed.contains(&format!("[{rule}]")), "{rule}: {}", fails.printed);
        assert_eq!(passes.printed, "nothing\n", "{rule}");
    }
}

#[test]
fn every_page_has_the_same_parts_and_fits_a_terminal() {
    for rule in Rule::ALL {
        let page = rule.page();
        let severity = if rule.severity() == Severity::Error { "Error" } else { "Warning" };
        let mut paragraphs = page.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        assert_eq!(paragraphs.next(), Some(format!("# `{rule}`")), "{rule}");
        assert_eq!(paragraphs.next(), Some(format!("{severity}: {}.", rule.summary())), "{rule}");
        let headings: Vec<_> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, ["## What fails", "## What passes", "## How to fix it"], "{rule}");
        let mut in_block = false;
        for line in page.lines() {
            in_block ^= line.starts_with("```");
            assert!(in_block || line.chars().count() <= 80, "{rule}: this line is too long: {line}");
        }
    }
}

#[test]
fn there_is_no_page_without_a_rule() {
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".md");
        assert!(stem == "README" || stem.parse::<Rule>().is_ok(), "{name} is the page of no rule");
    }
}

/// The index is written anew with `UPDATE_SPECS=1`.
#[test]
fn the_index_lists_every_rule() {
    let mut index = "# Rules\n\nEverything that `almanac-validate check` looks at. In a terminal, \
                     `almanac-validate explain` lists the rules and\n`almanac-validate explain RULE` shows a page. \
                     An error keeps a commit from being applied; a warning does not.\n\n\
                     | rule | severity | what it demands |\n|---|---|---|\n"
        .to_owned();
    for rule in Rule::ALL {
        index += &format!("| [`{rule}`]({rule}.md) | {} | {} |\n", rule.severity().as_str(), rule.summary());
    }
    let path = folder().join("README.md");
    if std::env::var_os("UPDATE_SPECS").is_some() {
        fs::write(&path, &index).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == index, "docs/rules/README.md is out of date");
}
