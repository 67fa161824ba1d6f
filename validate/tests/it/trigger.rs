//! `trigger`: what it says, and how it ends.

use std::fs;

use crate::command::{folder, run, text};

fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(folder(&[]).path(), &[&["trigger"][..], arguments].concat());
    (output.status.code(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
}

#[test]
fn an_expression_is_tried_by_samples() {
    let folder = folder(&[]);
    let path = folder.path().join("dish.yaml");
    fs::write(
        &path,
        "- dish: { pop_ping_latency_ms: 50 }\n- dish: { pop_ping_latency_ms: 80, uptime_s: long }\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let rises = "dish.pop_ping_latency_ms - prev(dish.pop_ping_latency_ms) > 20";
    let warning = "warning: `dish.uptime_s` is a text in the sample, and a number on a node\n";
    let seen = "seen: dish.pop_ping_latency_ms = 80\n";
    for (expression, code, word, expected) in [
        (rises, 0, "true\n", format!("{warning}{seen}")),
        ("dish.pop_ping_latency_ms < 20", 1, "false\n", format!("{warning}{seen}")),
        ("weather.temp > 1", 1, "unknown\n", format!("{warning}missing: weather.temp\n")),
    ] {
        assert_eq!(
            said(&[expression, "--sample", path]),
            (Some(code), word.to_owned(), expected),
            "{expression}"
        );
    }
    fs::write(path, "{\"weather\": {\"temp\": 3}}").unwrap();
    assert_eq!(said(&["weather.temp > 1", "--sample", path]).0, Some(0), "JSON is YAML");
    for (sample, message) in [
        ("3", "is not of the form"),
        ("{ moon: { full: true } }", "the sample has `moon`, and there are dish"),
    ] {
        fs::write(path, sample).unwrap();
        let (code, out, err) = said(&["weather.temp > 1", "--sample", path]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.contains(message), "{err}");
    }
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    let shown =
        "error: `dihs` is not known\n  || dihs.uptime_s > 1\n     ^^^^\nhelp: fields are those of dish, ";
    let (code, out, err) = said(&["true\n|| dihs.uptime_s > 1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with(shown), "{err}");
    assert_eq!(
        said(&["dish.uptime_s > host.load_1m"]),
        (Some(0), "dish.uptime_s\nhost.load_1m\n".to_owned(), String::new())
    );
}

#[test]
fn all_fields_are_listed() {
    let (code, out, _) = said(&[]);
    assert_eq!(code, Some(0));
    assert!(out.lines().all(|line| line.len() <= 110) && out.contains("\nweather.rain_1h "), "{out}");
}
