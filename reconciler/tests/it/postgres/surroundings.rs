//! What one reconciler fetches and every one passes on.

use std::{fs, time::Duration};

use almanac_proto::v1;
use tokio::time::timeout;

use crate::{
    harness::{Answer, Replica, Testbed, Web, manifest, wait_for},
    surroundings::{ISS, is_due},
};

fn rain(temperature: f64) -> Answer {
    Answer::Says(200, Vec::new(), format!("{{\"main\":{{\"temp\":{temperature:.1}}}}}"))
}

/// Waits until a node hears of some weather at a reconciler.
async fn heard(replica: &Replica<'_>, temperature: &str) -> v1::Weather {
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut stream = replica.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
    loop {
        let message = timeout(Duration::from_secs(60), stream.message()).await.expect("a message in time");
        let weather = message.unwrap().expect("the stream goes on").weather;
        if let Some(weather) = weather.filter(|weather| weather.json.contains(temperature)) {
            return weather;
        }
    }
}

fn configure(testbed: &Testbed, url: &str) {
    let key = testbed.folder().join("weather.key");
    fs::write(&key, "secret").unwrap();
    let weather = format!("  weather: {{ url: \"{url}\", apiKey: {{ fromFile: {} }} }}\n", key.display());
    testbed.repository.write("config.yaml", manifest::config("retention: 1d") + &weather);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn the_leader_fetches_and_every_reconciler_passes_it_on() {
    let web = Web::start(rain(7.5)).await;
    let testbed = Testbed::prepare_on_postgres();
    let key = fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap_or_default();
    let key = if key.is_empty() { testbed.make_key("london") } else { key };
    let more = "  coordinates: { latitude: 51.5, longitude: -0.1 }\n  telemetry: { weather: {} }\n";
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", key.trim(), more));
    configure(&testbed, &web.url("/one"));
    let commit = testbed.repository.push("a node that measures");
    let leader = Replica::start(&testbed, "one").await;
    leader.leads().await;
    let standby = Replica::start(&testbed, "two").await;
    standby.stands_by().await;
    standby.serves(&commit).await;
    let first = heard(&leader, "7.5").await;
    assert_eq!(heard(&standby, "7.5").await, first);
    assert_eq!(web.asked().len(), 1);

    // Whoever leads next knows what there is, and asks for nothing that is not due.
    leader.into_daemon().kill();
    standby.leads().await;
    let third = Replica::start(&testbed, "three").await;
    assert_eq!(heard(&third, "7.5").await, first);
    assert_eq!(heard(&standby, "7.5").await, first);
    assert_eq!(web.asked().len(), 1);

    web.answers(rain(8.5));
    configure(&testbed, &web.url("/two"));
    let commit = testbed.repository.push("another address");
    standby.serves(&commit).await;
    assert_eq!(heard(&third, "8.5").await, heard(&standby, "8.5").await);
    assert_eq!(web.asked().len(), 2);
}

/// Waits until a node hears of orbits at a reconciler that are not these.
async fn other_orbits(replica: &Replica<'_>, known: Option<&v1::Orbits>) -> v1::Orbits {
    let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
    let mut stream = replica.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
    loop {
        let message = timeout(Duration::from_secs(60), stream.message()).await.expect("a message in time");
        let orbits = message.unwrap().expect("the stream goes on").orbits;
        if let Some(orbits) = orbits.filter(|orbits| !orbits.tle_zstd.is_empty() && known != Some(orbits)) {
            return orbits;
        }
    }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn whoever_leads_next_asks_by_the_tag_of_the_one_before() {
    let web = Web::start(Answer::Tagged("\"1\"", ISS.to_owned())).await;
    let testbed = Testbed::prepare_on_postgres();
    let key = fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let more = "  coordinates: { latitude: 51.5, longitude: -0.1 }\n  telemetry: { satellites: {} }\n";
    testbed.repository.write("nodes/london-01.yaml", manifest::node("london-01", key.trim(), more));
    let orbits = format!("  satellites: {{ tle: \"{}\" }}\n", web.url("/tle"));
    testbed.repository.write("config.yaml", manifest::config("retention: 1d") + &orbits);
    let commit = testbed.repository.push("a node that looks up");
    let leader = Replica::start(&testbed, "one").await;
    leader.leads().await;
    let standby = Replica::start(&testbed, "two").await;
    standby.stands_by().await;
    standby.serves(&commit).await;
    let first = other_orbits(&leader, None).await;
    assert_eq!(other_orbits(&standby, None).await, first);

    // It falls due while nobody leads.
    is_due(&testbed).await;
    leader.into_daemon().kill();
    standby.leads().await;
    wait_for("the service to be asked again", async || (web.asked().len() == 2).then_some(())).await;
    let tag = |number: usize| {
        web.asked()[number].headers.get("if-none-match").map(|tag| tag.to_str().unwrap().to_owned())
    };
    assert_eq!((tag(0), tag(1).as_deref()), (None, Some("\"1\"")));
    let third = Replica::start(&testbed, "three").await;
    third.serves(&commit).await;
    for replica in [&standby, &third] {
        assert_eq!(other_orbits(replica, None).await, first, "they are as old as they were");
    }

    // What is newer reaches all, and the tag that the next one asks by is the newer one's.
    web.answers(Answer::Tagged("\"2\"", ISS.repeat(2)));
    is_due(&testbed).await;
    standby.into_daemon().kill();
    third.leads().await;
    let newer = other_orbits(&third, Some(&first)).await;
    assert_eq!(tag(2).as_deref(), Some("\"1\""));
    let fourth = Replica::start(&testbed, "four").await;
    fourth.serves(&commit).await;
    assert_eq!(other_orbits(&fourth, None).await, newer);
    is_due(&testbed).await;
    third.into_daemon().kill();
    fourth.leads().await;
    wait_for("the service to be asked again", async || (web.asked().len() == 4).then_some(())).await;
    assert_eq!(tag(3).as_deref(), Some("\"2\""));
}
