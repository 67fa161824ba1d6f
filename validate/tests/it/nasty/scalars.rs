//! Scalars that one may take for something else: words, numbers, names.

use super::{NONE, USER, findings, help, job, lines, node};

/// The words and numbers that versions of YAML disagree on: all of these are strings here, and a
/// string is not silently taken for something else.
#[test]
fn ambiguous_scalars_mean_one_thing() {
    for word in ["yes", "no", "on", "off", "y", "n", "Yes", "NO"] {
        let found = lines(job(&format!("exclusive: {word}")));
        assert_eq!(
            found,
            [format!("invalid-value 21:14 expected `true` or `false`, found the string `{word}`")]
        );
    }
    for word in ["true", "TRUE", "True", "false"] {
        assert_eq!(lines(job(&format!("exclusive: {word}"))), NONE);
    }
    for word in ["~", "null", "Null", "NULL", ""] {
        let found = lines(job(&format!("exclusive: {word}")));
        assert!(found[0].ends_with("expected `true` or `false`, found nothing"), "{found:?}");
    }
    assert!(lines(USER.replace("admin", ""))[0].ends_with("expected a word, found nothing"));
    let date = job("").replace("2027-01-10T12:00:00Z", "2027-01-10");
    assert_eq!(lines(date), ["invalid-value 22:19 `2027-01-10` is not an instant"]);
}

fn pids(number: &str) -> Vec<String> {
    lines(node(&format!("limits: {{ pids: {number} }}")))
}

#[test]
fn numbers_are_those_of_yaml_1_2() {
    let pids_is = |number: &str, message: &str| {
        assert_eq!(pids(number), [format!("invalid-value 12:19 {message}")], "{number}");
    };
    for number in ["10", "0o12", "0xA", "0b1010", "+10", "&a 10"] {
        assert_eq!(pids(number), NONE, "{number}");
    }
    pids_is("014", "`014` is not a number: it starts with a zero");
    pids_is("1_000", "`1_000` is not a number: it contains `_`");
    let whole = "expected a whole number from 0 to 4294967295, found";
    pids_is("12:30:00", &format!("{whole} the string `12:30:00`"));
    pids_is("1:20", &format!("{whole} the string `1:20`"));
    pids_is("2027-01-10", &format!("{whole} the string `2027-01-10`"));
    pids_is("-1", &format!("{whole} the number `-1`"));
    pids_is("1.5", &format!("{whole} the number `1.5`"));
    pids_is("4294967296", &format!("{whole} the number `4294967296`"));
    pids_is("18446744073709551615", &format!("{whole} the number `18446744073709551615`"));
    assert_eq!(
        help(node("limits: { pids: 014 }")),
        "write `14`, or `0o14` if it is meant as an octal number"
    );
    assert_eq!(help(node("limits: { pids: 1_000 }")), "write `1000`");
}

#[test]
fn numbers_that_no_machine_holds_are_refused() {
    assert_eq!(pids("18446744073709551616"), ["syntax 12:19 the number is too large"]);
    assert_eq!(pids("1e400"), ["invalid-value 12:19 the number `1e400` is too large"]);
    let huge = format!("1{}", "0".repeat(400));
    let short = format!("1{}...", "0".repeat(59));
    assert_eq!(pids(&huge), [format!("invalid-value 12:19 the number `{short}` is too large")]);
    assert_eq!(pids("0"), ["value-range 12:19 a limit of 0 processes lets nothing start"]);
}

