use std::{path::Path, sync::Arc, time::Duration};

use chrono::DateTime;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use almanac_proto::{Endpoint, Identity, identity};
use almanac_schemas::{
    Instant, Size,
    trigger::{Provider, Value, samples::Sample},
};

use super::*;
use crate::{
    journal::Journal,
    kernel::Kernel,
    link::Link,
    run::Order,
    runtime::Process,
    state_dir::StateDir,
    telemetry::{Reading, Telemetry},
};

struct Place {
    folder: TempDir,
    telemetry: Telemetry,
    serving: Serving,
}

fn order(trigger: &str) -> Order {
    let spec = format!(
        r#"{{"owner":"alice","nodes":["n"],"schedule":{{"at":"2027-01-15T08:00:00Z","length":"2m"}},
            "container":{{"image":"busybox"}}{trigger}}}"#
    );
    let at = Instant("2027-01-15T08:00:00Z".parse().unwrap());
    Order {
        job: "job".parse().unwrap(),
        node: "n".parse().unwrap(),
        role: almanac_schemas::RunRole::Client,
        peer: None,
        scheduled_at: at,
        begin_at: None,
        start_by: at,
        spec: serde_json::from_str(&spec).unwrap(),
        limits: almanac_schemas::node::Limits::default(),
        network: "almanac".to_owned(),
        commit: String::new(),
    }
}

/// A run that is answered, with a reconciler that is not there.
async fn place(trigger: &str) -> Place {
    // Longer than the path of a socket may be.
    let folder = tempfile::Builder::new().prefix(&"x".repeat(100)).tempdir().unwrap();
    identity::generate(&folder.path().join("key"), "n").unwrap();
    let who = Identity::read(&folder.path().join("key"), "n".parse().unwrap(), "almanac").unwrap();
    let connection = Endpoint::new("http://127.0.0.1:9", false).unwrap().connect(Some(who)).unwrap();
    let (link, _) = Link::new("n".parse().unwrap(), connection);
    let state_dir = Arc::new(StateDir::open(&folder.path().join("state")).unwrap());
    let journal = Journal::open(&state_dir.journal()).await.unwrap();
    let runtime = Arc::new(Process::new(state_dir.runs(), String::new(), Size::from_bytes(1 << 20)));
    let kernel = Kernel::new(link, runtime, Arc::default(), journal, state_dir, String::new());
    let telemetry = Telemetry::new();
    let desk = Desk::new(order(trigger), "{}".to_owned(), telemetry.clone(), kernel);
    let serving = serve(folder.path(), desk).unwrap();
    Place { folder, telemetry, serving }
}

async fn connect(folder: &Path) -> UnixStream {
    use std::os::fd::AsRawFd;
    let folder = std::fs::File::open(folder).unwrap();
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())).await.unwrap()
}

async fn get(place: &Place, path: &str) -> (String, Json) {
    let mut stream = connect(place.folder.path()).await;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

fn reading(latency: f64) -> Reading {
    let sample = Sample::from([("pop_ping_latency_ms".to_owned(), Value::Number(latency))]);
    Reading { provider: Provider::Dish, at: DateTime::UNIX_EPOCH, sample: Some(sample) }
}

#[tokio::test]
async fn telemetry_and_the_trigger_are_as_they_are_now() {
    let trigger = r#","trigger":{"when":"dish.pop_ping_latency_ms > 60.0 && weather.rain_1h > 0.0"}"#;
    let place = place(trigger).await;
    let (status, found) = get(&place, "/trigger").await;
    assert_eq!((status.as_str(), &found["holds"]), ("200", &Json::Null));
    assert_eq!(found["missing"], serde_json::json!(["dish.pop_ping_latency_ms", "weather.rain_1h"]));
    assert_eq!(*place.telemetry.wanted().borrow(), 1, "from now on, somebody wants them");
    place.telemetry.record(reading(50.0));
    let (_, found) = get(&place, "/trigger").await;
    assert_eq!(found["holds"], false, "whatever the rain is");
    assert_eq!(found["seen"], serde_json::json!({"dish.pop_ping_latency_ms": 50.0}));
    let (_, found) = get(&place, "/telemetry").await;
    let expected = serde_json::json!({"at": "1970-01-01T00:00:00Z", "sample": {"pop_ping_latency_ms": 50.0}});
    assert_eq!(found, serde_json::json!({"dish": expected}));
    assert_eq!(*place.telemetry.wanted().borrow(), 1);
    assert_eq!(get(&place, "/kernel/sysctl/net.ipv4.tcp_rmem").await.0, "403");
    let mut wanted = place.telemetry.wanted();
    drop(place.serving);
    wanted.wait_for(|count| *count == 0).await.unwrap();
}

/// The data of the next event, and how many were too many before it.
async fn event(lines: &mut tokio::io::Lines<BufReader<UnixStream>>) -> (Json, u64) {
    let mut skipped = 0;
    loop {
        let line = timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some(data) = line.strip_prefix("data: ") {
            return (serde_json::from_str(data).unwrap(), skipped);
        }
        if let Some(comment) = line.strip_prefix(": ") {
            skipped += comment.split(' ').next().unwrap().parse::<u64>().unwrap_or(0);
        }
    }
}

#[tokio::test]
async fn a_stream_tells_each_reading_and_whoever_is_slow_gets_what_is_new() {
    let place = place("").await;
    place.telemetry.record(reading(0.0));
    let mut stream = connect(place.folder.path()).await;
    stream.write_all(b"GET /telemetry/stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let latency = |event: &Json| event["sample"]["pop_ping_latency_ms"].as_f64().unwrap();
    assert_eq!(latency(&event(&mut lines).await.0), 0.0, "the latest comes first");
    for number in 1..=5 {
        place.telemetry.record(reading(f64::from(number)));
        let (told, skipped) = event(&mut lines).await;
        assert_eq!((latency(&told), skipped), (f64::from(number), 0));
        assert_eq!(told["provider"], "dish");
    }
    // More than a socket holds: what does not fit is not kept anywhere.
    let last = 200_000;
    for number in 6..=last {
        place.telemetry.record(reading(f64::from(number)));
        tokio::task::yield_now().await;
    }
    let (mut told, mut skipped, mut at) = (0, 0, 0.0);
    while at < f64::from(last) {
        let (reading, too_many) = event(&mut lines).await;
        assert!(latency(&reading) > at, "none comes twice");
        at = latency(&reading);
        (told, skipped) = (told + 1, skipped + too_many);
    }
    assert_eq!(told + skipped, u64::try_from(last).unwrap() - 5, "{told} told");
    assert!(skipped > 100_000, "{skipped}");
}
