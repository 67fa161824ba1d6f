//! The forms in which findings are shown: what each says, and that no input can make it say something
//! else.

use std::{path::Path, sync::Arc};

use almanac_validate::{
    Entry, Finding, Location, Report, Rule, Severity, Source, check,
    render::{github::github, human, junit::junit, markdown, sarif::sarif},
};
use serde_json::Value;

const USER: &str = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n";
const PAST: &str = "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alice }\n---\n\
                    apiVersion: almanac/v1\nkind: Job\nmetadata: { name: j }\nspec:\n  owner: alice\n  \
                    nodes: [n]\n  schedule: { at: 2020-01-01T00:00:00Z, length: 1m }\n  container: { image: x }\n";

/// A name that tries to be a command of a workflow, a property of one, HTML, and a mention.
const HOSTILE: &str = "jobs/a b,line=9:%0A\r\n::error::forged\n`<script>`|@octocat é\u{1b}[31m.yaml";

pub(crate) fn checked(files: &[(&str, &str)]) -> (Report, Vec<Arc<Source>>) {
    let source = |(path, text): &(&str, &str)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
    let sources: Vec<_> = files.iter().map(source).collect();
    (check(&sources, "2026-11-24T00:00:00Z".parse().unwrap()), sources)
}

/// Findings of both severities, with related places and hostile names and values.
pub(crate) fn hostile() -> (Report, Vec<Arc<Source>>) {
    let value = "[x](http://e.example) </details> ``` `@octocat` #1 %0A::error::y \\u0000\\uFFFF\\u202E ]]>";
    let wrong = USER.replace("{}", &format!("{{ role: \"{value}\" }}")).replace("alice", "bob");
    checked(&[(HOSTILE, &wrong), ("a.yaml", USER), ("b.yaml", USER), ("c.yaml", PAST)])
}

/// A report of so many findings in one file.
fn many(count: usize, message: &str) -> (Report, Vec<Arc<Source>>) {
    let text = "key: value\n".repeat(count);
    let line = |line| Location { file: "a.yaml".to_owned(), line, column: 6, end_line: line, end_column: 11 };
    let finding = |index: usize| Finding {
        rule: if index == count - 1 { Rule::UnknownField } else { Rule::SchedulePast },
        severity: if index == count - 1 { Severity::Error } else { Severity::Warning },
        message: message.to_owned(),
        location: Some(line(index as u32 + 1)),
        related: Vec::new(),
        notes: Vec::new(),
        help: None,
        fix: None,
        new: None,
    };
    let report = Report { findings: (0..count).map(finding).collect(), ..Report::default() };
    (report, vec![Arc::new(Source::read("a.yaml", Entry::File(text.as_bytes())))])
}

#[test]
fn workflow_commands_are_one_line_each_and_cannot_be_forged() {
    let (report, sources) = hostile();
    let text = github(&report, sources.len(), Path::new("test bed"));
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!(
        lines[0],
        "::error title=duplicate-name,file=test bed/b.yaml,line=3,endLine=3,col=19,endColumn=24\
         ::test bed/b.yaml:3:19: the user `alice` is declared twice\
         %0Atest bed/a.yaml:3:19: first declared here%0Ahelp: rename or remove one of them"
    );
    assert_eq!(
        lines[2].split("::").nth(1).unwrap(),
        "error title=invalid-value,file=test bed/jobs/a b%2Cline=9%3A%250A%0D%0A%3A%3Aerror%3A%3Aforged%0A\
         `<script>`|@octocat é\u{1b}[31m.yaml,line=4,endLine=4,col=15,endColumn=104"
    );
    assert_eq!(lines[3..], ["4 files checked: 2 errors, 1 warning", ""]);
    assert!(lines[1].starts_with("::warning title=schedule-past,file=test bed/c.yaml,"), "{}", lines[1]);
    assert!(!text.contains('\r'));
    let (report, sources) = checked(&[("a.yaml", USER)]);
    assert_eq!(github(&report, sources.len(), Path::new("")), "1 file checked, nothing found\n");
}

#[test]
fn columns_of_several_lines_are_not_given_for_one() {
    let (mut report, _) = many(1, "wrong");
    report.findings[0].location.as_mut().unwrap().end_line = 2;
    assert!(github(&report, 1, Path::new("")).contains("line=1,endLine=2,col=6::"));
    report.findings[0].location = None;
    assert!(github(&report, 1, Path::new("")).starts_with("::error title=unknown-field::wrong\n"));
}

fn sarif_results(report: &Report, sources: &[Arc<Source>], root: &str) -> Vec<Value> {
    let log: Value = serde_json::from_str(&sarif(report, sources, Path::new(root))).unwrap();
    log["runs"][0]["results"].as_array().unwrap().clone()
}

