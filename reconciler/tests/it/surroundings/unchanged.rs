//! What a service says is still the same: it is asked by the tag that it gave, and nothing is passed on anew.

use sqlx::Connection;

use super::{ISS, LONDON, Node, is_due, rain, says, testbed, unfetched, unpacked};
use crate::harness::{Answer, Asked, Tables, Testbed, Web, manifest};

const SATELLITES: &str = "  telemetry: { satellites: {} }\n";

/// What requests said of a header, the first one first.
fn asked(web: &Web, header: &str) -> Vec<Option<String>> {
    let value = |asked: &Asked| Some(asked.headers.get(header)?.to_str().unwrap().to_owned());
    web.asked().iter().map(value).collect()
}

fn some(tag: &str) -> Option<String> {
    Some(tag.to_owned())
}

/// Starts the reconciler again when everything is due.
async fn restart_when_due(testbed: &mut Testbed) {
    testbed.take_daemon().kill();
    is_due(testbed).await;
    testbed.serve().await;
}

/// Waits until so much came of fetching, by the metrics.
async fn came_to(testbed: &Testbed, source: &str, outcome: &str, often: usize) {
    let line = format!("almanac_fetches_total{{source=\"{source}\",outcome=\"{outcome}\"}} {often}\n");
    testbed.wait_for(&line, async || testbed.get("/metrics").await.1.contains(&line).then_some(())).await;
}

#[tokio::test]
async fn a_restarted_reconciler_asks_by_the_tag_and_what_is_the_same_is_not_passed_on() {
    let web = Web::start(Answer::Tagged("\"1\"", ISS.to_owned())).await;
    let london = format!("{LONDON}{SATELLITES}");
    let mut testbed = testbed(&london, "", None, Some(&web.url("/tle"))).await;
    let orbits = Node::watch(&testbed, "london-01").await.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;

    restart_when_due(&mut testbed).await;
    came_to(&testbed, "orbits", "unchanged", 1).await;
    assert_eq!(asked(&web, "if-none-match"), [None, some("\"1\"")]);
    let mut node = Node::watch(&testbed, "london-01").await;
    assert_eq!(node.orbits(|_| true).await, orbits, "they are as old as they were");
    assert_eq!(unfetched(&testbed, None).await.unwrap().1, "Fetched");

    // A second time, while a node listens: it hears of the commit that comes after, and of no orbits before it.
    restart_when_due(&mut testbed).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    came_to(&testbed, "orbits", "unchanged", 1).await;
    assert_eq!(asked(&web, "if-none-match").last(), Some(&some("\"1\"")));
    testbed.repository.write("nodes/more.yaml", manifest::node("rome-01", &testbed.make_key("rome-01"), ""));
    testbed.push("a commit").await;
    node.orbits(|_| true).await;
    assert_eq!((node.orbits.len(), &node.orbits[0]), (1, &orbits));
    // It was looked at, and is not due for hours: another restart asks for nothing.
    let before = web.asked().len();
    testbed.crash_and_serve().await;
    testbed.push("another commit").await;
    assert_eq!(web.asked().len(), before);

    // What is newer comes with a tag of its own.
    web.answers(Answer::Tagged("\"2\"", ISS.repeat(2)));
    restart_when_due(&mut testbed).await;
    came_to(&testbed, "orbits", "fetched", 1).await;
    let newer = Node::watch(&testbed, "london-01").await.orbits(|_| true).await;
    assert_eq!(unpacked(&newer), ISS.repeat(2));
    assert!(newer.fetched_at.unwrap().seconds >= orbits.fetched_at.unwrap().seconds);
    assert_ne!(newer.fetched_at, orbits.fetched_at);
    restart_when_due(&mut testbed).await;
    came_to(&testbed, "orbits", "unchanged", 1).await;
    let tags = asked(&web, "if-none-match");
    assert_eq!(tags[tags.len() - 2..], [some("\"1\""), some("\"2\"")]);
}

#[tokio::test]
async fn a_service_that_only_says_when_it_changed_is_asked_by_that() {
    let changed = "Thu, 01 Jan 2026 00:00:00 GMT";
    let headers = vec![("last-modified", changed.to_owned())];
    let web = Web::start(Answer::Says(200, headers, ISS.to_owned())).await;
    let london = format!("{LONDON}{SATELLITES}");
    let mut testbed = testbed(&london, "", None, Some(&web.url("/tle"))).await;
    let orbits = Node::watch(&testbed, "london-01").await.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;
    web.answers(says(304, ""));
    restart_when_due(&mut testbed).await;
    came_to(&testbed, "orbits", "unchanged", 1).await;
    assert_eq!(asked(&web, "if-modified-since"), [None, some(changed)]);
    assert_eq!(asked(&web, "if-none-match"), [None, None]);
    assert_eq!(Node::watch(&testbed, "london-01").await.orbits(|_| true).await, orbits);
}

#[tokio::test]
async fn a_tag_without_what_it_is_of_is_not_asked_by() {
    let web = Web::start(Answer::Tagged("\"1\"", ISS.to_owned())).await;
    let london = format!("{LONDON}{SATELLITES}");
    let mut testbed = testbed(&london, "", None, Some(&web.url("/tle"))).await;
    let orbits = Node::watch(&testbed, "london-01").await.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;
    testbed.take_daemon().kill();
    is_due(&testbed).await;
    let mut database = Tables::connect(testbed.database()).await;
    sqlx::query("UPDATE surroundings SET fetched_at = NULL").execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    // One that says that nothing changed to somebody who has nothing is mistaken, and asked again.
    web.answers(says(304, ""));
    testbed.serve().await;
    came_to(&testbed, "orbits", "failed", 1).await;
    assert_eq!(asked(&web, "if-none-match"), [None, None]);
    let mut node = Node::watch(&testbed, "london-01").await;
    assert!(node.orbits(|orbits| orbits.tle_zstd.is_empty()).await.problem.contains("304"));
    web.answers(Answer::Tagged("\"1\"", ISS.to_owned()));
    restart_when_due(&mut testbed).await;
    let again = Node::watch(&testbed, "london-01").await.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;
    assert_eq!(unpacked(&again), ISS);
    assert_ne!(again.fetched_at, orbits.fetched_at);
    assert_eq!(asked(&web, "if-none-match"), [None, None, None]);
}

/// A service's weather is small, and its age is what counts.
#[tokio::test]
async fn the_weather_is_always_asked_for_in_full() {
    let web = Web::start(Answer::Tagged("\"1\"", rain(7.5))).await;
    let london = format!("{LONDON}  telemetry: {{ weather: {{}} }}\n");
    let mut testbed = testbed(&london, "", Some(&web.url("/")), None).await;
    let first = Node::watch(&testbed, "london-01").await.weather(|weather| !weather.json.is_empty()).await;
    restart_when_due(&mut testbed).await;
    came_to(&testbed, "weather", "fetched", 1).await;
    assert_eq!(asked(&web, "if-none-match"), [None, None]);
    let mut node = Node::watch(&testbed, "london-01").await;
    let again = node.weather(|weather| weather.fetched_at != first.fetched_at).await;
    assert_eq!(again.json, first.json, "the same weather, seen later");
}
