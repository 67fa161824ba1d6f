//! What is told to those who run the program: metrics, readiness, and a line for each request.

use std::{collections::BTreeMap, fs};

use almanac_proto::v1;
use serde_json::Value;

use crate::harness::{Heart, Testbed, event, instant};

/// The samples of `/metrics`, by name and labels as they are written.
async fn samples(testbed: &Testbed) -> BTreeMap<String, f64> {
    let (status, text) = testbed.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

async fn sample(testbed: &Testbed, name: &str) -> f64 {
    samples(testbed).await.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn the_page_lists_what_is_exposed() {
    let testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Deploying)]).await;
    let (_, text) = testbed.get("/metrics").await;
    let exposed: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let listed: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `almanac_")?.split_once("` | "))
        .filter(|(name, _)| !name.contains(' '))
        .map(|(name, rest)| (name, rest.split(" | ").next().unwrap()))
        .collect();
    let exposed: BTreeMap<&str, &str> =
        exposed.iter().map(|(name, kind)| (name.strip_prefix("almanac_").unwrap(), *kind)).collect();
    assert_eq!(listed, exposed);
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        assert!(line.split_whitespace().count() > 4, "a help that helps: {line}");
    }
}

#[tokio::test]
async fn what_happens_is_counted() {
    let testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T00:00:00Z");
    // The second step is two seconds after the instant; see `event`.
    let steps = vec![
        event("ping", "london-01", at, 1, v1::Phase::Deploying),
        event("ping", "london-01", at, 2, v1::Phase::Running),
        event("ping", "london-01", at, 3, v1::Phase::Failed),
    ];
    testbed.report("london-01", steps.clone()).await;
    // What was recorded before is not counted again.
    testbed.report("london-01", steps).await;
    let beat = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    let clock = Some(v1::ClockOffset { offset_micros: -3_200_000, round_trip_micros: 40_000 });
    let mut heart = Heart::open(&mut testbed.agent("london-01"), beat).await.unwrap();
    heart.beat(v1::HeartbeatRequest { clock, ..Default::default() }).await.unwrap();
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let agent = testbed.agent("london-01").watch_desired_state(request.clone()).await.unwrap();
    let second = testbed.agent("london-01").watch_desired_state(request).await.unwrap();
    let (mut first, mut second) = (agent.into_inner(), second.into_inner());
    assert!(first.message().await.unwrap().is_some() && second.message().await.unwrap().is_some());
    assert_eq!(testbed.get("/a/path/that/is/made/up").await.0, 404);

    let all = samples(&testbed).await;
    let method = "almanac.v1.NodeService";
    for (name, value) in [
        ("almanac_run_events_total{phase=\"RUNNING\",reason=\"\"}".to_owned(), 1.0),
        ("almanac_run_events_total{phase=\"FAILED\",reason=\"exit_code\"}".to_owned(), 1.0),
        ("almanac_run_start_skew_seconds_sum".to_owned(), 2.0),
        ("almanac_run_start_skew_seconds_count".to_owned(), 1.0),
        ("almanac_heartbeats_total".to_owned(), 2.0),
        ("almanac_heartbeat_streams".to_owned(), 1.0),
        ("almanac_skewed_clocks".to_owned(), 1.0),
        ("almanac_connected_nodes".to_owned(), 1.0),
        ("almanac_watch_streams".to_owned(), 2.0),
        (
            format!("almanac_request_duration_seconds_count{{method=\"/{method}/ReportRuns\",code=\"ok\"}}"),
            2.0,
        ),
        ("almanac_request_duration_seconds_count{method=\"other\",code=\"404\"}".to_owned(), 1.0),
        ("almanac_database_duration_seconds_count{operation=\"record\"}".to_owned(), 2.0),
        ("almanac_sync_duration_seconds_count{outcome=\"applied\"}".to_owned(), 1.0),
        ("almanac_revision_lag_seconds".to_owned(), 0.0),
    ] {
        assert_eq!(all.get(&name), Some(&value), "{name} in {all:#?}");
    }
    assert!(all.keys().all(|name| !name.contains("made/up") && !name.contains("london-01")));
    assert!(all["almanac_connections"] >= 1.0);

    drop((first, second, heart));
    testbed
        .wait_for("the streams to be closed", async || {
            (sample(&testbed, "almanac_watch_streams").await == 0.0).then_some(())
        })
        .await;
    assert_eq!(sample(&testbed, "almanac_connected_nodes").await, 0.0);
    testbed
        .wait_for("the heartbeats to end", async || {
            (sample(&testbed, "almanac_heartbeat_streams").await == 0.0).then_some(())
        })
        .await;
    // Of a stream there is one request, however many heartbeats it had.
    let name = format!(
        "almanac_request_duration_seconds_count{{method=\"/{method}/Heartbeat\",code=\"cancelled\"}}"
    );
    assert_eq!(sample(&testbed, &name).await, 1.0);

    // A head that is not in force.
    testbed.write_job("ping", "bob", "london-1", crate::harness::manifest::HOURLY);
    testbed.push_and_look("wrong").await;
    testbed
        .wait_for("the lag to show", async || {
            let all = samples(&testbed).await;
            let rejected = all.get("almanac_sync_duration_seconds_count{outcome=\"rejected\"}");
            (rejected == Some(&1.0) && all["almanac_revision_lag_seconds"] > 0.0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_source_that_fails_makes_the_program_unready() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--poll-interval", "1s"]).await;
    testbed.wait_applied(&commit).await;
    // A commit is in force before the look that found it has ended.
    testbed
        .wait_for("the first look", async || {
            (testbed.get("/readyz").await == (200, "ok\n".to_owned())).then_some(())
        })
        .await;
    let (status, text) = testbed.get("/readyz?verbose").await;
    assert_eq!(
        (status, &*text),
        (200, "[+]database ok\n[+]source ok\n[+]stopping ok\nreadyz check passed\n")
    );

    let away = testbed.folder().join("away.git");
    fs::rename(testbed.repository.path(), &away).unwrap();
    let text = testbed
        .wait_for("the source to fail", async || {
            let (status, text) = testbed.get("/readyz").await;
            (status == 503).then_some(text)
        })
        .await;
    assert!(text.contains("[+]database ok\n[-]source failed: ") && text.contains(" s ago\n"), "{text}");
    assert_eq!(testbed.get("/readyz?exclude=source").await, (200, "ok\n".to_owned()));
    assert_eq!(testbed.get("/healthz").await, (200, "ok\n".to_owned()), "it lives all the same");

    fs::rename(&away, testbed.repository.path()).unwrap();
    testbed
        .wait_for("the source to be back", async || (testbed.get("/readyz").await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn each_request_is_a_line_at_its_end() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--log-format", "json"]).await;
    testbed.wait_applied(&commit).await;
    testbed.get("/healthz").await;
    testbed.ask("bob").who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let forbidden = testbed.ask("bob").sync_now(v1::SyncNowRequest {}).await.unwrap_err();
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut watch = testbed.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    let lines =
        || -> Vec<Value> { testbed.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let line = |method: &str| {
        lines().into_iter().find(|line| line["path"].as_str().is_some_and(|path| path.ends_with(method)))
    };
    let who = testbed.wait_for("a line", async || line("/WhoAmI")).await;
    assert_eq!(
        (&who["code"], &who["principal"], &who["peer"]),
        (&"ok".into(), &"bob".into(), &"127.0.0.1".into())
    );
    assert!(who["ms"].as_f64().unwrap() > 0.0 && who["bytes"].as_u64().unwrap() > 0);
    let sync = testbed.wait_for("a line", async || line("/SyncNow")).await;
    assert_eq!(sync["code"], "permission_denied");
    // The answer names the line that is about it.
    let id = forbidden.metadata().get("x-request-id").unwrap().to_str().unwrap();
    assert_eq!(sync["span"]["id"], id);
    assert!(line("/WatchDesiredState").is_none(), "it has not ended");
    drop(watch);
    let watched = testbed.wait_for("the end of the stream", async || line("/WatchDesiredState")).await;
    assert_eq!((&watched["code"], &watched["principal"]), (&"cancelled".into(), &"london-01".into()));
    assert!(line("/healthz").is_none(), "probes are not for this level");
}
