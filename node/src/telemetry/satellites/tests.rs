use std::collections::BTreeSet;

use almanac_schemas::trigger::field::KNOWN;

use super::{constellation::constellation, *};

fn coordinates(latitude: f64, longitude: f64, elevation: f64) -> Coordinates {
    Coordinates { latitude, longitude, elevation }
}

const LONDON: (f64, f64, f64) = (51.5074, -0.1278, 35.0);
const SEATTLE: (f64, f64, f64) = (47.6062, -122.3321, 50.0);

/// The International Space Station, and Starlink 1008.
const STATION: &str = "1 25544U 98067A   20194.88612269 -.00002218  00000-0 -31515-4 0  9992
2 25544  51.6461 221.2784 0001413  89.1723 280.4612 15.49507896236008";
const STARLINK: &str = "1 44714U 19074B   25117.42924319 -.00001157  00000+0 -58773-4 0  9990
2 44714  53.0517 166.3609 0001116  99.1558 260.9557 15.06400606301084";

#[test]
fn distance_and_elevation_are_those_of_another_program() {
    // Computed by Skyfield 1.54, which has a model of the earth's rotation of its own: precession, nutation, UT1.
    for (orbit, place, at, elevation, range) in [
        (STATION, LONDON, "2020-07-12T23:02:00Z", 15.037_854, 1_224.627_530),
        (STATION, LONDON, "2020-07-12T23:04:00Z", 35.875_775, 681.988_700),
        (STATION, LONDON, "2020-07-13T00:41:00Z", 87.694_534, 423.470_407),
        (STATION, LONDON, "2020-07-13T22:14:00Z", 11.708_575, 1_392.925_917),
        (STATION, LONDON, "2020-07-14T03:09:00Z", 14.658_400, 1_242.082_733),
        (STARLINK, SEATTLE, "2025-04-27T10:38:00Z", 12.145_369, 1_684.169_059),
        (STARLINK, SEATTLE, "2025-04-27T10:40:00Z", 27.673_275, 1_054.368_613),
        (STARLINK, SEATTLE, "2025-04-28T10:33:00Z", 20.530_641, 1_279.214_006),
        (STARLINK, SEATTLE, "2025-04-29T08:53:00Z", 10.307_308, 1_802.611_071),
    ] {
        let orbits = Orbits::read(orbit);
        let place = Place::at(&coordinates(place.0, place.1, place.2));
        let at: DateTime<Utc> = at.parse().unwrap();
        let seen = place.see(Turn::at(at).to_earth(orbits.all[0].at(at).unwrap()));
        // UTC for UT1 turns the earth by 0.2 s at most in these years: 60 m here.
        assert!((seen.range_km - range).abs() < 0.2, "{at}: {seen:?} is not {range}");
        assert!((seen.elevation_deg - elevation).abs() < 0.02, "{at}: {seen:?} is not {elevation}");
    }
}

#[test]
fn the_field_of_view_is_what_is_25_degrees_high() {
    let orbits = Orbits::read(&format!("A NAME\n{STARLINK}\n{STATION}\n"));
    let place = Place::at(&coordinates(SEATTLE.0, SEATTLE.1, SEATTLE.2));
    let sample = |at: &str| Sky::of(&orbits, &place, at.parse().unwrap()).sample();
    let high = sample("2025-04-27T10:40:00Z");
    assert_eq!(high["visible"], Value::Number(1.0));
    assert_eq!((&high["visible_53"], &high["visible_43"]), (&Value::Number(1.0), &Value::Number(0.0)));
    for (one, other) in [
        ("range_min_m", "range_max_m"),
        ("range_mean_m", "range_max_m"),
        ("range_min_m", "range_max_53_m"),
        ("elevation_max_deg", "elevation_mean_53_deg"),
    ] {
        assert_eq!(high[one], high[other]);
    }
    assert!(
        !high.contains_key("range_min_43_m") && !high.contains_key("elevation_mean_other_deg"),
        "{high:?}"
    );
    let low = sample("2025-04-27T10:38:00Z");
    assert_eq!(low["visible"], Value::Number(0.0));
    assert!(!low.contains_key("range_min_m") && !low.contains_key("elevation_mean_deg"), "{low:?}");
    // Two years later nobody knows.
    assert_eq!(Sky::of(&orbits, &place, "2027-04-27T10:40:00Z".parse().unwrap()).known, 0);
}

