//! The weather: whom it is asked of, what goes wrong with that, and where its key must not be.

use std::fs;

use super::{CANARY, LONDON, NEARBY, Node, configure, rain, says, testbed, unfetched};
use crate::harness::{Answer, Tables, Web, manifest};

#[tokio::test]
async fn neighbours_share_what_is_fetched_and_nobody_else_hears_of_it() {
    let web = Web::start(says(200, &rain(7.5))).await;
    let london = format!("{LONDON}  telemetry: {{ weather: {{}} }}\n");
    let paris = format!("{NEARBY}  telemetry: {{ weather: {{}} }}\n");
    let testbed = testbed(&london, &paris, Some(&web.url("/data?lang=en")), Some("/nowhere")).await;
    let mut first = Node::watch(&testbed, "london-01").await;
    let mut other = Node::watch(&testbed, "paris-01").await;
    let weather = first.weather(|weather| !weather.json.is_empty()).await;
    assert_eq!(weather, other.weather(|weather| !weather.json.is_empty()).await);
    assert!(weather.json.contains("7.5") && weather.problem.is_empty() && weather.fetched_at.is_some());
    let asked = web.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].query, format!("lang=en&lat=51.51&lon=-0.13&units=metric&appid={CANARY}"));
    assert!(first.orbits.is_empty() && other.orbits.is_empty(), "nobody asked for orbits");
    assert_eq!(
        unfetched(&testbed, Some("london-01")).await,
        Some((false, "Fetched".to_owned(), String::new()))
    );
    assert_eq!(unfetched(&testbed, None).await, Some((false, "Fetched".to_owned(), String::new())));

    // A restart asks for nothing that is known.
    let mut testbed = testbed;
    testbed.crash_and_serve().await;
    let commit = testbed.repository.push("nothing");
    testbed.wait_applied(&commit).await;
    let mut again = Node::watch(&testbed, "london-01").await;
    assert_eq!(again.weather(|weather| !weather.json.is_empty()).await, weather);
    assert_eq!((web.asked().len(), again.weather.len()), (1, 1));
}

#[tokio::test]
async fn every_way_to_fail_is_told_and_the_last_weather_stays() {
    let web = Web::start(says(200, &rain(7.5))).await;
    let london = format!("{LONDON}  telemetry: {{ weather: {{}} }}\n");
    let testbed = testbed(&london, "", Some(&web.url("/0")), None).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    let good = node.weather(|weather| !weather.json.is_empty()).await;
    let elsewhere = web.url("/elsewhere");
    let cases = [
        (says(500, "broken"), "the service answered 500"),
        (says(401, &format!("{{\"message\":\"{CANARY}\"}}")), "check the key"),
        (Answer::Says(429, vec![("retry-after", "3600".to_owned())], String::new()), "asked less often"),
        (Answer::Says(302, vec![("location", elsewhere)], String::new()), "redirects are not followed"),
        (Answer::Endless, "longer than 65536 bytes"),
        (says(200, &format!("{{\"main\":\"{}\"}}", "x".repeat(70_000))), "longer than 65536 bytes"),
        (Answer::Closes, "the request failed"),
        (says(200, "<html>"), "not an object in JSON"),
        (says(200, "{\"cod\":200}"), "says nothing of the weather"),
        (says(200, &format!("{{\"main\":{{\"echo\":\"{CANARY}\"}}}}")), "repeats the key"),
        (says(304, ""), "304"),
    ];
    for (number, (answer, expected)) in (1..).zip(cases) {
        web.answers(answer);
        let before = web.asked().len();
        // Another address is asked at once, however long the one before wanted to be left in peace.
        configure(&testbed, Some(&web.url(&format!("/{number}"))), None);
        testbed.push(expected).await;
        let weather = node.weather(|weather| weather.problem.contains(expected)).await;
        assert_eq!((&weather.json, weather.fetched_at), (&good.json, good.fetched_at), "{expected}");
        let (holds, reason, message) = unfetched(&testbed, Some("london-01")).await.unwrap();
        assert!(holds && reason == "FetchFailed" && message.contains(expected), "{message}");
        assert!(message.starts_with("weather: it cannot be fetched: "), "{message}");
        let (holds, _, message) = unfetched(&testbed, None).await.unwrap();
        assert!(holds && message.starts_with("1 of 1 nodes: weather: "), "{message}");
        assert!(web.asked().len() > before);
    }
    assert!(!web.asked().iter().any(|asked| asked.query.contains("elsewhere")));

    // It is tried again by itself, and is well again.
    web.answers(says(200, &rain(8.5)));
    let weather = node.weather(|weather| weather.json.contains("8.5")).await;
    assert_eq!(weather.problem, "");
    assert_eq!(unfetched(&testbed, None).await.unwrap().1, "Fetched");
    assert_eq!(
        testbed.log().matches("cannot fetch what nodes ask for; trying again").count(),
        11,
        "once for each"
    );

    let (_, metrics) = testbed.get("/metrics").await;
    assert!(metrics.contains("almanac_fetches_total{source=\"weather\",outcome=\"failed\"}"), "{metrics}");
    for (what, text) in [
        ("the log", testbed.log()),
        ("metrics", metrics),
        ("what the node heard", format!("{:?}", node.weather)),
    ] {
        assert!(!text.contains(CANARY), "the key is in {what}");
    }
    assert!(!format!("{:?}", testbed.status().await).contains(CANARY));
    let tables = Tables::read(testbed.database()).await;
    assert_eq!(tables.with(CANARY), <[&str; 0]>::default(), "the key is in the database");
    // That is how it would be found, be it in bytes.
    assert!(tables.with("london-01").contains(&"nodes") && tables.with("8.5").contains(&"surroundings"));
    if testbed.database_file().exists() {
        for name in ["almanac.db", "almanac.db-wal"] {
            let bytes = fs::read(testbed.folder().join(name)).unwrap_or_default();
            assert!(
                !bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()),
                "the key is in {name}"
            );
        }
    }
}

#[tokio::test]
async fn a_service_that_does_not_end_its_answer_is_given_up() {
    let web = Web::start(Answer::Stalls).await;
    let london = format!("{LONDON}  telemetry: {{ weather: {{}} }}\n");
    let testbed = testbed(&london, "", Some(&web.url("/")), None).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    node.weather(|weather| weather.problem.contains("longer than 20 s")).await;
}

#[tokio::test]
async fn another_key_counts_soon_and_one_that_is_missing_is_named() {
    let web = Web::start(says(401, "")).await;
    let london = format!("{LONDON}  telemetry: {{ weather: {{}} }}\n");
    let testbed = testbed(&london, "", Some(&web.url("/")), None).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    node.weather(|weather| weather.problem.contains("401")).await;
    web.answers(says(200, &rain(9.5)));
    fs::write(testbed.folder().join("weather.key"), "another\n").unwrap();
    node.weather(|weather| weather.json.contains("9.5")).await;
    assert!(web.asked().last().unwrap().query.ends_with("appid=another"));

    fs::remove_file(testbed.folder().join("weather.key")).unwrap();
    let text = manifest::config("retention: 1d")
        + &format!(
            "  weather: {{ url: \"{}\", apiKey: {{ fromEnv: ALMANAC_NOT_SET_ANYWHERE }} }}\n",
            web.url("/more")
        );
    testbed.repository.write("config.yaml", text);
    testbed.push("another place of the key").await;
    let weather = node.weather(|weather| !weather.problem.is_empty()).await;
    assert!(weather.problem.contains("`ALMANAC_NOT_SET_ANYWHERE` is not set"), "{}", weather.problem);
}
