use super::{samples::KEPT, *};

/// Samples of the dish with these latencies, the latest first.
fn latencies(values: &[f64]) -> Samples {
    let mut samples = Samples::default();
    for value in values.iter().rev() {
        let sample = [
            ("pop_ping_latency_ms", Value::Number(*value)),
            ("currently_obstructed", Value::Truth(*value > 100.0)),
            ("software_version", Value::Text("v1".to_owned())),
            // Something else than it is.
            ("uptime_s", Value::Text("long".to_owned())),
            ("pop_ping_drop_rate", Value::Number(f64::NAN)),
        ];
        let sample = sample.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        samples.add(Provider::Dish, sample);
    }
    samples
}

fn decide(text: &str, samples: &Samples) -> Option<bool> {
    Condition::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}")).decide(samples).holds
}

#[test]
fn conditions_mean_what_they_say() {
    let samples = latencies(&[80.0, 50.0, 20.0]);
    for (text, holds) in [
        ("dish.pop_ping_latency_ms > 60", Some(true)),
        ("dish.pop_ping_latency_ms > 60.0 && dish.pop_ping_latency_ms < 80", Some(false)),
        ("dish.pop_ping_latency_ms >= 80 && dish.pop_ping_latency_ms <= 80u", Some(true)),
        ("60 < dish.pop_ping_latency_ms", Some(true)),
        ("dish.pop_ping_latency_ms == 80 || false", Some(true)),
        ("dish.pop_ping_latency_ms != 80", Some(false)),
        ("!dish.currently_obstructed", Some(true)),
        ("dish.currently_obstructed == false", Some(true)),
        ("dish.software_version == 'v1'", Some(true)),
        ("dish.software_version != \"v1\"", Some(false)),
        ("dish.pop_ping_latency_ms - prev(dish.pop_ping_latency_ms) == 30", Some(true)),
        ("prev(dish.pop_ping_latency_ms, 2) == 20", Some(true)),
        ("avg(dish.pop_ping_latency_ms, 3) == 50", Some(true)),
        ("min(dish.pop_ping_latency_ms, 2) == 50 && max(dish.pop_ping_latency_ms, 3) == 80", Some(true)),
        ("abs(-3) == 3 && -abs(2 - 5) == -3", Some(true)),
        ("abs(dish.pop_ping_latency_ms / prev(dish.pop_ping_latency_ms, 1) - 1) > 0.59", Some(true)),
        ("2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 7 / 2 == 3.5", Some(true)),
        ("dish.currently_obstructed ? false : dish.pop_ping_latency_ms > 1", Some(true)),
        ("(dish.currently_obstructed ? 1 : 2) == 2", Some(true)),
        ("(dish.currently_obstructed ? 'a' : 'b') == 'b'", Some(true)),
        ("true && true && false && true", Some(false)),
        ("false || false || true || false", Some(true)),
    ] {
        assert_eq!(decide(text, &samples), holds, "{text}");
    }
}

#[test]
fn what_was_not_measured_is_unknown_and_never_a_number() {
    let samples = latencies(&[80.0]);
    for (text, holds, missing) in [
        ("weather.rain_1h > 0", None, &["weather.rain_1h"][..]),
        ("weather.rain_1h == weather.rain_1h", None, &["weather.rain_1h"]),
        ("weather.rain_1h > 0 && dish.pop_ping_latency_ms > 60", None, &["weather.rain_1h"]),
        ("dish.pop_ping_latency_ms > 60 && weather.rain_1h > 0", None, &["weather.rain_1h"]),
        ("weather.rain_1h > 0 && dish.pop_ping_latency_ms > 90", Some(false), &["weather.rain_1h"]),
        ("weather.rain_1h > 0 || dish.pop_ping_latency_ms > 60", Some(true), &["weather.rain_1h"]),
        ("weather.rain_1h > 0 || dish.pop_ping_latency_ms > 90", None, &["weather.rain_1h"]),
        ("!(weather.rain_1h > 0)", None, &["weather.rain_1h"]),
        ("weather.rain_1h > 0 ? true : true", None, &["weather.rain_1h"]),
        ("weather.main == 'Rain'", None, &["weather.main"]),
        ("prev(dish.pop_ping_latency_ms, 1) < 1000", None, &["dish.pop_ping_latency_ms"]),
        ("avg(dish.pop_ping_latency_ms, 2) < 1000", None, &["dish.pop_ping_latency_ms"]),
        ("dish.uptime_s > 1", None, &["dish.uptime_s"]),
        ("dish.pop_ping_drop_rate < 1", None, &["dish.pop_ping_drop_rate"]),
        ("!(dish.pop_ping_drop_rate < 1)", None, &["dish.pop_ping_drop_rate"]),
        ("1 / 0 > 1", None, &[]),
        ("0.0 / 0.0 != 1", None, &[]),
        ("local.anything > 1", None, &["local.anything"]),
    ] {
        let decision = Condition::parse(text).unwrap().decide(&samples);
        let names: Vec<String> = decision.missing.iter().map(Field::to_string).collect();
        assert_eq!(
            (decision.holds, names),
            (holds, missing.iter().map(|name| (*name).to_owned()).collect()),
            "{text}"
        );
    }
}