#[test]
fn sarif_says_where_and_links_to_what_is_related() {
    let (report, sources) = checked(&[("a.yaml", USER), ("b ü:%.yaml", USER)]);
    let mut result = sarif_results(&report, &sources, "test bed").remove(0);
    let hash = result["partialFingerprints"].take();
    assert!(hash["primaryLocationLineHash"].as_str().unwrap().ends_with(":1"));
    let location = |file: &str| {
        serde_json::json!({
            "artifactLocation": { "uri": file, "uriBaseId": "%SRCROOT%" },
            "region": { "startLine": 3, "startColumn": 19, "endLine": 3, "endColumn": 24 },
        })
    };
    assert_eq!(
        result,
        serde_json::json!({
            "ruleId": "duplicate-name",
            "ruleIndex": 12,
            "level": "error",
            "message": { "text": "the user `alice` is declared twice\n[first declared here](0)\n\
                                  help: rename or remove one of them" },
            "locations": [{ "physicalLocation": location("test%20bed/b%20%C3%BC%3A%25.yaml") }],
            "relatedLocations": [{
                "id": 0,
                "message": { "text": "first declared here" },
                "physicalLocation": location("test%20bed/a.yaml"),
            }],
            "partialFingerprints": null,
        })
    );
    let log: Value = serde_json::from_str(&sarif(&report, &sources, Path::new("/a b"))).unwrap();
    let driver = &log["runs"][0]["tool"]["driver"];
    assert_eq!(driver["rules"][12]["id"], "duplicate-name");
    assert_eq!(driver["rules"].as_array().unwrap().len(), Rule::ALL.len());
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(*place, serde_json::json!({ "uri": "file:///a%20b/b%20%C3%BC%3A%25.yaml" }));
}

#[test]
fn fingerprints_do_not_depend_on_line_numbers() {
    let wrong = USER.replace("{}", "{ teem: x }");
    let fingerprint = |text: &str| {
        let (report, sources) = checked(&[("a.yaml", text)]);
        let result = sarif_results(&report, &sources, "").remove(0);
        let line = &result["locations"][0]["physicalLocation"]["region"]["startLine"];
        (line.as_u64().unwrap(), result["partialFingerprints"].clone())
    };
    let (line, before) = fingerprint(&wrong);
    let (moved, after) = fingerprint(&format!("# a comment\n\n{wrong}"));
    assert_eq!((line, moved), (4, 6));
    assert!(before.is_object());
    assert_eq!(before, after);
    assert_ne!(before, fingerprint(&wrong.replace("teem", "taem")).1);
}

#[test]
fn sarif_keeps_to_what_code_scanning_takes() {
    let (report, sources) = many(25_001, "wrong");
    let log: Value = serde_json::from_str(&sarif(&report, &sources, Path::new(""))).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 25_000);
    assert_eq!(results[0]["level"], "error", "the only error is not what is left out");
    let notification = &log["runs"][0]["invocations"][0]["toolExecutionNotifications"][0];
    assert_eq!(notification["message"]["text"], "1 further findings are left out");
}

#[test]
fn what_is_about_no_file_has_a_place_in_code_scanning() {
    let (mut report, sources) = many(1, "wrong");
    report.findings[0].location = None;
    let uri = |root: &str| {
        let result = sarif_results(&report, &sources, root).remove(0);
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone()
    };
    assert_eq!([uri(""), uri("testbed")], [".", "testbed/"]);
}

