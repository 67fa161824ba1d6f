//! Many jobs in each other's way: what is said stays as much as a person can read.

use std::{fmt::Write, sync::Arc};

use almanac_validate::{Entry, Source, check};

#[test]
fn each_job_is_told_of_some_conflicts_and_of_how_many_there_are_more() {
    let mut text = "apiVersion: almanac/v1\nkind: User\nmetadata: { name: alice }\nspec: {}\n---\n\
                    apiVersion: almanac/v1\nkind: Node\nmetadata: { name: n }\nspec: { owner: alice }\n"
        .to_owned();
    for job in 10..30 {
        let schedule = "{ cron: \"0 * * * *\", end: 2027-02-01T00:00:00Z, length: 2m }";
        write!(
            text,
            "---\napiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: j{job} }}\nspec: {{ owner: alice, nodes: [n], \
             schedule: {schedule}, container: {{ image: x }} }}\n"
        )
        .unwrap();
    }
    let source = Arc::new(Source::read("a.yaml", Entry::File(text.as_bytes())));
    let report = check(&[source], "2026-11-24T00:00:00Z".parse().unwrap());
    let of = |job: &str| {
        let named = format!("`{job}`");
        let messages = report.findings.iter().map(|finding| finding.message.as_str());
        messages.filter(|message| message.starts_with(&named)).collect::<Vec<_>>()
    };
    assert_eq!(of("j10").len(), 0);
    assert_eq!(of("j18").len(), 8);
    assert_eq!(of("j19").len(), 9);
    assert_eq!(of("j29").len(), 9);
    assert!(
        of("j29").contains(&"`j29` is in the way of 11 more jobs, which are not shown"),
        "{:#?}",
        of("j29")
    );
    assert!(of("j19").contains(&"`j19` is in the way of one more job, which is not shown"));
}
