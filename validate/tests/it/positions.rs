//! A finding points at exactly the value that is wrong, however it is written.

use std::{ops::Range, sync::Arc};

use almanac_validate::{Entry, Rule, Source, check, fix};
use proptest::prelude::*;

/// A manifest, and in it what is wrong.
#[derive(Clone)]
enum Yaml {
    Text(String),
    /// A value of which these bytes are wrong.
    Wrong(String, Range<usize>),
    List(Vec<Yaml>),
    /// Keys and values; a wrong key is marked.
    Map(Vec<(&'static str, bool, Yaml)>),
}

/// Writes YAML in the style that a sequence of choices says; with no choices left, in the simplest.
struct Writer<'a> {
    choices: std::slice::Iter<'a, u8>,
    text: String,
    line_end: &'static str,
    wrong: Option<Range<usize>>,
    anchors: usize,
}

impl Writer<'_> {
    fn choose(&mut self, count: u8) -> u8 {
        self.choices.next().map_or(0, |choice| choice % count)
    }

    fn end_line(&mut self) {
        if self.choose(6) == 1 {
            self.text += " # é: 'c";
        }
        self.text += self.line_end;
        if self.choose(8) == 1 {
            self.text += "# c";
            self.text += self.line_end;
        }
    }

    fn block(&mut self, yaml: &Yaml, indent: usize) {
        let step = 1 + usize::from(self.choose(4));
        match yaml {
            Yaml::Map(entries) if !entries.is_empty() => {
                for (key, wrong, value) in entries {
                    self.text += &" ".repeat(indent);
                    let explicit = self.choose(10) == 1;
                    self.text += if explicit { "? " } else { "" };
                    self.scalar(key, wrong.then_some(0..key.len()).as_ref(), None);
                    if explicit {
                        self.text += self.line_end;
                        self.text += &" ".repeat(indent);
                    }
                    self.text += ":";
                    self.value(value, indent, step);
                }
            }
            Yaml::List(items) if !items.is_empty() => {
                for item in items {
                    self.text += &" ".repeat(indent);
                    self.text += "-";
                    self.value(item, indent, step);
                }
            }
            other => {
                self.text += &" ".repeat(indent);
                self.flow(other, indent);
                self.end_line();
            }
        }
    }

    /// What comes after `key:` or `-`.
    fn value(&mut self, value: &Yaml, indent: usize, step: usize) {
        let empty = match value {
            Yaml::Map(entries) => entries.is_empty(),
            Yaml::List(items) => items.is_empty(),
            _ => true,
        };
        if !empty && self.choose(3) != 1 {
            self.anchor();
            self.end_line();
            self.block(value, indent + step);
            return;
        }
        // After an indicator that starts a line, a tab would be indentation.
        let tab = !self.text.trim_end_matches([':', '-']).ends_with([' ', '\n']);
        let space = ["", " ", "\t"][usize::from(self.choose(if tab { 3 } else { 2 }))];
        self.text += space;
        self.text += " ";
        self.anchor();
        self.text += if self.text.ends_with(' ') { "" } else { " " };
        match value {
            Yaml::Text(text) => self.scalar(text, None, Some(indent + step)),
            Yaml::Wrong(text, part) => self.scalar(text, Some(part), Some(indent + step)),
            other => self.flow(other, indent + step),
        }
        // After a block scalar the line has ended, and a comment could be its text.
        if !self.text.ends_with('\n') {
            self.end_line();
        }
    }

    fn anchor(&mut self) {
        if self.choose(6) == 1 {
            self.anchors += 1;
            self.text += &format!(" &a{}", self.anchors);
        }
    }

    fn flow(&mut self, yaml: &Yaml, indent: usize) {
        match yaml {
            Yaml::Text(text) => self.scalar(text, None, None),
            Yaml::Wrong(text, part) => self.scalar(text, Some(part), None),
            Yaml::List(items) => {
                self.text += "[";
                for (index, item) in items.iter().enumerate() {
                    self.separate(index, indent);
                    self.flow(item, indent);
                }
                self.text += "]";
            }
            Yaml::Map(entries) => {
                self.text += "{";
                for (index, (key, wrong, value)) in entries.iter().enumerate() {
                    self.separate(index, indent);
                    self.scalar(key, wrong.then_some(0..key.len()).as_ref(), None);
                    self.text += ": ";
                    self.flow(value, indent);
                }
                self.text += " }";
            }
        }
    }