#[test]
fn what_was_seen_is_told() {
    let samples = latencies(&[80.0, 50.0]);
    let text = "prev(dish.pop_ping_latency_ms) < 60 && dish.software_version == 'v2' && weather.temp > 0";
    let decision = Condition::parse(text).unwrap().decide(&samples);
    assert_eq!(decision.holds, Some(false));
    let seen: Vec<String> = decision.seen.iter().map(|(field, value)| format!("{field} = {value}")).collect();
    assert_eq!(seen, ["dish.pop_ping_latency_ms = 80", "dish.software_version = \"v1\""]);
}

#[test]
fn problems_are_said_where_they_are() {
    for (text, place, message) in [
        ("", "", "a trigger is empty"),
        (
            "dish.pop_ping_latency_ms",
            "dish.pop_ping_latency_ms",
            "a trigger is true or false, and this is a number",
        ),
        ("dish.latency > 1", "dish.latency", "`dish` measures no `latency`"),
        ("true || nosuch", "nosuch", "`nosuch` is not known"),
        ("true || nosuch.field > 1", "nosuch", "`nosuch` is not known"),
        ("dish > 1", "dish", "`dish` is a provider"),
        ("dish.uptime_s.more > 1", "dish.uptime_s.more", "fields have no fields"),
        ("dish.uptime_s > 'a'", "'a'", "`'a'` is a text; expected a number"),
        ("dish.uptime_s && true", "dish.uptime_s", "`dish.uptime_s` is a number; expected true or false"),
        ("1 + dish.software_version > 2", "dish.software_version", "is a text; expected a number"),
        ("dish.software_version == 1", "dish.software_version == 1", "a text is compared with a number"),
        ("true ? 1 : false", "1 : false", "one branch is a number and the other true or false"),
        ("size('a') == 1", "", "there is no function `size`"),
        ("'a'.size() == 1", "", "`size` is no function of a value"),
        ("[1, 2].map(x, x * 2) == [2]", "", "loops, such as `all` and `map`, cannot be used"),
        ("[1].all(x, x > 0)", "", "loops"),
        ("[1] == [1]", "", "lists cannot be used"),
        ("{'a': 1} == {'a': 1}", "", "maps cannot be used"),
        ("dish.uptime_s % 2 == 0", "", "`%` cannot be used"),
        ("1 in [1]", "", "cannot be used in a trigger"),
        ("has(dish.uptime_s)", "", "`has` cannot be used"),
        ("dish.uptime_s == null", "null", "`null` cannot be used"),
        ("b'a' == b'a'", "", "bytes cannot be used"),
        ("prev(1) > 1", "", "expected `prev(FIELD)`"),
        ("prev(dish.uptime_s, 60) > 1", "60", "expected a whole number of samples from 1 to 59"),
        ("prev(dish.uptime_s, 0) > 1", "0", "expected a whole number of samples"),
        (
            "avg(dish.uptime_s, dish.uptime_s) > 1",
            "dish.uptime_s",
            "expected a whole number of samples from 1 to 60",
        ),
        ("avg(dish.uptime_s) > 1", "", "expected `avg(FIELD, N)`"),
        ("avg(dish.software_version, 2) > 1", "dish.software_version", "`avg` is of a number"),
        ("abs(1, 2) > 1", "", "`abs` takes one number"),
        ("dish.uptime_s >", "", "this is not CEL"),
        ("dish.uptime_s > 1)", ")", "this is not CEL"),
        ("true\n  && nosuch", "nosuch", "`nosuch` is not known"),
        ("true && dish.uptime_s > 1 \u{2026}", "\u{2026}", "this is not CEL"),
        ("'\u{e9}\u{e9}' == dish.software_version && nosuch", "nosuch", "`nosuch` is not known"),
    ] {
        let problem = Condition::parse(text).expect_err(text);
        assert!(problem.message.contains(message), "{text}: {problem:?}");
        let found = &text[problem.at.clone()];
        assert!(place.is_empty() || found == place, "{text}: {found:?}");
    }
}