#[test]
fn shells_are_told_apart() {
    let seen = |range_km: f64, elevation_deg: f64| Seen { range_km, elevation_deg };
    let visible = vec![
        (53.05, seen(600.0, 70.0)),
        (53.217, seen(1_000.0, 30.0)),
        (97.6, seen(700.0, 50.0)),
        (51.64, seen(500.0, 60.0)),
    ];
    let sample = Sky { known: 9, visible }.sample();
    for (name, expected) in [
        ("visible", 4.0),
        ("range_min_m", 500_000.0),
        ("range_max_m", 1_000_000.0),
        ("range_mean_m", 700_000.0),
        ("elevation_max_deg", 70.0),
        ("elevation_mean_deg", 52.5),
        ("visible_43", 0.0),
        ("visible_53", 2.0),
        ("range_min_53_m", 600_000.0),
        ("range_max_53_m", 1_000_000.0),
        ("range_mean_53_m", 800_000.0),
        ("elevation_max_53_deg", 70.0),
        ("elevation_mean_53_deg", 50.0),
        ("range_mean_97_m", 700_000.0),
        ("elevation_max_other_deg", 60.0),
    ] {
        assert_eq!(sample[name], Value::Number(expected), "{name}");
    }
    // What is measured can be named, and what can be named is measured.
    let visible = ["43", "53", "70", "97"].map(|shell| (shell.parse().unwrap(), seen(600.0, 70.0)));
    let all = Sky { known: 5, visible: [visible.as_slice(), &[(10.0, seen(600.0, 70.0))]].concat() }.sample();
    let names = KNOWN.iter().filter(|known| known.provider == Name::Satellites).map(|known| known.name);
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), names.collect());
}

#[tokio::test]
async fn all_of_a_large_constellation_are_followed() {
    let text = constellation(7_000, clock::now());
    let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let (sender, feed) = watch::channel(Arc::new(v1::Orbits::default()));
    let mut satellites = Satellites::new(feed, &coordinates(LONDON.0, LONDON.1, LONDON.2));
    assert!(satellites.compute().await.unwrap_err().0.contains("no orbits yet"));
    sender.send_replace(Arc::new(v1::Orbits { tle_zstd: packed.into(), ..v1::Orbits::default() }));
    let measured = satellites.compute().await.unwrap();
    let Value::Number(visible) = measured.sample["visible"] else { panic!("{measured:?}") };
    // The cap of the sky that is 25 degrees high at 550 km has 0.57 % of the globe; at this latitude, where such planes
    // are dense, more of them are there.
    assert!((40.0..200.0).contains(&visible), "{visible}");
    let Value::Number(nearest) = measured.sample["range_min_m"] else { panic!("{measured:?}") };
    let Value::Number(farthest) = measured.sample["range_max_m"] else { panic!("{measured:?}") };
    assert!(nearest > 500_000.0 && farthest < 1_180_000.0, "{measured:?}");
}

#[tokio::test]
async fn what_is_no_orbit_is_said() {
    let (sender, feed) = watch::channel(Arc::new(v1::Orbits::default()));
    let mut satellites = Satellites::new(feed, &coordinates(0.0, 0.0, 0.0));
    let told = |text: &str, problem: &str| {
        let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
        let orbits = v1::Orbits { tle_zstd: packed.into(), fetched_at: None, problem: problem.to_owned() };
        sender.send_replace(Arc::new(orbits));
    };
    told(STATION, "the server is gone");
    let why = satellites.compute().await.unwrap_err().0;
    assert!(why.contains("of 2020-07-12") && why.ends_with("the server is gone"), "{why}");
    told("<html>", "");
    assert!(satellites.compute().await.unwrap_err().0.contains("no orbits"));
    sender.send_replace(Arc::new(v1::Orbits { tle_zstd: "x".into(), ..v1::Orbits::default() }));
    assert!(satellites.compute().await.unwrap_err().0.contains("unpacked"));
}
