//! What two nodes measure decides which of them runs: by the weather and the orbits that the reconciler fetches for them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use almanac_tests::{
    Runtime, Testbed, manifest,
    manifest::{Job, soon},
};
use chrono::Utc;
use serde_json::Value;

use crate::kernel::ask;

#[path = "../../node/src/telemetry/satellites/constellation.rs"]
mod constellation;

const KEY: &str = "weather-key-of-this-test";

/// A service that answers as OpenWeatherMap does. It rains in London.
fn weather() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let (status, rain) =
                match (head[0].contains(&format!("appid={KEY}")), head[0].contains("lat=51.5")) {
                    (false, _) => ("401 Unauthorized", ""),
                    (true, true) => ("200 OK", r#""rain": {"1h": 2.5},"#),
                    (true, false) => ("200 OK", ""),
                };
            let body = format!(
                r#"{{"weather": [{{"id": 500, "main": "Rain"}}], "main": {{"temp": 7.5}}, {rain} "dt": {}}}"#,
                Utc::now().timestamp()
            );
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    address
}

/// A testbed whose two nodes know their weather and their sky.
fn testbed() -> Testbed {
    let mut testbed = Testbed::start(Runtime::Docker);
    let file = |name: &str, content: &str| {
        let path = testbed.folder().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (key, tle) =
        (file("weather.key", KEY), file("orbits.tle", &constellation::constellation(2_000, Utc::now())));
    let config = format!(
        "{}  weather: {{ url: \"http://{}/weather\", apiKey: {{ fromFile: {key} }} }}\n  satellites: {{ tle: {tle} }}\n",
        manifest::config(),
        weather()
    );
    testbed.repository.write("config.yaml", config);
    for (name, place) in [
        ("london-01", "latitude: 51.5074, longitude: -0.1278"),
        ("paris-01", "latitude: 48.8566, longitude: 2.3522"),
    ] {
        let key = fs::read_to_string(testbed.folder().join(format!("{name}.pub"))).unwrap();
        let measures = format!(
            "guard: 0s, coordinates: {{ {place} }}, telemetry: {{ weather: {{}}, satellites: {{}} }},"
        );
        testbed.repository.write(
            &format!("nodes/{name}.yaml"),
            manifest::node(name, key.trim()).replace("guard: 0s,", &measures),
        );
    }
    testbed.push("nodes that know their weather and their sky");
    for node in ["london-01", "paris-01"] {
        testbed.start_agent(node);
    }
    testbed
}

/// What a node measures now.
fn measured(testbed: &Testbed, node: &str, provider: &str, field: &str) -> Option<f64> {
    let all = testbed.json("bob", &["nodes", "telemetry", node]);
    let all = all.as_array().unwrap();
    all.iter().find(|value| value["provider"] == provider && value["field"] == field)?["value"].as_f64()
}

#[test]
#[ignore = "needs docker"]
fn a_run_begins_where_it_rains_and_is_skipped_where_it_does_not() {
    let mut testbed = testbed();
    for (node, rain) in [("london-01", 2.5), ("paris-01", 0.0)] {
        testbed.wait_for("both to be measured", |testbed| {
            measured(testbed, node, "satellites", "visible_53").filter(|visible| *visible > 0.0)?;
            (measured(testbed, node, "weather", "rain_1h")? == rain).then_some(())
        });
    }
    let when =
        "weather.rain_1h > 0.0 && satellites.visible_53 > 0.0 && satellites.range_min_53_m < 1200000.0";
    let job = Job::once("rain", "london-01, paris-01", soon(4), "1m", "echo it rains; sleep 6").yaml();
    testbed.repository.write("jobs/rain.yaml", format!("{job}  trigger: {{ when: \"{when}\", wait: 2s }}\n"));
    testbed.push("a job that waits for rain");
    let on = |testbed: &Testbed, node: &str, phase: &str| {
        testbed.runs("rain").into_iter().find(|run| run["node"] == node && run["phase"] == phase)
    };
    let run = testbed.wait_for("the run in London", |testbed| on(testbed, "london-01", "RUNNING"));
    let (id, container) = (run["id"].as_str().unwrap(), format!("almanac-{}", run["id"].as_str().unwrap()));
    let (status, trigger) = ask(&container, "GET", "/trigger", "");
    assert!(status == "200" && trigger.contains(r#""holds":true"#), "{trigger}");
    let (status, telemetry) = ask(&container, "GET", "/telemetry", "");
    assert!(status == "200" && telemetry.contains(r#""rain_1h":2.5"#), "{telemetry}");

    let skipped = testbed.wait_for("the run in Paris", |testbed| on(testbed, "paris-01", "SKIPPED"));
    assert_eq!(skipped["reason"], "trigger_false");
    let message = skipped["message"].as_str().unwrap();
    assert!(message.contains("did not hold within 2s: weather.rain_1h = 0"), "{message}");

    testbed.wait_for("its end", |testbed| on(testbed, "london-01", "COMPLETED"));
    let to = testbed.folder().join("fetched");
    testbed.json("bob", &["runs", "download", id, "--to", to.to_str().unwrap()]);
    let rows = fs::read_to_string(to.join(id).join("telemetry.csv")).unwrap();
    for row in [",weather,rain_1h,2.5", ",satellites,visible_53,"] {
        assert!(rows.contains(row), "{row}: {rows}");
    }
    let facts: Value = serde_json::from_slice(&fs::read(to.join(id).join("run.json")).unwrap()).unwrap();
    assert_eq!(facts["trigger"]["when"], when);
    assert_eq!(facts["trigger"]["seen"]["weather.rain_1h"], 2.5, "{facts}");
    let log = String::from_utf8(testbed.almanac("bob", &["runs", "logs", id]).stdout).unwrap();
    assert_eq!(log, "it rains\n");
    // The key is the reconciler's alone.
    for node in ["london-01", "paris-01"] {
        let log = fs::read_to_string(testbed.folder().join(format!("{node}.log"))).unwrap();
        assert!(!log.contains(KEY), "{log}");
    }
}
