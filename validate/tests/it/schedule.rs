//! `schedule`: what it shows, in each form.

use std::{collections::BTreeSet, path::Path};

use almanac_schemas::Instant;
use icalendar::{CalendarDateTime, Component, DatePerhapsTime, EventLike, parser};

use crate::{
    command::{USER, folder, run, text},
    git::World,
};

/// Monday; clocks in London go forward on the Sunday after it.
const NOW: [&str; 2] = ["--now", "2027-03-22T10:20:07Z"];

const NODES: &str = r#"
apiVersion: almanac/v1
kind: Node
metadata: { name: london-01 }
spec: { owner: alice, maintenance: [{ cron: "0 3 * * 0", timezone: Europe/London, length: 1h }] }
---
apiVersion: almanac/v1
kind: Node
metadata: { name: paris-01 }
spec: { owner: alice, guard: 30s, cordoned: true }
"#;

const JOBS: &str = r#"
apiVersion: almanac/v1
kind: Job
metadata: { name: throughput-london-paris }
spec:
  owner: alice
  description: "Both directions; TCP, then UDP\nwith a text that is long enough for its line to be folded: äöü€"
  nodes: [london-01]
  schedule: { cron: "5 4-23/6 * * *", end: 2027-04-30T00:00:00Z, length: 40m }
  container: { image: x }
  server: { node: paris-01, container: { image: x, ports: [5201/tcp] }, ready: { tcp: 5201, timeout: 30s } }
---
apiVersion: almanac/v1
kind: Job
metadata: { name: ping }
spec:
  owner: alice
  nodes: [london-01]
  schedule: { cron: "0 */12 * * *", end: 2027-04-30T00:00:00Z, length: 1m30s }
  exclusive: false
  container: { image: x }
---
apiVersion: almanac/v1
kind: Job
metadata: { name: once }
spec:
  owner: alice
  nodes: [london-01]
  schedule: { at: 2027-03-23T22:50:00Z, length: 90m }
  container: { image: x }
"#;

fn testbed() -> tempfile::TempDir {
    folder(&[("alice.yaml", USER), ("nodes.yaml", NODES), ("jobs.yaml", JOBS)])
}

/// What somebody sees who types it.
pub(crate) fn seen(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let code = output.status.code().unwrap();
    let mut seen = format!("$ almanac-validate {}\n{}", arguments.join(" "), text(&output.stdout));
    if !output.stderr.is_empty() {
        seen += &format!("-- standard error\n{}", text(&output.stderr));
    }
    if code != 0 {
        seen += &format!("-- exit code {code}\n");
    }
    seen
}

fn schedule(name: &str, arguments: &[&str]) {
    let testbed = testbed();
    let arguments = [&["schedule", NOW[0], NOW[1]], arguments].concat();
    let seen = seen(testbed.path(), &arguments);
    for line in seen.lines().filter(|line| !line.starts_with('$')) {
        let width = arguments.iter().skip_while(|argument| **argument != "--width").nth(1);
        let width = width.map_or(usize::MAX, |width| width.parse().unwrap());
        // Notes are sentences; a terminal may wrap them.
        assert!(
            line.chars().count() <= width || line.contains("--limit") || line.contains("cordoned"),
            "{line}"
        );
    }
    insta::assert_snapshot!(format!("schedule_{name}").replace(' ', "_"), seen);
}

#[test]
fn tables() {
    schedule("table of a node", &["--node", "london-01", "--for", "2d"]);
    schedule("table of all nodes", &["--for", "1d", "--limit", "5"]);
    schedule("narrow table", &["--for", "1d", "--width", "60"]);
    schedule(
        "table in a zone",
        &[
            "--node",
            "london-01",
            "--from",
            "2027-03-27T23:00:00Z",
            "--for",
            "6h",
            "--timezone",
            "Europe/London",
        ],
    );
    schedule("nothing", &["--node", "paris-01", "--from", "+1h", "--for", "1h"]);
}

#[test]
fn charts() {
    schedule("chart of a node", &["--node", "london-01", "--format", "chart", "--width", "80"]);
    schedule("wide chart of all nodes", &["--for", "2d", "--format", "chart", "--width", "120"]);
    schedule("chart of a day", &["--from", "2027-03-23", "--for", "1d", "--format", "chart", "--ascii"]);
    schedule(
        "chart when clocks go forward",
        &[
            "--node",
            "london-01",
            "--from",
            "2027-03-27T12:00:00Z",
            "--for",
            "2d",
            "--format",
            "chart",
            "--timezone",
            "Europe/London",
        ],
    );
    schedule("chart that is cut", &["--format", "chart", "--limit", "3"]);
}