    fn separate(&mut self, index: usize, indent: usize) {
        self.text += if index == 0 { "" } else { "," };
        if self.choose(5) == 1 {
            self.end_line();
            self.text += &" ".repeat(indent + 1);
        } else {
            self.text += " ";
        }
    }

    /// A scalar on one or, where `indent` says that there may be some, more lines.
    fn scalar(&mut self, value: &str, wrong: Option<&Range<usize>>, indent: Option<usize>) {
        let plain = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
            && value.chars().any(|c| !c.is_ascii_digit())
            && !value.contains(['#', ',']);
        // Each character of the value is written by itself, so that its place is known.
        let style = match (self.choose(5), indent) {
            (0, _) if plain => 0,
            (1, _) => 1,
            (2, Some(_)) => 2,
            (3, Some(_)) => 3,
            _ => 4,
        };
        let quote = [("", ""), ("'", "'"), ("|-", ""), (">-", ""), ("\"", "\"")][style];
        let whole = self.text.len();
        self.text += quote.0;
        let block = matches!(style, 2 | 3);
        let margin = indent.map(|indent| format!("{}{}", self.line_end, " ".repeat(indent)));
        if block {
            let comment = ["", " # c"][usize::from(self.choose(2))];
            self.text += comment;
            self.text += margin.as_deref().unwrap_or_default();
        }
        let first = self.text.len();
        let mut places = Vec::new();
        for (at, c) in value.char_indices() {
            let start = self.text.len();
            match (c, style) {
                (' ', 0 | 1 | 3 | 4) if margin.is_some() && self.choose(4) == 1 => {
                    self.text += margin.as_deref().unwrap_or_default();
                }
                ('\'', 1) => self.text += "''",
                (_, 4) if self.choose(6) == 1 => self.text += &format!("\\u{:04x}", u32::from(c)),
                ('"' | '\\', 4) => self.text.extend(['\\', c]),
                _ => self.text.push(c),
            }
            places.push((at..at + c.len_utf8(), start..self.text.len()));
        }
        let last = self.text.len();
        self.text += quote.1;
        if let Some(part) = wrong {
            self.wrong = Some(if *part == (0..value.len()) {
                if block { first..last } else { whole..self.text.len() }
            } else {
                let start = places.iter().find(|(at, _)| at.start == part.start).unwrap().1.start;
                start..places.iter().find(|(at, _)| at.end == part.end).unwrap().1.end
            });
        }
        if block {
            self.text += self.line_end;
        }
    }
}

const TESTBED: &str = "\
apiVersion: almanac/v1
kind: User
metadata: { name: alice }
spec: {}
---
apiVersion: almanac/v1
kind: Node
metadata: { name: london-01 }
spec: { owner: alice, hostNetwork: true }
";

fn text(text: &str) -> Yaml {
    Yaml::Text(text.to_owned())
}

/// What is wrong in the manifest: the rule, the field, the value, and the part of it.
const CASES: [(Rule, &str, &str, &str); 17] = [
    (Rule::UnknownUser, "owner", "nobody-here", ""),
    (Rule::UnknownNode, "node", "no-such-node", ""),
    (Rule::InvalidValue, "timezone", "Europe/Nowhere", ""),
    (Rule::Cron, "cron", "0 99 * * *", "99"),
    (Rule::Cron, "cron", "0 12 * * FOO", "FOO"),
    (Rule::InvalidValue, "length", "it's soon", ""),
    (Rule::InvalidValue, "capability", "FLY \"x\"", ""),
    (Rule::InvalidValue, "network", "wi-fi é", ""),
    (Rule::ArtifactsPath, "path", "é/results", ""),
    (Rule::Environment, "2ND", "", ""),
    (Rule::UnknownField, "colour", "", ""),
    // From here on, it is certain what was meant.
    (Rule::UnknownUser, "owner", "alcie", ""),
    (Rule::UnknownNode, "node", "lodnon-01", ""),
    (Rule::InvalidValue, "timezone", "Europe/Londn", ""),
    (Rule::InvalidValue, "capability", "CAP_NET_RAW", ""),
    (Rule::InvalidValue, "network", "Host", ""),
    (Rule::UnknownField, "artefacts", "", ""),
];
const CERTAIN: usize = 11;

