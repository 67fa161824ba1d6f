use chrono::{DateTime, Utc};

use super::*;

fn policy(toml: &str) -> Policy {
    toml::from_str(toml).unwrap()
}

fn job(container: &str, rest: &str) -> JobSpec {
    serde_json::from_str(&format!(
        r#"{{"owner":"alice","nodes":["n"],"schedule":{{"at":"2027-01-15T08:00:00Z","length":"2m"}},
            "container":{{"image":"ghcr.io/example/ping:1"{container}}}{rest}}}"#
    ))
    .unwrap()
}

fn node(rest: &str) -> NodeSpec {
    serde_json::from_str(&format!(r#"{{"owner":"alice"{rest}}}"#)).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn run(from: &str, to: &str) -> Occurrence {
    Occurrence { start: at(from), end: at(to) }
}

fn noon() -> Occurrence {
    run("2027-01-15T12:00:00Z", "2027-01-15T12:02:00Z")
}

/// Why a policy forbids a job; empty when it does not.
fn refusal(policy: &Policy, node: &NodeSpec, job: &JobSpec) -> String {
    policy
        .judge(node, job, RunRole::Client, noon())
        .err()
        .map(|refused| refused.to_string())
        .unwrap_or_default()
}

#[test]
fn no_policy_forbids_nothing_that_stays_within_the_container() {
    let (none, node) = (Policy::default(), node(""));
    assert_eq!(refusal(&none, &node, &job("", "")), "");
    assert_eq!(refusal(&none, &node, &job(r#","capabilities":["NET_RAW","NET_ADMIN","CHOWN"]"#, "")), "");
    let beyond = refusal(&none, &node, &job(r#","capabilities":["SYS_ADMIN","NET_RAW","SYS_TIME"]"#, ""));
    assert!(beyond.contains("`SYS_ADMIN`") && beyond.contains("`SYS_TIME`"), "{beyond}");
    assert!(!beyond.contains("NET_RAW"), "{beyond}");
}

#[test]
fn the_network_of_the_host_takes_the_node_and_the_host() {
    let (closed, open) = (node(""), node(r#","hostNetwork":true"#));
    let job = job(r#","network":"host""#, "");
    assert!(refusal(&policy("host-network = true"), &closed, &job).contains("hostNetwork: true"));
    assert_eq!(refusal(&Policy::default(), &open, &job), "");
    assert_eq!(refusal(&policy("host-network = true"), &open, &job), "");
    assert!(refusal(&policy("host-network = false"), &open, &job).contains("`network: host`"));
}

#[test]
fn administering_the_network_of_the_host_takes_its_word() {
    let open = node(r#","hostNetwork":true"#);
    let job = job(r#","network":"host","capabilities":["NET_ADMIN"]"#, "");
    assert!(refusal(&Policy::default(), &open, &job).contains("`NET_ADMIN` with `network: host`"));
    assert_eq!(refusal(&policy(r#"capabilities = ["NET_ADMIN"]"#), &open, &job), "");
}

#[test]
fn a_list_of_capabilities_is_all_that_there_are() {
    let policy = policy(r#"capabilities = ["SYS_TIME", "NET_RAW"]"#);
    let asks = |names: &str| refusal(&policy, &node(""), &job(&format!(r#","capabilities":[{names}]"#), ""));
    assert_eq!(asks(r#""SYS_TIME","NET_RAW""#), "");
    assert!(asks(r#""CHOWN""#).contains("`CHOWN`"), "what is confined needs to be named as well");
}

#[test]
fn images_and_sysctls_are_those_that_are_named() {
    let from =
        |registries: &str| refusal(&policy(&format!("registries = [{registries}]")), &node(""), &job("", ""));
    assert_eq!(from(r#""registry.example.org", "ghcr.io/example""#), "");
    assert!(from(r#""registry.example.org""#).contains("`ghcr.io/example/ping`"));
    assert!(from("").contains("`ghcr.io/example/ping`"), "an empty list allows nothing");
    let sets = job("", r#","kernel":{"sysctls":{"net.ipv4.tcp_congestion_control":"bbr"}}"#);
    assert_eq!(refusal(&policy(r#"sysctls = ["net.ipv4.tcp_congestion_control"]"#), &node(""), &sets), "");
    assert!(refusal(&policy("sysctls = []"), &node(""), &sets).contains("tcp_congestion_control"));
    let files =
        job("", r#","kernel":{"files":{"/proc/sys/vm/swappiness":"1","/proc/sys/vm/laptop_mode":"1"}}"#);
    assert_eq!(refusal(&Policy::default(), &node(""), &files), "");
    assert_eq!(refusal(&policy(r#"kernel-files = ["/proc/sys/vm/*"]"#), &node(""), &files), "");
    let some = refusal(&policy(r#"kernel-files = ["/proc/sys/vm/s*"]"#), &node(""), &files);
    assert!(some.contains("laptop_mode") && !some.contains("swappiness"), "{some}");
    assert!(refusal(&policy("kernel-files = []"), &node(""), &files).contains("swappiness"));
}

#[test]
fn everything_that_is_in_the_way_is_said_at_once() {
    let policy = policy("registries = []\ncapabilities = []\nquiet-hours = [{ daily = \"00:00-23:59\" }]");
    let job = job(r#","capabilities":["CHOWN"],"network":"host""#, "");
    let said = refusal(&policy, &node(""), &job);
    assert_eq!(said.matches("; ").count(), 3, "{said}");
}

#[test]
fn a_server_is_judged_by_its_own_container() {
    let policy = policy(r#"registries = ["ghcr.io"]"#);
    let job = job("", r#","server":{"node":"m","container":{"image":"busybox"}}"#);
    assert!(policy.judge(&node(""), &job, RunRole::Client, noon()).is_ok());
    assert!(policy.judge(&node(""), &job, RunRole::Server, noon()).is_err());
}

#[test]
fn limits_are_narrowed_and_never_widened() {
    let policy = policy("cpus = 1.5\nmemory = \"1GiB\"\npids = 100\nartifacts = \"10MiB\"");
    let limits = |node: &NodeSpec| policy.judge(node, &job("", ""), RunRole::Client, noon()).unwrap();
    let open = limits(&node(""));
    assert_eq!((open.cpus, open.pids), (Some(1.5), Some(100)));
    assert_eq!(open.artifacts, Some("10MiB".parse().unwrap()));
    let narrow = limits(&node(r#","limits":{"cpus":1,"memory":"512MiB","pids":200,"artifacts":"1MiB"}"#));
    assert_eq!((narrow.cpus, narrow.pids), (Some(1.0), Some(100)));
    assert_eq!(narrow.memory, Some("512MiB".parse().unwrap()));
    assert_eq!(narrow.artifacts, Some("1MiB".parse().unwrap()));
}

/// Whether quiet hours keep a run away.
fn is_quiet(hours: &str, from: &str, to: &str) -> bool {
    let policy = policy(&format!("quiet-hours = [{hours}]"));
    policy.judge(&node(""), &job("", ""), RunRole::Client, run(from, to)).is_err()
}

#[test]
fn a_run_is_kept_from_every_instant_of_quiet_hours() {
    let night = r#"{ daily = "22:00-06:00" }"#;
    let quiet = |from: &str, to: &str| is_quiet(night, from, to);
    assert!(quiet("2027-01-15T23:00:00Z", "2027-01-15T23:01:00Z"));
    assert!(quiet("2027-01-16T05:59:00Z", "2027-01-16T06:30:00Z"));
    assert!(quiet("2027-01-15T21:59:00Z", "2027-01-15T22:01:00Z"), "it would run into them");
    assert!(quiet("2027-01-15T12:00:00Z", "2027-01-16T12:00:00Z"), "they lie within it");
    assert!(!quiet("2027-01-15T06:00:00Z", "2027-01-15T22:00:00Z"), "what touches does not meet");
    let lunch = r#"{ daily = "12:00-13:00" }"#;
    assert!(is_quiet(lunch, "2027-01-15T12:30:00Z", "2027-01-15T12:31:00Z"));
    assert!(!is_quiet(lunch, "2027-01-15T13:00:00Z", "2027-01-15T13:01:00Z"));
}

/// Clocks in London go from 01:00 to 02:00 UTC+1 at 01:00 UTC on 2027-03-28, and back on 2027-10-31.
#[test]
fn quiet_hours_follow_the_clocks_of_their_zone() {
    let night = r#"{ daily = "22:00-06:00", timezone = "Europe/London" }"#;
    let quiet = |at: &str| is_quiet(night, at, &at.replace(":00Z", ":30Z"));
    assert!(quiet("2027-03-27T22:00:00Z") && quiet("2027-03-28T04:59:00Z"));
    assert!(!quiet("2027-03-28T05:00:00Z"), "06:00 in London is 05:00 UTC from this morning on");
    assert!(quiet("2027-03-28T21:00:00Z") && !quiet("2027-03-28T20:59:00Z"));
    assert!(quiet("2027-10-31T05:59:00Z") && !quiet("2027-10-31T06:00:00Z"));
    // A beginning that the clocks leave out is right after what they leave out.
    let gap = r#"{ daily = "01:30-03:00", timezone = "Europe/London" }"#;
    assert!(is_quiet(gap, "2027-03-28T01:10:00Z", "2027-03-28T01:20:00Z"));
}

#[test]
fn quiet_hours_may_be_those_of_a_week() {
    let sunday = r#"{ cron = "0 3 * * 0", length = "2h" }"#;
    assert!(is_quiet(sunday, "2027-01-17T04:59:00Z", "2027-01-17T05:30:00Z"));
    assert!(!is_quiet(sunday, "2027-01-17T05:00:00Z", "2027-01-17T05:30:00Z"));
    assert!(!is_quiet(sunday, "2027-01-16T04:00:00Z", "2027-01-16T05:30:00Z"));
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    for (text, said) in [
        ("host_network = true", "host-network"),
        ("cpus = 0.0", "such as `1.5`"),
        ("memory = \"0B\"", "such as `512MiB`"),
        ("memory = \"much\"", "is not a size"),
        ("pids = 0", "such as `256`"),
        ("capabilities = [\"CAP_NET_RAW\"]", "without `CAP_`"),
        ("kernel-files = [\"/etc/*\"]", "/sys/module/NAME/parameters/NAME"),
        ("kernel-files = [\"/proc/sys/vm/../kernel/*\"]", "without `.`"),
        ("registries = [\"https://x.org\"]", "`registry.example.org`"),
        ("quiet-hours = [{ daily = \"22:00\" }]", "`22:00-06:00`"),
        ("quiet-hours = [{ daily = \"22:00-22:00\" }]", "two different times"),
        ("quiet-hours = [{ daily = \"22:00-25:00\" }]", "`22:00-25:00`"),
        ("quiet-hours = [{ cron = \"0 3 * * 0\" }]", "with `length"),
        ("quiet-hours = [{ cron = \"0 3 * * 0\", length = \"8d\" }]", "7 days"),
        ("quiet-hours = [{ daily = \"22:00-06:00\", timezone = \"Mars\" }]", "time zone"),
    ] {
        let error = toml::from_str::<Policy>(text).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("line 1"), "{text}: {error}");
    }
}
