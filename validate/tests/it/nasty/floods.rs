//! Much of something: time grows with the size of the input, and what is said stays bounded.

use std::time::{Duration, Instant};

use almanac_validate::Finding;

use super::{NONE, USER, findings, help, job, lines, node};

/// What quadratic time would exceed by far, also in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn in_time(text: &str) -> Vec<Finding> {
    let start = Instant::now();
    let found = findings(text.as_bytes());
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    for finding in &found {
        let texts = [Some(&finding.message), finding.help.as_ref()];
        assert!(texts.into_iter().flatten().all(|text| text.len() < 10_000), "{:.200}", finding.message);
    }
    found
}

#[test]
fn a_file_of_the_largest_size_is_read_and_a_larger_one_is_not() {
    let filled = |size: usize| format!("{USER}#{}", "x".repeat(size - USER.len() - 1));
    assert_eq!(lines(filled(1 << 20)), NONE);
    assert_eq!(
        lines(filled((1 << 20) + 1)),
        ["file-too-large 1:1 the file has 1048577 bytes, at most 1048576 are allowed"]
    );
}

#[test]
fn thousands_of_documents() {
    let users: String =
        (0..9_000).map(|index| format!("{}---\n", USER.replace("alice", &format!("a{index}")))).collect();
    assert_eq!(in_time(&users), []);
    assert_eq!(in_time(&"---\n".repeat(250_000)), []);
    let same = format!("{USER}---\n").repeat(9_000);
    let found = in_time(&same);
    assert_eq!(found.len(), 1_000);
    assert_eq!(found[998].message, "the user `alice` is declared twice");
    assert_eq!(found[999].message, "8000 more findings in this file are not shown");
}

#[test]
fn thousands_of_errors() {
    for (text, count) in [
        ("x: 1\n---\n".repeat(100_000), 1_000),
        ("a: 1\n".repeat(100_000), 1_000),
        ("a: 1\na: 2\n---\n".repeat(50_000), 1_000),
        ("1: 1\n---\n".repeat(50_000), 1_000),
        ("a: !x 1\n---\n".repeat(50_000), 1_000),
        // How often a document is read is bounded.
        (format!("{USER}{}", (0..30_000).map(|index| format!("  x{index}: 1\n")).collect::<String>()), 100),
    ] {
        let found = in_time(&text);
        assert_eq!(found.len(), count, "{text:.20}");
    }
    let nodes: Vec<_> = (0..50_000).map(|index| format!("x{index}")).collect();
    let found = in_time(&job("").replace("[n]", &format!("[{}]", nodes.join(","))));
    assert_eq!(
        (found.len(), found[999].message.as_str()),
        (1_000, "49001 more findings in this file are not shown")
    );
}

#[test]
fn long_lines_and_long_values_are_quoted_in_part() {
    let long = "x".repeat(900_000);
    let short = format!("{}...", "x".repeat(60));
    assert_eq!(lines(USER.replace("admin", &long)), [format!("invalid-value 5:9 unknown value `{short}`")]);
    let key = format!("{USER}  {}: 1\n", &long[..1_000]);
    assert_eq!(lines(key), [format!("unknown-field 6:3 unknown field `{short}`")]);
    in_time(&format!("{USER}  x: {long}\n"));
    in_time(&format!("{USER}  \"{long}\n"));
    let cron = |text: &str| node(&format!("maintenance: [{{ cron: \"{text}\", length: 1h }}]"));
    let found = lines(cron(&format!("*/{} * * * *", "9".repeat(900_000))));
    assert!(found[0].len() < 200 && found[0].contains("a step of `9"), "{found:?}");
    assert_eq!(in_time(&cron(&format!("{}1 * * * *", "1,".repeat(400_000)))), []);
    let many = cron(&"* ".repeat(400_000));
    assert!(lines(&many)[0].contains("found 400000 fields"));
    assert!(help(&many).contains("the fields are minute"));
}
