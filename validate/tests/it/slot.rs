//! `slot`: what it finds, and that it fits.

use std::{fs, path::Path, sync::Arc};

use almanac_schemas::Instant;
use almanac_validate::{Entry, Source, check};
use proptest::prelude::*;

use crate::{
    calendars::{Case, at, case, every},
    command::{USER, folder, run, text},
    schedule::seen,
};

const NOW: [&str; 2] = ["--now", "2027-01-14T10:20:07Z"];

const NODES: &str = r#"
apiVersion: almanac/v1
kind: Node
metadata: { name: london-01 }
spec: { owner: alice, maintenance: [{ cron: "0 3 * * 0", length: 1h }] }
---
apiVersion: almanac/v1
kind: Node
metadata: { name: paris-01 }
spec: { owner: alice, guard: 30s, cordoned: true }
---
apiVersion: almanac/v1
kind: Node
metadata: { name: idle-01 }
spec: { owner: alice }
"#;

const JOBS: &str = r#"
apiVersion: almanac/v1
kind: Job
metadata: { name: throughput }
spec:
  owner: alice
  nodes: [london-01, paris-01]
  schedule: { cron: "20-59/30 * * * *", end: 2027-04-30T00:00:00Z, length: 8m }
  container: { image: x }
"#;

/// Leaves the hour of the maintenance out, without which it would not be valid.
fn testbed() -> tempfile::TempDir {
    let jobs = JOBS.replace("20-59/30 * * * *", "20-59/30 0-2,4-23 * * *");
    folder(&[("alice.yaml", USER), ("nodes.yaml", NODES), ("jobs.yaml", &jobs)])
}

#[test]
fn what_is_found_and_what_is_not() {
    let testbed = testbed();
    for (name, arguments) in [
        ("once", "--node london-01 --length 10m"),
        ("long", "--node london-01 --node paris-01 --length 40m"),
        ("whole seconds", "--node london-01 --length 21m50s"),
        ("idle", "--node idle-01 --length 1h --after 2027-02-01 --before 2027-02-02"),
        ("recurring", "--node idle-01 --length 10m --every 2h"),
        ("pair", "--node paris-01 --node paris-01 --length 10m --every 30m"),
        ("weekly", "--node london-01 --length 20m --every 1w"),
        ("fewer hours", "--node london-01 --length 10m --every 1h"),
        ("too long", "--node paris-01 --length 25m --every 30m"),
        ("no gap", "--node london-01 --length 2h --before +1d"),
        ("own guard", "--node idle-01 --length 1h --every 1h"),
        ("too short", "--node london-01 --length 1s"),
        ("inexpressible", "--node london-01 --length 1m --every 45m"),
        ("no time", "--node london-01 --length 1m --before -1d"),
        ("unknown node", "--node london-1 --length 1m"),
        ("long window", "--node london-01 --length 1m --every 1h --before +3y"),
    ] {
        let arguments: Vec<_> = ["slot"].into_iter().chain(NOW).chain(arguments.split(' ')).collect();
        insta::assert_snapshot!(format!("slot_{name}").replace(' ', "_"), seen(testbed.path(), &arguments));
    }
}

/// Testbeds as files, with only those jobs and windows that are in nobody's way.
fn valid(case: &Case) -> Vec<(String, String)> {
    let document = |kind: &str, name: &str, spec: &str| {
        format!("apiVersion: almanac/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n")
    };
    let mut files = vec![("alice.yaml".to_owned(), USER.to_owned())];
    for index in 0..Case::NODES {
        let name = format!("n{index}");
        files.push((format!("{name}.yaml"), document("Node", &name, &case.node(index))));
    }
    for (index, spec) in case.jobs().enumerate() {
        let name = format!("j{index}");
        files.push((format!("{name}.yaml"), document("Job", &name, &spec)));
        let read =
            |(path, text): &(String, String)| Arc::new(Source::read(path, Entry::File(text.as_bytes())));
        let sources: Vec<_> = files.iter().map(read).collect();
        if !check(&sources, at(0)).sound {
            files.pop();
        }
    }
    files
}

/// Pastes what was found into a manifest, and checks the folder with it.
fn paste(folder: &Path, block: &str, nodes: &str, now: &str) -> Result<(), TestCaseError> {
    let job = format!(
        "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: pasted }}\nspec:\n  owner: alice\n  nodes: {nodes}\n{block}  container: {{ image: x }}\n"
    );
    fs::write(folder.join("pasted.yaml"), &job).unwrap();
    let output = run(folder, &["check", "--now", now]);
    let checked = text(&output.stdout);
    prop_assert_eq!(output.status.code(), Some(0), "{}\n{}", job, checked);
    // Other jobs may deserve a warning; this one does not.
    prop_assert!(!checked.contains("pasted"), "{}\n{}", job, checked);
    Ok(())
}

proptest! {
    // Each case runs processes.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_fits(
        case in case(), from in 0..60_000i64, span in 3_600..200_000i64,
        length in prop_oneof![10..120i64, 120..3_000i64],
        every in prop::option::of(every()),
        both in any::<bool>(),
    ) {
        let files = valid(&case);
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let folder = folder(&files);
        let [now, before] = [from, from + span].map(|seconds| Instant(at(seconds)).to_string());
        let length = format!("{length}s");
        let mut arguments = vec!["slot", "--now", &now, "--before", &before, "--length", &length, "--node", "n0"];
        if both {
            arguments.extend(["--node", "n1"]);
        }
        if let Some(every) = every {
            arguments.extend(["--every", every]);
        }
        let output = run(folder.path(), &arguments);
        let (found, said) = (text(&output.stdout), text(&output.stderr));
        let nodes = if both { "[n0, n1]" } else { "[n0]" };
        match output.status.code() {
            Some(0) => paste(folder.path(), found, nodes, &now)?,
            Some(1) => {
                prop_assert!(found.is_empty() && said.starts_with("error: no "), "{}", said);
                // What it proposes instead fits as well.
                let proposed = said.split_once("help: `cron: \"").and_then(|(_, rest)| rest.split_once('"'));
                if let Some((cron, _)) = proposed {
                    let block = format!(
                        "  schedule: {{ cron: \"{cron}\", start: {now}, end: {before}, length: {length} }}\n"
                    );
                    paste(folder.path(), &block, nodes, &now)?;
                }
            }
            other => prop_assert!(false, "exit code {:?}: {}", other, said),
        }
    }
}