#[test]
fn json() {
    schedule("json", &["--from", "2027-03-23T22:00:00Z", "--for", "3h", "--format", "json"]);
}

#[test]
fn what_is_wrong_is_said() {
    schedule("unknown node", &["--node", "londn-01"]);
    schedule("no time", &["--from", "+1d", "--to", "now"]);
    let testbed = testbed();
    for name in ["a", "b"] {
        let job = JOBS
            .replace("throughput-london-paris", &format!("{name}-1"))
            .replace("ping", &format!("{name}-2"));
        std::fs::write(testbed.path().join(format!("{name}.yaml")), job).unwrap();
    }
    insta::assert_snapshot!(
        "schedule_of_an_invalid_testbed",
        seen(testbed.path(), &["schedule", NOW[0], NOW[1]])
    );
}

/// The text is read by a parser that is not ours.
#[test]
fn a_revision_has_a_calendar_too() {
    let world = World::new();
    let repo = world.repo("repo");
    repo.write("all.yaml", &(USER.to_owned() + "---" + NODES + "---" + JOBS)).commit();
    repo.write("all.yaml", "not: a manifest");
    let shown = repo.run(&["schedule", "--rev=HEAD", NOW[0], NOW[1], "--for=1h"]);
    assert_eq!((shown.code, shown.stdout.lines().count()), (0, 3), "{shown:?}");
    let slot = repo.run(&["slot", "--rev=HEAD", NOW[0], NOW[1], "--node=london-01", "--length=5m"]);
    assert_eq!(slot.code, 0, "{slot:?}");
    let shown = repo.run(&["schedule", NOW[0], NOW[1]]);
    assert_eq!(shown.code, 1);
    assert!(shown.stderr.ends_with("run `almanac-validate check`\n"), "{}", shown.stderr);
}

#[test]
fn icalendar() {
    let testbed = testbed();
    let output = run(
        testbed.path(),
        &["schedule", NOW[0], NOW[1], "--from", "2027-03-23", "--for", "7d", "--format", "ical"],
    );
    let written = text(&output.stdout);
    assert_eq!(written.matches('\n').count(), written.matches("\r\n").count(), "a line ends otherwise");
    let lines: Vec<_> = written.split_terminator("\r\n").collect();
    assert!(lines.iter().all(|line| line.len() <= 75), "{written}");
    assert!(lines.iter().any(|line| line.starts_with(' ')), "no line is folded, so that this shows nothing");

    let unfolded = parser::unfold(written);
    let calendar: icalendar::Calendar = parser::read_calendar(&unfolded).unwrap().into();
    assert_eq!(calendar.property_value("VERSION"), Some("2.0"));
    let events: Vec<&icalendar::Event> =
        calendar.components.iter().filter_map(|part| part.as_event()).collect();
    // 7 days of 4 runs on two nodes and 2 shared runs, one run once, one window.
    assert_eq!(events.len(), 7 * (4 * 2 + 2) + 1 + 1);
    let uids: BTreeSet<_> = events.iter().map(|event| event.get_uid().unwrap()).collect();
    assert_eq!(uids.len(), events.len(), "an identifier occurs twice");

    let first = events
        .iter()
        .find(|event| event.get_summary() == Some("throughput-london-paris on paris-01"))
        .unwrap();
    let instant = |time: Option<DatePerhapsTime>| match time {
        Some(DatePerhapsTime::DateTime(CalendarDateTime::Utc(instant))) => Instant(instant).to_string(),
        other => panic!("{other:?} is not an instant in UTC"),
    };
    assert_eq!(instant(first.get_start()), "2027-03-23T04:05:00Z");
    assert_eq!(instant(first.get_end()), "2027-03-23T04:45:00Z");
    assert_eq!(first.get_timestamp().unwrap().to_rfc3339(), "2027-03-22T10:20:07+00:00");
    assert_eq!(
        first.get_description().unwrap().replace("\\n", "\n").replace("\\;", ";").replace("\\,", ","),
        "Role: server\nOwner: alice\nBoth directions; TCP, then UDP\nwith a text that is long enough for its line to be folded: äöü€"
    );
    assert_eq!(first.get_location(), Some("paris-01"));
    assert_eq!(first.property_value("TRANSP"), Some("OPAQUE"));
    let ping = events.iter().find(|event| event.get_summary() == Some("ping on london-01")).unwrap();
    assert_eq!(ping.property_value("TRANSP"), Some("TRANSPARENT"));

    // The same question has the same answer, to the byte.
    let again = run(
        testbed.path(),
        &["schedule", NOW[0], NOW[1], "--from", "2027-03-23", "--for", "7d", "--format", "ical"],
    );
    assert_eq!(output.stdout, again.stdout);
}
