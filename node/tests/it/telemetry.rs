//! What a node measures about itself, and what runs record of it.

use std::{collections::BTreeMap, fs, io, net::TcpListener, thread, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_proto::{
    convert,
    v1::{Orbits, Weather},
};
use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, Terminal, World, command, output, pause};

/// A row of `telemetry.csv`.
type Row = [String; 4];

/// The rows of a run, each of them there once.
fn rows(world: &World, run: &Run) -> Vec<Row> {
    let text = world.text(run, "telemetry.csv");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("at,provider,field,value"));
    let rows: Vec<Row> = lines
        .map(|line| line.splitn(4, ',').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap())
        .collect();
    let mut seen = BTreeMap::new();
    for [at, provider, field, value] in &rows {
        let earlier = seen.insert((at, provider, field), value);
        assert_eq!(earlier, None, "{at} {provider}.{field} is there twice");
    }
    rows
}

fn values(rows: &[Row], provider: &str, field: &str) -> Vec<f64> {
    let found = rows.iter().filter(|row| row[1] == provider && row[2] == field);
    found.map(|row| row[3].parse().unwrap()).collect()
}

fn status(world: &World) -> Value {
    let mut asked = command();
    asked.args(["status", "--output", "json", "--state-dir"]).arg(world.state_dir());
    serde_json::from_slice(&output(asked).stdout).unwrap_or_default()
}

/// What an agent says of a provider.
fn standing(world: &World, provider: &str) -> Value {
    let status = status(world);
    let all = status["telemetry"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|measuring| measuring["provider"] == provider).unwrap_or_default()
}

fn sleeping(name: &str, seconds: u32) -> Job {
    Job::soon(name).length("60s").sh(&format!("sleep {seconds}"))
}

#[test]
fn a_run_records_what_is_measured_while_it_goes_on() {
    let terminal = Terminal::start(40.5);
    let mut world = World::new();
    world.desired.node["telemetry"] = json!({"dish": {"address": terminal.address()}});
    let (run, _) = world.run("run", sleeping("run", 5));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    let rows = rows(&world, &run);
    let latencies = values(&rows, "dish", "pop_ping_latency_ms");
    assert!((4..=8).contains(&latencies.len()), "once a second: {latencies:?}");
    assert!(latencies.iter().all(|latency| *latency == 40.5));
    assert_eq!(values(&rows, "dish", "pop_ping_drop_rate")[0], 0.0, "which is not sent");
    assert!(
        values(&rows, "host", "load_1m").len() >= 3,
        "what costs something is measured while a run wants it"
    );
    // A process has the host's network: what it does is not known.
    assert!(values(&rows, "network", "experiments_rx_bytes").len() <= 1, "but after its end");
    let facts: Value = serde_json::from_str(&world.text(&run, "run.json")).unwrap();
    let names: Vec<&str> =
        facts["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"telemetry.csv"), "{names:?}");
    let instants: Vec<DateTime<Utc>> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    let (began, ended) = (run.at(Phase::Running), run.at(Phase::Uploading));
    let around = TimeDelta::seconds(4);
    assert!(instants.iter().all(|at| *at > began - around && *at < ended + around));
}

#[test]
fn where_nothing_is_to_be_measured_nothing_is_recorded() {
    let mut world = World::new();
    let (run, _) = world.run("run", sleeping("run", 2));
    assert_eq!(world.file(&run, "telemetry.csv"), None);
    assert_eq!(standing(&world, "host")["idle"], true);
}

#[test]
fn a_recording_goes_on_after_its_agent_was_killed() {
    let terminal = Terminal::start(40.5);
    let mut world = World::new();
    world.desired.node["telemetry"] = json!({"dish": {"address": terminal.address()}});
    world.declare([sleeping("run", 9)]);
    world.start();
    world.wait_phase("run", Phase::Running);
    for _ in 0..2 {
        pause(Duration::from_millis(2200));
        world.kill();
        terminal.says().latency = Some(50.5);
        world.start();
    }
    let run = world.wait_end("run");
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    let latencies = values(&rows(&world, &run), "dish", "pop_ping_latency_ms");
    assert!(latencies.contains(&40.5) && latencies.contains(&50.5), "{latencies:?}");
    world.wait_tidy();
}

#[test]
fn a_terminal_that_is_gone_slow_or_wrong_is_missed_and_found_again() {
    let mut terminal = Terminal::start(40.0);
    let mut world = World::new();
    world.desired.node["telemetry"] = json!({"dish": {"address": terminal.address()}});
    world.declare([]);
    world.start();
    let is_measured = |world: &World| {
        let dish = standing(world, "dish");
        (dish["measuredAt"].is_string() && dish["problem"].is_null()).then_some(())
    };
    let is_missed = |world: &World| {
        let dish = standing(world, "dish");
        (dish["measuredAt"].is_null() && dish["problem"].is_string()).then_some(())
    };
    world.wait("the terminal to be measured", is_measured);
    terminal.says().delay = Duration::from_secs(60);
    world.wait("a slow terminal to be missed", is_missed);
    terminal.says().delay = Duration::ZERO;
    world.wait("it to be measured", is_measured);
    terminal.says().is_wrong = true;
    world.wait("a wrong terminal to be missed", is_missed);
    terminal.says().is_wrong = false;
    world.wait("it to be measured", is_measured);
    terminal.vanish();
    world.wait("a terminal that is gone to be missed", is_missed);
    terminal.come_back();
    world.wait("it to be measured", is_measured);
    let told = world.agent.as_ref().unwrap().log().matches("nothing is measured").count();
    assert!(told < 20, "what is wrong is said when it changes: {told}");
    // The manifest does not declare it any more.
    world.desired.node["telemetry"] = json!({});
    world.declare_again();
    world.wait("it to be dismissed", |world| standing(world, "dish").is_null().then_some(()));
    let asked = terminal.says().asked;
    pause(Duration::from_millis(2500));
    assert!(terminal.says().asked <= asked + 1, "it is not asked any more");
}

const RAIN: &str = r#"{"weather":[{"id":501,"main":"Rain","description":"moderate rain"}],
    "main":{"temp":15.5,"pressure":1015,"humidity":64},"rain":{"1h":3.16},"clouds":{"all":100}}"#;

