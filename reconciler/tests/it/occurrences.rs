//! The schedule as it is listed.

use almanac_proto::{convert::timestamp, v1};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tonic::Code;

use crate::harness::{Testbed, instant, manifest};

fn midnight() -> DateTime<Utc> {
    instant("2030-01-06T00:00:00Z")
}

fn request(hours: i64) -> v1::ListOccurrencesRequest {
    v1::ListOccurrencesRequest {
        from: Some(timestamp(midnight())),
        to: Some(timestamp(midnight() + TimeDelta::hours(hours))),
        ..Default::default()
    }
}

/// `job@node` or `job@node:server` or `@node` for maintenance, with its start.
fn line(occurrence: &v1::Occurrence) -> String {
    let start = DateTime::from_timestamp(occurrence.start.unwrap().seconds, 0).unwrap();
    let role = if occurrence.role() == v1::Role::Server { ":server" } else { "" };
    let start = start.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{} {}@{}{role}", &start[11..16], occurrence.job, occurrence.node)
}

/// An hourly job on London with a server in Paris, a daily one in Paris, maintenance of London at 01:00.
async fn testbed() -> Testbed {
    let mut testbed = Testbed::prepare();
    let key = std::fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let maintenance = "  maintenance: [{ cron: \"30 1 * * *\", length: 15m }]\n";
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", key.trim(), maintenance));
    let iperf = manifest::served_job("iperf", "bob", "london-01", "paris-01", manifest::HOURLY);
    testbed.repository.write("jobs/iperf.yaml", iperf.replace("exclusive: false", "exclusive: true"));
    testbed.write_job("daily", "carol", "paris-01", manifest::DAILY);
    let commit = testbed.repository.push("a schedule");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    testbed
}

async fn list(testbed: &Testbed, request: v1::ListOccurrencesRequest) -> Vec<v1::Occurrence> {
    testbed.ask("dave").list_occurrences(request).await.unwrap().into_inner().occurrences
}

/// Page after page.
async fn paged(testbed: &Testbed, mut request: v1::ListOccurrencesRequest) -> Vec<v1::Occurrence> {
    let mut seen = vec![];
    loop {
        let page = testbed.ask("bob").list_occurrences(request.clone()).await.unwrap().into_inner();
        assert!(!page.occurrences.is_empty() && page.occurrences.len() <= request.page_size as usize);
        seen.extend(page.occurrences);
        if page.next_page_token.is_empty() {
            return seen;
        }
        request.page_token = page.next_page_token;
    }
}

async fn lines(testbed: &Testbed, request: v1::ListOccurrencesRequest) -> Vec<String> {
    list(testbed, request).await.iter().map(line).collect()
}

#[tokio::test]
async fn occurrences_come_in_the_order_of_time_with_servers_and_maintenance() {
    let testbed = testbed().await;
    let listed = list(&testbed, request(3)).await;
    let lines: Vec<_> = listed.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "00:00 iperf@london-01",
            "00:00 iperf@paris-01:server",
            "01:00 iperf@london-01",
            "01:00 iperf@paris-01:server",
            "01:30 @london-01",
            "02:00 iperf@london-01",
            "02:00 iperf@paris-01:server",
        ]
    );
    let run = &listed[0];
    assert_eq!(
        (run.owner.as_str(), run.exclusive, run.maintenance, run.role()),
        ("bob", true, false, v1::Role::Client)
    );
    assert_eq!(run.end.unwrap().seconds - run.start.unwrap().seconds, 60);
    let window = &listed[4];
    assert_eq!((window.owner.as_str(), window.maintenance, window.role()), ("", true, v1::Role::Unspecified));
    assert_eq!(window.end.unwrap().seconds - window.start.unwrap().seconds, 900);
}

