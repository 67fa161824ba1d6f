//! What the reconciler fetches for nodes: the weather where they stand, and the orbits above them.

use std::{fs, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::{
    clock,
    store::Store,
    surroundings::{FetchRow, Source, Surroundings, Validator},
};
use tokio::time::timeout;
use tonic::Streaming;

use crate::{
    bed::Bed,
    harness::{Answer, Testbed, Web, manifest},
};

/// What is given for the service's key.
const CANARY: &str = "canary-7e0f2b6d";

/// The example of the format's description.
const ISS: &str = "ISS (ZARYA)\n\
    1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927\n\
    2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537\n";

const LONDON: &str = "  coordinates: { latitude: 51.5074, longitude: -0.1278 }\n";
const NEARBY: &str = "  coordinates: { latitude: 51.5101, longitude: -0.1301 }\n";
const BOTH: &str = "  telemetry: { weather: {}, satellites: {} }\n";

fn rain(temperature: f64) -> String {
    format!(
        r#"{{"weather":[{{"id":500,"main":"Rain"}}],"main":{{"temp":{temperature:.1}}},"dt":1800000000}}"#
    )
}

fn says(status: u16, body: &str) -> Answer {
    Answer::Says(status, Vec::new(), body.to_owned())
}

/// Writes the settings: where the weather comes from, and where orbits do.
fn configure(testbed: &Testbed, weather: Option<&str>, orbits: Option<&str>) {
    let key = testbed.folder().join("weather.key");
    if !key.exists() {
        fs::write(&key, format!("{CANARY}\n")).unwrap();
    }
    let mut text = manifest::config("retention: 1d");
    if let Some(url) = weather {
        text += &format!("  weather: {{ url: \"{url}\", apiKey: {{ fromFile: {} }} }}\n", key.display());
    }
    if let Some(tle) = orbits {
        text += &format!("  satellites: {{ tle: \"{tle}\" }}\n");
    }
    testbed.repository.write("config.yaml", text);
}

/// A testbed with two nodes whose manifests say this besides.
async fn testbed(london: &str, paris: &str, weather: Option<&str>, orbits: Option<&str>) -> Testbed {
    let mut testbed = Testbed::prepare();
    for (name, more) in [("london-01", london), ("paris-01", paris)] {
        let key = fs::read_to_string(testbed.folder().join(format!("{name}.pub")));
        let key = key.unwrap_or_else(|_| testbed.make_key(name));
        testbed.repository.write(&format!("nodes/{name}.yaml"), manifest::node(name, key.trim(), more));
    }
    configure(&testbed, weather, orbits);
    let commit = testbed.repository.push("nodes that measure");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--log", "trace"]).await;
    testbed.wait_applied(&commit).await;
    testbed
}

/// A node's stream, as far as what is fetched is concerned.
struct Node {
    stream: Streaming<v1::WatchDesiredStateResponse>,
    weather: Vec<v1::Weather>,
    orbits: Vec<v1::Orbits>,
}

impl Node {
    async fn watch(testbed: &Testbed, name: &str) -> Self {
        Self { stream: testbed.watch(name).await, weather: Vec::new(), orbits: Vec::new() }
    }

    async fn next(&mut self) {
        let message =
            timeout(Duration::from_secs(60), self.stream.message()).await.expect("a message in time");
        let message = message.unwrap().expect("the stream goes on");
        self.weather.extend(message.weather);
        self.orbits.extend(message.orbits);
    }

    /// Waits for the weather to say something.
    async fn weather(&mut self, what: impl Fn(&v1::Weather) -> bool) -> v1::Weather {
        while !self.weather.last().is_some_and(&what) {
            self.next().await;
        }
        self.weather.last().unwrap().clone()
    }

    /// Waits for orbits to say something.
    async fn orbits(&mut self, what: impl Fn(&v1::Orbits) -> bool) -> v1::Orbits {
        while !self.orbits.last().is_some_and(&what) {
            self.next().await;
        }
        self.orbits.last().unwrap().clone()
    }
}

fn unpacked(orbits: &v1::Orbits) -> String {
    String::from_utf8(zstd::bulk::decompress(&orbits.tle_zstd, 1 << 20).unwrap()).unwrap()
}

/// The condition of a node, or of the testbed.
async fn unfetched(testbed: &Testbed, node: Option<&str>) -> Option<(bool, String, String)> {
    let conditions = match node {
        Some(name) => {
            let request = v1::GetNodeRequest { name: name.to_owned() };
            testbed.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap().conditions
        }
        None => testbed.status().await.conditions,
    };
    let found = conditions.into_iter().find(|condition| condition.r#type == "Unfetched")?;
    Some((found.status, found.reason, found.message))
}

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
async fn a_service_that_nobody_wants_is_not_asked() {
    let web = Web::start(says(200, &rain(7.5))).await;
    let testbed = testbed(LONDON, "", Some(&web.url("/")), Some(&web.url("/tle"))).await;
    let mut london = Node::watch(&testbed, "london-01").await;
    london.next().await;
    testbed.push("another commit").await;
    assert!(web.asked().is_empty());
    assert_eq!((unfetched(&testbed, None).await, unfetched(&testbed, Some("london-01")).await), (None, None));
    assert!(london.weather.is_empty() && london.orbits.is_empty());
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

#[tokio::test]
async fn what_is_missing_in_manifests_is_told() {
    let both = format!("{LONDON}{BOTH}");
    let testbed = testbed(&both, BOTH, None, None).await;
    let mut london = Node::watch(&testbed, "london-01").await;
    let weather = london.weather(|_| true).await;
    assert!(weather.json.is_empty() && weather.problem.contains("`Config` has no `weather`"));
    let orbits = london.orbits(|_| true).await;
    assert!(orbits.tle_zstd.is_empty() && orbits.problem.contains("`Config` has no `satellites`"));
    let mut paris = Node::watch(&testbed, "paris-01").await;
    assert!(paris.weather(|_| true).await.problem.contains("no `coordinates`"));
    let (holds, reason, message) = unfetched(&testbed, Some("paris-01")).await.unwrap();
    assert!(holds && reason == "NoSource" && message.contains("satellites: "), "{message}");
    assert!(unfetched(&testbed, None).await.unwrap().2.contains("1 of 2 nodes: "));
}

#[tokio::test]
async fn orbits_are_fetched_when_they_changed_and_replaced_when_they_are_sound() {
    let web = Web::start(Answer::Tagged("\"1\"", ISS.to_owned())).await;
    let both = format!("{LONDON}  telemetry: {{ satellites: {{}} }}\n");
    let mut testbed = testbed(&both, "", None, Some(&web.url("/tle?GROUP=starlink"))).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    let orbits = node.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;
    assert_eq!((unpacked(&orbits).as_str(), orbits.problem.as_str()), (ISS, ""));
    assert_eq!(web.asked()[0].query, "GROUP=starlink");
    assert!(web.asked()[0].headers.get("if-none-match").is_none());

    // What is no orbit does not take the place of orbits, and they are not sent again for that.
    for (number, (answer, expected)) in (1..).zip([
        (says(200, "No GP data found"), "no element set"),
        (says(200, &ISS[..ISS.len() - 9]), "line 3 has"),
        (says(200, &ISS.replace("51.6416", "51.6417")), "the checksum of line 3"),
        (Answer::Says(403, vec![("retry-after", "7200".to_owned())], String::new()), "403"),
        (Answer::Closes, "the request failed"),
    ]) {
        web.answers(answer);
        configure(&testbed, None, Some(&web.url(&format!("/{number}"))));
        testbed.push(expected).await;
        testbed
            .wait_for(expected, async || {
                let (holds, _, message) = unfetched(&testbed, Some("london-01")).await?;
                (holds && message.contains(expected)).then_some(())
            })
            .await;
    }
    testbed.crash_and_serve().await;
    let commit = testbed.repository.push("after the restart");
    testbed.wait_applied(&commit).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    assert_eq!(node.orbits(|_| true).await, orbits, "what was fetched once stays");

    let asked = web.asked().len();
    web.answers(Answer::Tagged("\"2\"", ISS.repeat(2)));
    configure(&testbed, None, Some(&web.url("/new")));
    testbed.push("a new address").await;
    let newer = node.orbits(|newer| newer.fetched_at != orbits.fetched_at).await;
    assert_eq!(unpacked(&newer), ISS.repeat(2));
    assert_eq!((web.asked().len(), node.orbits.len()), (asked + 1, 2));
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starlink.tle");
    fs::write(&path, ISS).unwrap();
    let both = format!("{LONDON}  telemetry: {{ satellites: {{}} }}\n");
    let testbed = testbed(&both, "", None, Some(path.to_str().unwrap())).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    assert_eq!(unpacked(&node.orbits(|orbits| !orbits.tle_zstd.is_empty()).await), ISS);
    testbed.push("it is looked at, and is the same").await;
    fs::write(&path, "cut").unwrap();
    testbed.push("it is looked at").await;
    testbed
        .wait_for("the file to be refused", async || {
            unfetched(&testbed, Some("london-01")).await?.2.contains("no element set").then_some(())
        })
        .await;
    fs::write(&path, ISS.repeat(3)).unwrap();
    testbed.push("it is looked at again").await;
    let newer = node.orbits(|orbits| !orbits.tle_zstd.is_empty() && unpacked(orbits) != ISS).await;
    assert_eq!(unpacked(&newer), ISS.repeat(3));
    assert_eq!(node.orbits.len(), 2, "only what changed is passed on");
}

#[tokio::test]
async fn what_was_fetched_comes_back_as_it_was() {
    let bed = Bed::new();
    let store = Store::open(&bed.settings().database).await.unwrap();
    let now = clock::now();
    let row = FetchRow {
        source: Source::Orbits,
        origin: "0123".to_owned(),
        fetched_at: Some(now),
        validator: Validator { tag: Some("\"1\"".to_owned()), ..Validator::default() },
        tried_at: now,
        again_at: now,
        failures: 0,
        failing_since: None,
        problem: String::new(),
    };
    let content = b"\x28\xb5\x2f\xfd\0\xff";
    store.put_fetch(&row, Some(content)).await.unwrap();
    assert_eq!(store.fetches().await.unwrap(), std::slice::from_ref(&row));
    assert_eq!(store.fetched(Source::Orbits).await.unwrap().unwrap(), content);
    // What fails leaves it.
    let failed = FetchRow {
        failures: 3,
        failing_since: Some(now),
        problem: "a NUL \u{fffd}".to_owned(),
        ..row.clone()
    };
    store.put_fetch(&FetchRow { problem: "a NUL \0".to_owned(), ..failed.clone() }, None).await.unwrap();
    assert_eq!(store.fetches().await.unwrap(), [failed]);
    assert_eq!(store.fetched(Source::Orbits).await.unwrap().unwrap(), content);
    let surroundings = Surroundings::load(&store).await.unwrap();
    let known = surroundings.known();
    assert_eq!(
        (known.contents[&Source::Orbits].at, &known.contents[&Source::Orbits].bytes[..]),
        (now, &content[..])
    );

    // What never went well has nothing to pass on.
    let weather: Source = "weather 51.51 -0.13".parse().unwrap();
    store.put_fetch(&FetchRow { source: weather, fetched_at: None, failures: 1, ..row }, None).await.unwrap();
    assert_eq!(store.fetched(weather).await.unwrap(), None);
    store.forget_fetch(Source::Orbits).await.unwrap();
    assert_eq!(store.fetched(Source::Orbits).await.unwrap(), None);
    surroundings.refresh(&store).await.unwrap();
    assert!(surroundings.known().contents.is_empty());
    assert_eq!(surroundings.known().rows.keys().collect::<Vec<_>>(), [&weather]);
    store.close().await;
}