#[test]
fn junit_has_a_test_case_per_file_and_fails_for_errors_alone() {
    let (report, sources) = checked(&[("a.yaml", USER), ("b.yaml", USER), ("c.yaml", PAST)]);
    let text = junit(&report, &sources, Path::new(""));
    assert_eq!(
        text,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="almanac-validate" tests="4" failures="1" errors="0">
    <testsuite name="almanac-validate" tests="4" skipped="0" errors="0" failures="1">
        <testcase name="all files together" classname="almanac-validate"/>
        <testcase name="a.yaml" classname="almanac-validate"/>
        <testcase name="b.yaml" classname="almanac-validate">
            <failure message="the user `alice` is declared twice" type="duplicate-name">error[duplicate-name]: the user `alice` is declared twice
 --&gt; b.yaml:3:19
  |
3 | metadata: { name: alice }
  |                   ^^^^^
  |
 ::: a.yaml:3:19
  |
3 | metadata: { name: alice }
  |                   ----- first declared here
  |
  = help: rename or remove one of them

</failure>
        </testcase>
        <testcase name="c.yaml" classname="almanac-validate">
            <system-out>warning[schedule-past]: `2020-01-01T00:00:00Z` is in the past, so `j` never runs again
  --&gt; c.yaml:12:19
   |
12 |   schedule: { at: 2020-01-01T00:00:00Z, length: 1m }
   |                   ^^^^^^^^^^^^^^^^^^^^
   |
   = note: it is 2026-11-24T00:00:00Z now
   = help: remove the job, or choose a later instant

</system-out>
        </testcase>
    </testsuite>
</testsuites>
"#
    );
    let (report, sources) = checked(&[]);
    assert!(
        junit(&report, &sources, Path::new("")).contains(r#"<testsuites name="almanac-validate" tests="1""#)
    );
}

#[test]
fn markdown_is_a_verdict_a_table_and_the_lines() {
    let (report, sources) = checked(&[("a.yaml", USER), ("b.yaml", USER)]);
    assert_eq!(
        markdown::markdown(&report, &sources, Path::new("")),
        "**Not valid.** 2 files checked: 1 error

| severity | rule | place | finding |
|---|---|---|---|
| error | <code>duplicate-name</code> | <code>b.yaml:3:19</code> | the user <code>alice</code> is declared twice\
<br>help: rename or remove one of them |

<details>
<summary>The lines in question</summary>

```text
error[duplicate-name]: the user `alice` is declared twice
 --> b.yaml:3:19
  |
3 | metadata: { name: alice }
  |                   ^^^^^
  |
 ::: a.yaml:3:19
  |
3 | metadata: { name: alice }
  |                   ----- first declared here
  |
  = help: rename or remove one of them
```

</details>
"
    );
    let (report, sources) = checked(&[("a.yaml", USER)]);
    let text = markdown::markdown(&report, &sources, Path::new(""));
    assert_eq!(text, "**Valid.** 1 file checked, nothing found\n");
}

#[test]
fn markdown_takes_nothing_from_manifests_for_markup() {
    let (report, sources) = hostile();
    let text = markdown::markdown(&report, &sources, Path::new(""));
    let (table, rest) = text.split_once("<details>").unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), 4, "{table}");
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(row.matches('|').count(), 5, "{row}");
    }
    for markup in ["<script", "</details", "@octocat", "](http", "http://", "`", " #1", "\u{202e}"] {
        assert!(!table.contains(markup), "{markup} in\n{table}");
    }
    // The fence is longer than any that is quoted, so that what is in it stays in it.
    let fences: Vec<_> = rest.lines().filter(|line| line.starts_with("````")).collect();
    assert_eq!(fences, ["````text", "````"]);
    assert!(rest.ends_with("\n````\n\n</details>\n"), "{rest}");
}

#[test]
fn markdown_is_bounded_and_says_what_is_left_out() {
    for (count, message) in
        [(10_000, "wrong".to_owned()), (10_000, "é`".repeat(100_000)), (300, "x".repeat(90))]
    {
        let (report, sources) = many(count, &message);
        let text = markdown::markdown(&report, &sources, Path::new(""));
        let length = text.chars().count();
        assert!((50_000..=markdown::MAX_LENGTH).contains(&length) || count < 1_000, "{length}");
        let rows =
            text.lines().filter(|line| line.starts_with("| error") || line.starts_with("| warning")).count();
        let framed =
            text.lines().filter(|line| line.starts_with("error[") || line.starts_with("warning[")).count();
        assert!(text.contains("| error | <code>unknown-field</code> | <code>a.yaml:"), "errors come first");
        let last = text.lines().last().unwrap();
        let left_out = if rows < count {
            format!("Left out, for this is too long already: {} findings.", count - rows)
        } else {
            format!("Left out, for this is too long already: the lines of {} findings.", count - framed)
        };
        assert_eq!(last, left_out);
    }
}

/// In time that grows with their number: each frame is made of a few lines, wherever they are.
#[test]
fn ten_thousand_findings_are_shown_in_every_form() {
    let (mut report, sources) = many(10_000, "wrong");
    let first = report.findings[0].location.clone().unwrap();
    for finding in &mut report.findings {
        let related = almanac_validate::Related { message: "first here".to_owned(), location: first.clone() };
        finding.related.push(related);
    }
    let root = Path::new("");
    let text = human::human(&report, &sources, root, human::Style::Plain);
    assert_eq!(text.matches("wrong").count(), 10_000);
    assert!(text.ends_with("1 file checked: 1 error, 9999 warnings\n"));
    // What is far away has a frame of its own, with its own line numbers.
    let far = "error[unknown-field]: wrong\n     --> a.yaml:10000:6\n      |\n10000 | key: value\n      |      ^^^^^\n      |\n     \
               ::: a.yaml:1:6\n      |\n    1 | key: value\n      |      ----- first here\n\n1 file";
    assert!(text.contains(far), "{}", &text[text.len() - 300..]);
    assert_eq!(github(&report, 1, root).lines().count(), 10_001);
    assert_eq!(junit(&report, &sources, root).matches("wrong").count(), 10_001);
    assert_eq!(sarif_results(&report, &sources, "").len(), 10_000);
}

#[test]
fn a_long_line_or_message_does_not_fill_the_screen() {
    let wrong = USER.replace("{}", &format!("{{ role: {} }}", "x".repeat(100_000)));
    let (report, sources) = checked(&[("a.yaml", &wrong)]);
    let text = human::human(&report, &sources, Path::new(""), human::Style::Plain);
    assert!(text.len() < 2_000, "{} bytes", text.len());
    assert!(text.contains("\n--> a.yaml:4:15\n"), "{text}");
}
