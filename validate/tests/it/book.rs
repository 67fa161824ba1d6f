//! Markdown that is executed: files in, rendered findings out.
//!
//! Each `##` section is a case: fenced blocks with a file name are the files, all of them together with
//! those of the section before the first `##`; the block of `text` is what must come out, without the
//! line of counts. With `UPDATE_SPECS=1`, what comes out is written into the Markdown, for a person to
//! look at.
//!
//! | fence | the file |
//! |---|---|
//! | `yaml PATH` | the text |
//! | `bytes PATH` | the text, in which `\xHH` is a byte; in the path too |
//! | `large PATH` | a file of so many bytes |
//! | `symlink PATH` | a symbolic link |
//! | `submodule PATH` | a submodule |
//! | `yaml main:PATH` | the text, on the branch that a change is for; unchanged by it unless it says so |
//!
//! A block of `console` with `--author NAME` says whose change it is.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use almanac_validate::{
    Declared, Entry, Source, check, novelty,
    ownership::{Author, findings, judge},
    render::human,
};

#[derive(Clone)]
enum File {
    Bytes(Vec<u8>),
    Large(u64),
    Symlink,
    Submodule,
    Special,
    BadName,
}

/// What came out of a case.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) printed: String,
}

/// Executes a file: it must say what comes out. Returns the cases.
#[track_caller]
pub(crate) fn execute(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let (rewritten, cases) = rewritten(&text);
    if std::env::var_os("UPDATE_SPECS").is_some() {
        fs::write(path, rewritten).unwrap();
        return cases;
    }
    for (expected, found) in text.lines().zip(rewritten.lines()) {
        assert_eq!(expected, found, "{}:\n{rewritten}", path.display());
    }
    assert_eq!(text, rewritten, "{}", path.display());
    cases
}

/// The text with every `text` block replaced by what is printed.
fn rewritten(spec: &str) -> (String, Vec<Case>) {
    let mut output = String::new();
    let mut shared: BTreeMap<String, File> = BTreeMap::new();
    let mut own = BTreeMap::new();
    let mut author = None;
    let mut title = None;
    let mut cases = Vec::new();
    let mut lines = spec.lines();
    while let Some(line) = lines.next() {
        output += line;
        output.push('\n');
        if let Some(heading) = line.strip_prefix("## ") {
            title = Some(heading.to_owned());
            own = shared.clone();
        }
        let Some(fence) = line.strip_prefix("```").filter(|fence| !fence.is_empty()) else { continue };
        let block: String =
            lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        if fence == "console" {
            author = block
                .split("--author ")
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next())
                .map(str::to_owned);
            output += &block;
        } else if fence == "text" {
            let title = title.clone().expect("output belongs to a section");
            let printed = printed(&own, author.as_deref());
            output += &printed;
            cases.push(Case { title, printed });
        } else {
            let (path, file) = file(fence, &block);
            if title.is_some() { &mut own } else { &mut shared }.insert(path, file);
            output += &block;
        }
        output += "```\n";
    }
    (output, cases)
}

fn file(fence: &str, block: &str) -> (String, File) {
    let Some((kind, path)) = fence.split_once(' ') else { panic!("a block of `{fence}` means nothing here") };
    let file = match kind {
        "yaml" => File::Bytes(block.as_bytes().to_vec()),
        "bytes" if path.contains("\\x") => File::BadName,
        "bytes" => File::Bytes(unescaped(block)),
        "large" => File::Large(block.trim().parse().unwrap()),
        "symlink" => File::Symlink,
        "submodule" => File::Submodule,
        "special" => File::Special,
        _ => panic!("a block of `{fence}` means nothing here"),
    };
    (String::from_utf8_lossy(&unescaped(path)).into_owned(), file)
}

/// The bytes of a text in which `\xHH` is one.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn printed(files: &BTreeMap<String, File>, author: Option<&str>) -> String {
    let source = |(path, file): (&str, &File)| {
        let entry = match file {
            File::Bytes(bytes) => Entry::File(bytes),
            File::Large(size) => Entry::TooLarge(*size),
            File::Symlink => Entry::Symlink,
            File::Submodule => Entry::Submodule,
            File::Special => Entry::Special,
            File::BadName => Entry::NotUtf8Name,
        };
        Arc::new(Source::read(path, entry))
    };
    let base: BTreeMap<&str, &File> =
        files.iter().filter_map(|(path, file)| Some((path.strip_prefix("main:")?, file))).collect();
    let mut tree = base.clone();
    tree.extend(
        files.iter().filter(|(path, _)| !path.starts_with("main:")).map(|(path, file)| (path.as_str(), file)),
    );
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let sources: Vec<_> = tree.into_iter().map(source).collect();
    let mut report = check(&sources, now);
    if let Some(author) = author {
        let base: Vec<_> = base.into_iter().map(source).collect();
        novelty::mark(&mut report, &sources, &check(&base, now), &base);
        let (declared, tree) = (Declared::new(&base), Declared::new(&sources));
        let violations = judge(&Author::find(&declared, author), &declared, &declared, &tree);
        report.add(findings(violations, &sources, &base));
    }
    let text = human::human(&report, &sources, "".as_ref(), human::Style::Plain);
    let (findings, _) = text.trim_end().rsplit_once('\n').unwrap_or(("nothing", ""));
    format!("{}\n", findings.trim_end())
}
