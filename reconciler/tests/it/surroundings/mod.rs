//! What the reconciler fetches for nodes: the weather where they stand, and the orbits above them.

use std::{fs, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::{
    clock,
    store::Store,
    surroundings::{FetchRow, Source, Surroundings, Validator},
};
use sqlx::Connection;
use tokio::time::timeout;
use tonic::Streaming;

use crate::{
    bed::Bed,
    harness::{Answer, Tables, Testbed, Web, manifest},
};

mod orbits;
mod unchanged;
mod weather;

/// What is given for the service's key.
const CANARY: &str = "canary-7e0f2b6d";

/// The example of the format's description.
pub(crate) const ISS: &str = "ISS (ZARYA)\n\
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

/// The time comes at which everything is fetched again, for whichever reconciler reads it next.
pub(crate) async fn is_due(testbed: &Testbed) {
    let mut database = Tables::connect(testbed.database()).await;
    let done = sqlx::query("UPDATE surroundings SET again_at = 0").execute(&mut database).await.unwrap();
    assert!(done.rows_affected() > 0, "nothing was fetched yet");
    database.close().await.unwrap();
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
