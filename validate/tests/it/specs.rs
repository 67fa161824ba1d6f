//! One file of `specs/` per rule: inputs, and exactly what is printed about them.
//!
//! A spec is Markdown. Each `##` section is a case: fenced blocks of `yaml` with a file name are the
//! files, all of them together with those of the section before the first `##`; the block of `text` is
//! what must come out, without the line of counts. With `UPDATE_SPECS=1`, what comes
//! out is written into the files, for a person to look at.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use almanac_validate::{Entry, Source, check, render::human};

fn paths() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/specs");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The spec with every `text` block replaced by what is printed.
fn rewritten(spec: &str) -> String {
    let mut output = String::new();
    let mut shared: BTreeMap<String, String> = BTreeMap::new();
    let mut own = BTreeMap::new();
    let mut in_case = false;
    let mut lines = spec.lines();
    while let Some(line) = lines.next() {
        output += line;
        output.push('\n');
        if line.starts_with("## ") {
            in_case = true;
            own = shared.clone();
        }
        let Some(fence) = line.strip_prefix("```").filter(|fence| !fence.is_empty()) else { continue };
        let block: String =
            lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        match fence.split_once(' ') {
            Some(("yaml", file)) => {
                let files = if in_case { &mut own } else { &mut shared };
                files.insert(file.to_owned(), block.clone());
                output += &block;
            }
            _ if fence == "text" => output += &printed(&own),
            _ => panic!("a block of `{fence}` means nothing here"),
        }
        output += "```\n";
    }
    output
}

fn printed(files: &BTreeMap<String, String>) -> String {
    let source =
        |(path, text): (&String, &String)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
    let sources: Vec<_> = files.iter().map(source).collect();
    let report = check(&sources, "2026-11-24T00:00:00Z".parse().unwrap());
    let text = human::human(&report, &sources, "".as_ref(), human::Style::Plain);
    let (findings, _) = text.trim_end().rsplit_once('\n').unwrap_or(("nothing", ""));
    format!("{}\n", findings.trim_end())
}

#[test]
fn every_spec_holds() {
    for path in paths() {
        let spec = fs::read_to_string(&path).unwrap();
        let rewritten = rewritten(&spec);
        if std::env::var_os("UPDATE_SPECS").is_some() {
            fs::write(&path, rewritten).unwrap();
            continue;
        }
        for (expected, found) in spec.lines().zip(rewritten.lines()) {
            assert_eq!(expected, found, "{}:\n{rewritten}", path.display());
        }
        assert_eq!(spec, rewritten, "{}", path.display());
    }
}

#[test]
fn every_rule_of_manifests_has_a_spec() {
    // Those are about files that Markdown cannot hold, or about a change; they have tests of their own.
    const ELSEWHERE: [&str; 6] =
        ["file-too-large", "symbolic-link", "submodule", "file-encoding", "file-name", "ownership"];
    let specs: Vec<_> =
        paths().into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    for rule in almanac_validate::Rule::ALL.iter().map(|rule| rule.as_str()) {
        let shown = specs.iter().any(|(path, spec)| {
            path.file_stem().is_some_and(|stem| stem == rule) && spec.contains(&format!("[{rule}]"))
        });
        assert!(shown || ELSEWHERE.contains(&rule), "there is no specs/{rule}.md that shows it");
    }
}
