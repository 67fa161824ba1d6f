//! Fixes: carried out, the finding is gone, and every other byte is as it was.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use almanac_validate::{Entry, Finding, Rule, Source, check, fix};

use super::command::untimed;

fn read(path: &str, text: &str) -> Arc<Source> {
    Arc::new(Source::read(path, Entry::File(text.as_bytes())))
}

fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-11-24T00:00:00Z".parse().unwrap()
}

fn findings(text: &str) -> Vec<Finding> {
    check(&[read("a.yaml", text)], now()).findings
}

/// Carries out all fixes of a file.
fn fixed(text: &str) -> String {
    fix(vec![read("a.yaml", text)], now()).sources[0].text().to_owned()
}

/// A text with one wrong thing in it becomes the same with `right` in the place of `wrong`, and
/// nothing is found any more.
#[track_caller]
fn becomes(rule: Rule, text: &str, wrong: &str, right: &str) {
    let rules: Vec<_> = findings(text).iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [rule], "{text}");
    let (before, after) = text.split_once(wrong).unwrap();
    let expected = format!("{before}{right}{after}");
    assert_eq!(fixed(text), expected);
    assert_eq!(findings(&expected), []);
}

const JOB: &str = "\
apiVersion: almanac/v1
kind: User
metadata: { name: alice }   # a user
spec: {}
---
apiVersion: almanac/v1
kind: Node
metadata: { name: london-01, labels: { provider: starlink } }
spec: { owner: alice }
---
# a job
apiVersion: almanac/v1
kind: Job
metadata:
    name: ping