fn manifest(case: usize, order: usize) -> Yaml {
    let (_, field, wrong, part) = CASES[case];
    let value = |name: &str, right: &str| match name == field {
        true if part.is_empty() => Yaml::Wrong(wrong.to_owned(), 0..wrong.len()),
        true => {
            let start = wrong.find(part).unwrap();
            Yaml::Wrong(wrong.to_owned(), start..start + part.len())
        }
        false => text(right),
    };
    let rotated = |mut entries: Vec<(&'static str, bool, Yaml)>| {
        let by = order % entries.len();
        entries.rotate_left(by);
        Yaml::Map(entries)
    };
    let schedule = vec![
        ("cron", false, value("cron", "0 12 * * *")),
        ("timezone", false, value("timezone", "Europe/London")),
        ("start", false, text("2027-01-01T00:00:00Z")),
        ("end", false, text("2027-02-01T00:00:00Z")),
        ("length", false, value("length", "2m")),
    ];
    let mut env = vec![("STREAMS", false, text("4"))];
    if field == "2ND" {
        env.push(("2ND", true, text("x")));
    }
    let container = vec![
        ("image", false, text("registry.example.org/probes/ping")),
        ("command", false, Yaml::List(vec![text("ping"), text("-c 1 'é'"), text("# no comment")])),
        ("capabilities", false, Yaml::List(vec![text("NET_ADMIN"), value("capability", "NET_RAW")])),
        ("network", false, value("network", "host")),
        ("env", false, rotated(env)),
    ];
    let mut spec = vec![
        (
            "config",
            false,
            Yaml::Map(vec![("é", false, text("ü: ö, [")), ("deep", false, Yaml::List(vec![]))]),
        ),
        ("owner", false, value("owner", "alice")),
        ("nodes", false, Yaml::List(vec![value("node", "london-01")])),
        ("schedule", false, rotated(schedule)),
        ("container", false, rotated(container)),
    ];
    let (artifacts, wrong) = if field == "artefacts" { (field, true) } else { ("artifacts", false) };
    spec.push((artifacts, wrong, Yaml::Map(vec![("path", false, value("path", "/artifacts"))])));
    if field == "colour" {
        spec.push(("colour", true, text("red")));
    }
    rotated(vec![
        ("apiVersion", false, text("almanac/v1")),
        ("kind", false, text("Job")),
        ("metadata", false, Yaml::Map(vec![("name", false, text("ping"))])),
        ("spec", false, rotated(spec)),
    ])
}

/// Line and column, from 1, of a byte; columns count characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, text[line..byte].chars().count() + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn findings_point_at_exactly_what_is_wrong(
        case in 0..CASES.len(),
        order in 0..6_usize,
        choices in prop::collection::vec(any::<u8>(), 0..300),
        windows in any::<bool>(),
    ) {
        let line_end = if windows { "\r\n" } else { "\n" };
        let mut text = TESTBED.replace('\n', line_end) + "---" + line_end;
        text.insert(0, '\u{feff}');
        let mut writer = Writer { choices: choices.iter(), text, line_end, wrong: None, anchors: 0 };
        let yaml = manifest(case, order);
        if writer.choose(4) == 1 {
            writer.flow(&yaml, 0);
            writer.text += line_end;
        } else {
            writer.block(&yaml, 0);
        }
        let (with_mark, wrong) = (writer.text, writer.wrong.unwrap());
        let mark = '\u{feff}'.len_utf8();
        let (text, wrong) = (&with_mark[mark..], wrong.start - mark..wrong.end - mark);

        let source = Arc::new(Source::read("a.yaml", Entry::File(with_mark.as_bytes())));
        let now = "2026-11-24T00:00:00Z".parse().unwrap();
        let found = check(&[Arc::clone(&source)], now).findings;
        prop_assert_eq!(found.len(), 1, "{:?}\n{}", found, text);
        let location = found[0].location.as_ref().unwrap();
        let number = |(line, column): (usize, usize)| (u32::try_from(line).unwrap(), u32::try_from(column).unwrap());
        prop_assert_eq!(found[0].rule, CASES[case].0, "{}", text);
        prop_assert_eq!(
            ((location.line, location.column), (location.end_line, location.end_column)),
            (number(place(text, wrong.start)), number(place(text, wrong.end))),
            "{:?} is wrong in\n{}", &text[wrong.clone()], text
        );

        let is_certain = case >= CERTAIN;
        prop_assert_eq!(found[0].fix.is_some(), is_certain, "{:?}", found[0]);
        if is_certain {
            let fixed = fix(vec![source], now);
            let after = fixed.sources[0].text();
            prop_assert_eq!(&fixed.report.findings, &[], "{}\nbecame\n{}", text, after);
            let untouched = after.starts_with(&text[..wrong.start]) && after.ends_with(&text[wrong.end..]);
            prop_assert!(untouched, "{}\nbecame\n{}", text, after);
        }
    }
}