/// The International Space Station, as it would be if its elements were of now.
fn orbits() -> Orbits {
    let day = Utc::now().format("%y%j");
    let first = format!("1 25544U 98067A   {day}.00000000  .00002218  00000-0  31515-4 0  999");
    let second = "2 25544  51.6461 221.2784 0001413  89.1723 280.4612 15.49507896236008";
    let sum: u32 = first.chars().map(|char| char.to_digit(10).unwrap_or(u32::from(char == '-'))).sum();
    let text = format!("ISS (ZARYA)\n{first}{}\n{second}\n", sum % 10);
    let tle_zstd = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    Orbits {
        tle_zstd: tle_zstd.into(),
        fetched_at: Some(convert::timestamp(Utc::now())),
        problem: String::new(),
    }
}

#[test]
fn what_the_reconciler_passes_on_is_there_after_a_restart_without_it() {
    let mut world = World::new();
    world.desired.node["coordinates"] = json!({"latitude": 51.5, "longitude": -0.1});
    world.desired.node["telemetry"] = json!({"weather": {}, "satellites": {}});
    world.declare([]);
    world.start();
    world.wait("the weather to be missed", |world| {
        let why = standing(world, "weather")["problem"].as_str()?.to_owned();
        why.contains("no weather yet").then_some(())
    });
    let fetched_at = Utc::now() - TimeDelta::minutes(5);
    let weather = Weather {
        json: RAIN.to_owned(),
        fetched_at: Some(convert::timestamp(fetched_at)),
        problem: String::new(),
    };
    world.reconciler.pass_on(&weather, &orbits());
    let are_measured = |world: &World| {
        let measured = |provider| standing(world, provider)["measuredAt"].is_string();
        (measured("weather") && measured("satellites")).then_some(())
    };
    world.wait("both to be measured", are_measured);
    world.wait("both to be kept", |world| {
        let folder = world.state_dir().join("telemetry");
        (folder.join("weather").exists() && folder.join("orbits").exists()).then_some(())
    });
    world.kill();
    world.reconciler.vanish();
    world.start();
    world.wait("both to be measured again", are_measured);
    world.reconciler.come_back();
    let trigger =
        json!({"when": "weather.rain_1h > 3.0 && weather.main == 'Rain' && satellites.visible >= 0.0"});
    let (run, _) = world.run("run", sleeping("run", 1).spec("trigger", trigger));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{run:#?}");
    assert_eq!(values(&rows(&world, &run), "weather", "rain_1h"), [3.16], "of before the run, and once");
}

#[test]
fn the_hosts_owner_measures_what_nobody_foresaw() {
    let mut world = World::new();
    let (config, gps) = (world.path("node.toml"), world.path("gps.json"));
    fs::write(&gps, r#"{"fix": {"satellites": 9}}"#).unwrap();
    let toml = format!(
        "[telemetry.local.modem]\ncommand = [\"sh\", \"-c\", \"echo '{{\\\"rsrp\\\": -95.5}}'\"]\nevery = \"1s\"\n\
         [telemetry.local.gps]\nfile = \"{}\"\nevery = \"1s\"\n[telemetry.local.bad]\ncommand = [\"false\"]\nevery = \"1s\"\n",
        gps.display()
    );
    fs::write(&config, toml).unwrap();
    world = world.option("--config", config.to_str().unwrap());
    let trigger = json!({"when": "local.modem_rsrp < -90.0 && local.gps_fix_satellites == 9", "wait": "20s"});
    let (run, _) = world.run("run", sleeping("run", 5).spec("trigger", trigger));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{run:#?}");
    assert!(values(&rows(&world, &run), "local", "modem_rsrp").len() >= 3);
    let told = world.agent.as_ref().unwrap().log();
    assert_eq!(told.matches("a source of `[telemetry.local]` yields nothing").count(), 1, "{told}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let world = World::new();
    let config = world.path("node.toml");
    fs::write(&config, "[telemetry.local.my-modem]\nfile = \"/x\"\n").unwrap();
    let mut refused = world.command();
    refused.arg("--config").arg(&config);
    let refused = output(refused);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("`my-modem` is no name of a source"), "{said}");
}

#[test]
#[ignore = "needs docker"]
fn what_containers_do_on_the_network_is_measured_where_it_can_be_told() {
    let mut world = World::with_docker();
    world.desired.node["telemetry"] = json!({});
    world.desired.node["hostNetwork"] = json!(true);
    // It sends a megabyte in five seconds, to this test.
    let sink = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in sink.incoming() {
            io::copy(&mut stream.unwrap(), &mut io::sink()).unwrap();
        }
    });
    let script = format!(
        "gateway=$(ip route | awk '/default/ {{print $3}}'); \
         for i in 1 2 3 4 5; do head -c 200000 /dev/zero | nc -w 2 $gateway {port}; sleep 1; done"
    );
    let job = |name: &str, network: &str| {
        let script = if network == "bridge" { script.as_str() } else { "sleep 4" };
        Job::soon(name).length("60s").container("network", json!(network)).sh(script)
    };
    let (run, _) = world.run("bridge", job("bridge", "bridge"));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)), "{}", world.log(&run));
    let bridge = rows(&world, &run);
    let sent = values(&bridge, "network", "experiments_tx_bytes");
    let all = sent.last().unwrap() - sent[0];
    assert!((600_000.0..1_300_000.0).contains(&all), "{sent:?}");
    let rates = values(&bridge, "network", "experiments_tx_bps");
    assert!(rates.iter().any(|rate| *rate > 400_000.0), "{rates:?}");
    let (run, _) = world.run("none", job("none", "none"));
    let none = values(&rows(&world, &run), "network", "experiments_tx_bps");
    assert!(!none.is_empty() && none.iter().skip(1).all(|rate| *rate == 0.0), "{none:?}");
    let (run, _) = world.run("host", job("host", "host"));
    let host = rows(&world, &run);
    let known = values(&host, "network", "experiments_tx_bytes").len();
    let all = values(&host, "host", "load_1m").len();
    assert!(all >= 3 && known <= 2, "what the host does is not what the run does: {known} of {all}");
}