/// Every field that is a number with a fraction.
#[test]
fn numbers_are_finite_and_within_bounds() {
    let field = |name: &str, number: &str| match name {
        "maxFraction" => lines(format!(
            "apiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: c }}\nspec: {{ prune: {{ maxFraction: {number} }} }}\n"
        )),
        "cpus" => lines(node(&format!("limits: {{ cpus: {number} }}"))),
        "share" => lines(
            job("").replace("{ image: x }", &format!("{{ image: x, resources: {{ cpus: {number} }} }}")),
        ),
        "latitude" => lines(node(&format!("coordinates: {{ longitude: 0, latitude: {number} }}"))),
        "longitude" => lines(node(&format!("coordinates: {{ latitude: 0, longitude: {number} }}"))),
        _ => lines(node(&format!("coordinates: {{ latitude: 0, longitude: 0, elevation: {number} }}"))),
    };
    for name in ["maxFraction", "cpus", "share", "latitude", "longitude", "elevation"] {
        for number in [".inf", "-.inf", ".nan", ".NaN", "-.INF"] {
            let [found] = field(name, number).try_into().unwrap();
            assert!(found.starts_with("value-range "), "{found}");
            assert!(found.ends_with(&format!("`{number}` is not a finite number")), "{found}");
        }
        let [found] = field(name, "1e400").try_into().unwrap();
        assert!(found.ends_with("the number `1e400` is too large"), "{found}");
        let [found] = field(name, "1e300").try_into().unwrap();
        assert!(found.starts_with("value-range "), "{found}");
    }
    for name in ["maxFraction", "latitude", "longitude", "elevation"] {
        assert_eq!(field(name, "-0"), NONE);
        assert_eq!(field(name, "1e-400"), NONE);
    }
    assert_eq!(field("cpus", "-0"), ["value-range 12:19 a limit of 0 CPUs is not more than 0"]);
    assert_eq!(
        field("share", "1e-10"),
        ["value-range 20:45 a share of 0.0000000001 CPUs is less than 0.01, the least that an engine grants"]
    );
    assert_eq!(
        field("cpus", "9000"),
        ["value-range 12:19 a limit of 9000 CPUs is more than the 8192 that a kernel knows"]
    );
    assert_eq!(
        field("elevation", "200000"),
        ["value-range 12:56 an elevation of 200000 is not between -11000 and 100000 metres"]
    );
    assert_eq!(
        lines(node("limits: { memory: 0B }")),
        ["value-range 12:21 a limit of 0B of memory is less than 6MiB, which a container needs to start"]
    );
    // JSON has no such numbers, and would say nothing in their place.
    assert_eq!(lines(job("config: { a: [.nan] }")), ["value-range 21:17 `.nan` is not a finite number"]);
}

#[test]
fn a_bare_number_is_told_what_it_lacks() {
    let memory = node("limits: { memory: 512 }");
    assert_eq!(lines(&memory), ["invalid-value 12:21 expected a size, found the number `512`"]);
    assert_eq!(help(memory), "write it with a unit, such as `512MiB` or `512GiB`");
    let length = job("").replace("1m", "90");
    assert_eq!(help(length), "write it with a unit, such as `90s` or `90m`");
    let name = USER.replace("alice", "1");
    assert_eq!(help(&name), "put it in quotes to make it a string");
    assert!(findings(name.as_bytes()).remove(0).fix.is_some());
}

#[test]
fn names_are_what_they_look_like() {
    let name = |name: &str| lines(USER.replace("alice", name));
    let found = |text: &str, found: &str| {
        vec![format!("invalid-value 3:19 `{text}` is not a name: {found} is not one of a-z, 0-9 and `-`")]
    };
    assert_eq!(name("alic\u{435}"), found("alic\u{435}", "`\u{435}` (U+0435)"));
    assert_eq!(name("\u{e9}"), found("\u{e9}", "`\u{e9}` (U+00E9)"));
    assert_eq!(name("e\u{301}"), found("e\u{301}", "`\u{301}` (U+0301)"));
    assert_eq!(name("Alice"), found("Alice", "`A`"));
    assert_eq!(name("a_b"), found("a_b", "`_`"));
    assert_eq!(name("\"a\\nb\""), found("a\\nb", "`\\n`"));
    let long = "a".repeat(64);
    assert_eq!(name(&long), ["invalid-value 3:19 a name has at most 63 characters, this one has 64"]);
    assert_eq!(name(&long[1..]), NONE);
    assert_eq!(name("\"\""), ["invalid-value 3:19 a name must not be empty"]);
    assert_eq!(
        lines(USER.replace("{ name: alice }", "\n  name: |\n    alice\n")),
        ["invalid-value 5:5 `alice\\n` is not a name: `\\n` is not one of a-z, 0-9 and `-`"]
    );
    assert_eq!(lines(USER.replace("{ name: alice }", "\n  name: >-\n    alice\n")), NONE);
}

#[test]
fn a_cron_expression_may_span_lines_and_is_pointed_into() {
    let cron = |text: &str| lines(node(&format!("maintenance:\n  - length: 1h\n    cron: {text}")));
    assert_eq!(cron("|\n      0 3 * * *"), NONE);
    let wrong = "the hour `25` is out of range: hours are 0 to 23";
    assert_eq!(cron("0 25 * * *"), [format!("cron 14:13 {wrong}")]);
    assert_eq!(cron("\"0 25 * * *\\n\""), [format!("cron 14:14 {wrong}")]);
    assert_eq!(cron(">\n      0\n      25\n      * * *"), [format!("cron 16:7 {wrong}")]);
    assert_eq!(cron("\"0 \\x325 * * *\""), [format!("cron 14:14 {wrong}")]);
}