#[tokio::test]
async fn occurrences_are_filtered_by_node_job_and_user() {
    let testbed = testbed().await;
    let name = |name: &str| name.to_owned();
    let of = |node: &str, job: &str, user: &str| v1::ListOccurrencesRequest {
        node: name(node),
        job: name(job),
        user: name(user),
        ..request(13)
    };
    assert_eq!(lines(&testbed, of("", "daily", "")).await, ["12:00 daily@paris-01"]);
    assert_eq!(lines(&testbed, of("", "", "carol")).await, ["12:00 daily@paris-01"]);
    assert_eq!(lines(&testbed, of("london-01", "", "carol")).await, [""; 0]);
    let paris = lines(&testbed, of("paris-01", "", "")).await;
    assert_eq!(paris.len(), 14);
    assert!(paris.iter().all(|line| line.contains("@paris-01")), "{paris:?}");
    // A job's own occurrences hold no maintenance; a node's do.
    assert!(!lines(&testbed, of("london-01", "iperf", "")).await.contains(&name("01:30 @london-01")));
    assert!(lines(&testbed, of("london-01", "", "")).await.contains(&name("01:30 @london-01")));
}

#[tokio::test]
async fn occurrences_are_paged_without_a_gap_or_a_repetition() {
    let testbed = testbed().await;
    let whole = list(&testbed, request(26)).await;
    assert_eq!(whole.len(), 26 * 2 + 2 + 1);
    for page_size in [1, 2, 7, 54, 55, 56] {
        let request = v1::ListOccurrencesRequest { page_size, ..request(26) };
        assert_eq!(paged(&testbed, request).await, whole, "pages of {page_size}");
    }
    // 100 where nothing is said.
    let page = testbed.ask("bob").list_occurrences(request(24 * 30)).await.unwrap().into_inner();
    assert_eq!(page.occurrences.len(), 100);
    assert!(!page.next_page_token.is_empty());
}

#[tokio::test]
async fn windows_that_begin_together_are_all_listed_wherever_a_page_ends() {
    let mut testbed = Testbed::prepare();
    let key = std::fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let windows: Vec<_> =
        (1..=11).map(|minutes| format!("{{ cron: \"30 1 * * *\", length: {minutes}m }}")).collect();
    let maintenance = format!("  maintenance: [{}]\n", windows.join(", "));
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", key.trim(), &maintenance));
    let commit = testbed.repository.push("windows");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    let lengths = |listed: &[v1::Occurrence]| -> Vec<i64> {
        listed
            .iter()
            .map(|window| (window.end.unwrap().seconds - window.start.unwrap().seconds) / 60)
            .collect()
    };
    let whole = list(&testbed, request(24)).await;
    assert_eq!(lengths(&whole), (1..=11).collect::<Vec<_>>());
    for page_size in 1..=11 {
        assert_eq!(paged(&testbed, v1::ListOccurrencesRequest { page_size, ..request(24) }).await, whole);
    }
}

#[tokio::test]
async fn a_span_that_is_missing_or_too_long_is_refused() {
    let testbed = testbed().await;
    assert!(testbed.ask("bob").list_occurrences(request(92 * 24)).await.is_ok());
    let wrong = [
        v1::ListOccurrencesRequest { from: None, ..request(1) },
        v1::ListOccurrencesRequest { to: None, ..request(1) },
        request(92 * 24 + 1),
        request(-1),
        v1::ListOccurrencesRequest { page_token: "nonsense".to_owned(), ..request(1) },
        v1::ListOccurrencesRequest { node: "Not A Name".to_owned(), ..request(1) },
    ];
    for request in wrong {
        let refused = testbed.ask("bob").list_occurrences(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
    }
    let refused = testbed.ask("bob").list_occurrences(request(92 * 24 + 1)).await.unwrap_err();
    assert!(refused.message().contains("92"), "{}", refused.message());
    // An empty list would hide that the two were mixed up; no time at all is a span.
    let refused = testbed.ask("bob").list_occurrences(request(-1)).await.unwrap_err();
    assert_eq!(refused.message(), "field `to` is wrong: it is before `from`");
    assert_eq!(list(&testbed, request(0)).await, []);
}