spec:
    owner: alice
    nodes: [ london-01 ]

    schedule:
        cron: '0 12 * * *'
        timezone: Europe/London
        start: 2027-01-01T00:00:00Z   # é
        end: 2027-02-01T00:00:00Z
        length: 2m
    container:
        image: probes/ping
        capabilities: [NET_RAW]
        env: { \"STREAMS\": '4' }
";

/// `JOB` with something else in the place of a part of it.
fn job(part: &str, other: &str) -> String {
    assert_eq!(JOB.matches(part).count(), 1, "{part}");
    JOB.replace(part, other)
}

#[test]
fn every_kind_of_finding_with_a_fix() {
    assert_eq!(findings(JOB), []);
    for (rule, part, wrong, right) in [
        (Rule::UnknownField, "    container:", "    contaner:", "    container:"),
        (Rule::UnknownField, "timezone:", "Timezone:", "timezone:"),
        (Rule::InvalidValue, "kind: Job", "kind: job", "kind: Job"),
        (Rule::InvalidValue, "[NET_RAW]", "[CAP_NET_RAW]", "[NET_RAW]"),
        (Rule::InvalidValue, "Europe/London", "Europe/Londn", "Europe/London"),
        (Rule::InvalidValue, "'4'", "4", "\"4\""),
        (Rule::InvalidValue, "'4'", "1.10", "\"1.10\""),
        (Rule::InvalidValue, "'4'", "true", "\"true\""),
        (
            Rule::InvalidValue,
            "    container:",
            "    exclusive: yes\n    container:",
            "    exclusive: true\n    container:",
        ),
        (
            Rule::InvalidValue,
            "    container:",
            "    exclusive: 'false'\n    container:",
            "    exclusive: false\n    container:",
        ),
        (
            Rule::InvalidValue,
            "    container:",
            "    container:\n        resources: {cpus: \"0.5\"}",
            "    container:\n        resources: {cpus: 0.5}",
        ),
        (Rule::InvalidValue, "    owner: alice\n", "    owner: Alice\n", "    owner: alice\n"),
        (Rule::UnknownUser, "    owner: alice\n", "    owner: alcie\n", "    owner: alice\n"),
        (Rule::UnknownNode, "[ london-01 ]", "[ lodon-01 ]", "[ london-01 ]"),
    ] {
        becomes(rule, &job(part, wrong), wrong, right);
    }
    let selects = |selector: &str| job("nodes: [ london-01 ]", &format!("nodeSelector: {selector}"));
    becomes(Rule::UnmatchedSelector, &selects("{ provider: starlnk }"), "starlnk", "starlink");
    becomes(Rule::UnmatchedSelector, &selects("{ providr: starlink }"), "providr", "provider");
}

#[test]
fn every_style_of_a_value() {
    let zone = |wrong: &str, right: &str| {
        becomes(Rule::InvalidValue, &job("Europe/London", wrong), wrong, right);
    };
    zone("'Europe/Londn'", "'Europe/London'");
    zone("\"Europe/Londn\" # c", "\"Europe/London\" # c");
    zone("\"Europe\\/\\u004condn\"", "\"Europe/London\"");
    zone("&zone Europe/Londn", "&zone Europe/London");
    zone("|-\n          Europe/Londn", "|-\n          Europe/London");
    zone(">2-\n          Europe/Londn\n", ">2-\n          Europe/London\n");
    zone("|\n          Europe/Londn", "Europe/London");
    zone(">+\n          Europe/Londn\n\n", "Europe/London\n\n");
    zone("\n          Europe/Londn\n", "\n          Europe/London\n");
}

#[test]
fn every_style_of_a_key() {
    let field = |wrong: &str, right: &str| {
        becomes(Rule::UnknownField, &job("    nodes: [ london-01 ]\n", wrong), wrong, right);
    };
    field("    \"noodes\": [ london-01 ]\n", "    \"nodes\": [ london-01 ]\n");
    field("    'noodes':\n    - london-01\n", "    'nodes':\n    - london-01\n");
    field("    ? noodes\n    : [ london-01 ]\n", "    ? nodes\n    : [ london-01 ]\n");
    field("    noodes: &n [ london-01 ]\n", "    nodes: &n [ london-01 ]\n");
    let json = "{\"apiVersion\":\"almanac/v1\",\"kind\":\"User\",\"metadata\":{\"name\":\"bob\"},\"spec\":{\"teem\":\"x\"}}";
    becomes(Rule::UnknownField, json, "teem", "team");
}

#[test]
fn line_ends_of_windows_stay() {
    for (part, wrong, right) in [
        ("Europe/London", "Europe/Londn", "Europe/London"),
        ("Europe/London", "|-\n          Europe/Londn", "|-\n          Europe/London"),
        ("Europe/London", "|\n          Europe/Londn", "Europe/London"),
    ] {
        let windows = |text: &str| text.replace('\n', "\r\n");
        becomes(Rule::InvalidValue, &windows(&job(part, wrong)), &windows(wrong), &windows(right));
    }
}

#[test]
fn what_counts_in_several_places_is_left_to_a_person() {
    let shared =
        job("timezone: Europe/London", "timezone: &z Europe/Londn").replace("'4' }", "'4', ZONE: *z }");
    let [finding] = findings(&shared).try_into().unwrap();
    assert_eq!((finding.rule, finding.fix), (Rule::InvalidValue, None));
    assert_eq!(finding.help.as_deref(), Some("did you mean `Europe/London`?"));
    let tagged = job("Europe/London", "!!str Europe/Londn");
    assert_eq!(findings(&tagged)[0].fix, None);
    let commented = job("Europe/London", "|  # here\n          Europe/Londn");
    assert_eq!(findings(&commented)[0].fix, None);
}

#[test]
fn what_is_not_certain_has_no_fix() {
    for (part, wrong) in [
        ("[ london-01 ]", "[ london-02 ]"),
        ("    owner: alice\n", "    owner: alicia\n"),
        ("Europe/London", "Europe/Bern"),
        ("apiVersion: almanac/v1\nkind: Job", "apiVersion: almanac/v2\nkind: Job"),
        // The field that is meant is there already.
        ("    nodes: [ london-01 ]\n", "    nodes: [ london-01 ]\n    node: [ london-01 ]\n"),
    ] {
        let text = job(part, wrong);
        let found = findings(&text);
        assert!(!found.is_empty() && found.iter().all(|finding| finding.fix.is_none()), "{wrong}: {found:?}");
        assert_eq!(fixed(&text), text);
    }
}

#[test]
fn a_fix_that_uncovers_another_is_followed_by_it() {
    let text = job("    container:", "    Container:").replace("[NET_RAW]", "[cap_net_raw, net_admn]");
    let text = text.replace("nodes: [ london-01 ]", "Nodes: [ lodnon-01 ]");
    let expected = JOB.replace("[NET_RAW]", "[NET_RAW, NET_ADMIN]");
    assert_eq!(fixed(&text), expected);
}

/// Jobs that all want the same minute each get another one, and each is moved once: a hundred of them, so
/// that moving all to one place and apart again would never end.
#[test]
fn conflicts_are_moved_apart_until_none_is_left() {
    let (testbed, job) = JOB.split_once("# a job\n").unwrap();
    let jobs: Vec<_> =
        (0..100).map(|index| job.replace("name: ping", &format!("name: ping-{index}"))).collect();
    let text = format!("{testbed}{}", jobs.join("---\n"));
    // Eight of its conflicts are shown for each, as far as it has them, and then how many more there are.
    let shown = 36 + 91 * 8;
    assert_eq!(findings(&text).len(), shown + 91);
    let fixed = fix(vec![read("a.yaml", &text)], now());
    assert_eq!(fixed.report.findings, []);
    let old = text.lines().count();
    let changed = text.lines().zip(fixed.sources[0].text().lines()).filter(|(a, b)| a != b);
    assert_eq!((changed.count(), fixed.sources[0].text().lines().count()), (99, old));
    assert_eq!(fixed.findings.len(), shown, "one round is enough");
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-validate"));
    let output =
        command.current_dir(folder).args(arguments).args(["--now", "2026-11-24T00:00:00Z"]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_changes_the_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("jobs")).unwrap();
    let wrong = format!("\u{feff}{}", job("    container:", "    contaner:").replace('\n', "\r\n"));
    fs::write(path("jobs/a.yaml"), &wrong).unwrap();
    fs::set_permissions(path("jobs/a.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let user = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: bob }\nspec: { role: Admin, teem: x }";
    fs::write(path("b.yaml"), user).unwrap();
    fs::write(path("c.yaml"), "").unwrap();
    let untouched = fs::metadata(path("c.yaml")).unwrap().modified().unwrap();

    let (code, stdout, stderr) = run(folder.path(), &["check", "--fix"]);
    assert_eq!((code, untimed(&stdout).as_str()), (0, "3 files checked, nothing found\n"));
    assert_eq!(
        stderr,
        "fixed[invalid-value] b.yaml:4:15: replace it with `admin`\n\
         fixed[unknown-field] b.yaml:4:22: rename `teem` to `team`\n\
         fixed[unknown-field] jobs/a.yaml:26:5: rename `contaner` to `container`\n\
         fixed 3 findings in 2 files\n"
    );
    assert_eq!(fs::read_to_string(path("jobs/a.yaml")).unwrap(), wrong.replace("contaner", "container"));
    assert_eq!(
        fs::read_to_string(path("b.yaml")).unwrap(),
        user.replace("Admin", "admin").replace("teem", "team")
    );
    assert_eq!(fs::metadata(path("jobs/a.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(path("c.yaml")).unwrap().modified().unwrap(), untouched);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["b.yaml", "c.yaml", "jobs"], "nothing is left behind");

    let (_, _, stderr) = run(folder.path(), &["check", "--fix"]);
    assert_eq!(stderr, "nothing to fix\n");
}

#[test]
fn the_command_ends_by_what_is_left_and_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let wrong = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: bob }\nspec: { teem: x }\n";
    fs::write(outside.path().join("a.yaml"), wrong).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("a.yaml"), folder.path().join("a.yaml")).unwrap();
    fs::write(folder.path().join("b.yaml"), format!("{wrong}---\nkind: Job\n")).unwrap();

    let (code, stdout, stderr) = run(folder.path(), &["check", "--fix", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, report["summary"]["errors"].as_u64()), (1, Some(5)), "{stdout}");
    assert!(stderr.ends_with("fixed 1 finding in 1 file\n"), "{stderr}");
    assert_eq!(fs::read_to_string(outside.path().join("a.yaml")).unwrap(), wrong);
    assert!(fs::symlink_metadata(folder.path().join("a.yaml")).unwrap().is_symlink());
}