#[test]
fn what_would_take_long_is_refused() {
    let long = format!("dish.uptime_s > {}", "1".repeat(2000));
    assert!(Condition::parse(&long).unwrap_err().message.contains("expected 1024 at most"));
    for count in [15, 16, 17, 80] {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("abs(", "1", ")"),
            ("[", "1", "]"),
            ("true ? 1 : ", "1", ""),
            ("{1:", "1", "}"),
        ] {
            // As on a thread with little room.
            let text = format!("{}{middle}{} > 0", open.repeat(count), close.repeat(count));
            let small = std::thread::Builder::new().stack_size(256 << 10);
            let parsed = small.spawn(move || Condition::parse(&text).map(|_| ())).unwrap().join().unwrap();
            let deep = parsed.is_err_and(|problem| problem.message.contains("nested too deep"));
            assert_eq!(deep, count > 16, "{open} {count}");
        }
    }
    for (unit, between) in
        [("1", "+"), ("1", "*"), ("!true", "&&"), ("--1", "-"), ("a", "."), ("!", ""), ("-", "")]
    {
        let text = vec![unit; 1000 / (unit.len() + between.len())].join(between);
        let small = std::thread::Builder::new().stack_size(256 << 10);
        // Whatever comes of it, it does not end the program.
        let _ = small.spawn(move || Condition::parse(&text).map(|_| ())).unwrap().join().unwrap();
    }
}

#[test]
fn whatever_is_written_is_no_panic() {
    let words = [
        "dish.uptime_s",
        "weather",
        ".",
        "(",
        ")",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "prev(",
        "avg(",
        ",",
        "1",
        "2.5",
        "'a'",
        "\"",
        "'",
        "?",
        ":",
        "==",
        "<",
        "in",
        "[",
        "]",
        "{",
        "}",
        "null",
        "true",
        " ",
        "\\",
        "0x",
        "1e999",
        "\n",
        "b'",
        "r'",
    ];
    let mut seed = 1_u64;
    for _ in 0..3_000 {
        let mut text = String::new();
        for _ in 0..10 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text.push_str(words[usize::try_from(seed % words.len() as u64).unwrap()]);
        }
        if let Err(problem) = Condition::parse(&text) {
            assert!(text.get(problem.at.clone()).is_some(), "{text}: {problem:?}");
        }
    }
}

#[test]
fn the_page_on_telemetry_has_each_field_once() {
    let page = include_str!("../../../docs/telemetry.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| Provider::ALL.iter().any(|provider| line.starts_with(&format!("| `{provider}."))))
        .collect();
    let expected: Vec<String> = field::KNOWN
        .iter()
        .map(|known| {
            let is = known.is.as_str().trim_start_matches("a ");
            format!("| `{}` | {is} | {} |", known.full_name(), known.about)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn samples_go_back_so_far_and_no_farther() {
    let samples = latencies(&(0..100).map(f64::from).collect::<Vec<_>>());
    let field = Field { provider: Provider::Dish, name: "pop_ping_latency_ms".to_owned() };
    assert_eq!(samples.get(&field, KEPT - 1), Some(&Value::Number(59.0)));
    assert_eq!(samples.get(&field, KEPT), None);
    let mut samples = samples;
    samples.forget(Provider::Dish);
    assert_eq!(samples.get(&field, 0), None);
}
