use almanac_schemas::Instant;

use super::*;

fn order(spec: &str, limits: &str) -> Order {
    Order {
        job: "ping".parse().unwrap(),
        node: "london-01".parse().unwrap(),
        role: RunRole::Client,
        scheduled_at: "2027-01-15T08:00:00Z".parse::<Instant>().unwrap(),
        begin_at: None,
        start_by: "2027-01-15T08:00:30Z".parse::<Instant>().unwrap(),
        spec: serde_json::from_str(spec).unwrap(),
        limits: serde_json::from_str(limits).unwrap(),
        network: "almanac".to_owned(),
        commit: String::new(),
        peer: None,
    }
}

fn files() -> RunFiles {
    RunFiles {
        api: "/state/almanac".into(),
        config: "/s/config.yaml".into(),
        facts: "/s/run.json".into(),
        artifacts: "/s/artifacts".into(),
    }
}

const SPEC: &str = r#"{
    "owner": "alice", "nodes": ["london-01"],
    "schedule": { "at": "2027-01-15T08:00:00Z", "length": "2m" },
    "container": {
        "image": "x/y:1",
        "command": ["ping", "$(TARGET)", "$$(TARGET)", "$(NOBODY)"],
        "env": { "A": "$(ALMANAC_NODE)", "ALMANAC_RUN": "forged", "TARGET": "$(A).example.org" },
        "capabilities": ["NET_RAW"],
        "resources": { "cpus": 4, "memory": "64MiB" },
        "ports": ["5201/tcp"]
    },
    "artifacts": { "path": "/results" }
}"#;

#[test]
fn a_container_is_described_completely() {
    let order = order(SPEC, r#"{ "cpus": 2, "memory": "1GiB", "pids": 99 }"#);
    let spec = describe(&order, &files(), View::Mounted);
    let run = order.key().id.to_string();
    assert_eq!(spec.name.as_str(), format!("almanac-{run}"));
    assert_eq!(spec.labels[RUN_LABEL], run);
    assert_eq!(spec.labels[NODE_LABEL], "london-01");
    assert_eq!(spec.command, ["ping", "london-01.example.org", "$(TARGET)", "$(NOBODY)"]);
    let variable = |name: &str| {
        let mut found = spec.env.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is set once");
        value
    };
    assert_eq!(variable("ALMANAC_RUN"), Some(run.as_str()), "not what the manifest says");
    assert_eq!(variable("ALMANAC_LENGTH"), Some("120"));
    assert_eq!(variable("ALMANAC_SCHEDULED_AT"), Some("2027-01-15T08:00:00Z"));
    assert_eq!(variable("ALMANAC_ARTIFACTS"), Some("/results"));
    assert_eq!(variable("ALMANAC_CONFIG"), Some("/almanac/config.yaml"));
    assert_eq!(variable("ALMANAC_API"), Some("/almanac/api.sock"));
    assert_eq!(
        spec.resources,
        Resources { cpus: Some(2.0), memory: Some("64MiB".parse().unwrap()), pids: Some(99) }
    );
    assert_eq!(spec.network, NetworkChoice::Bridge("almanac".to_owned()));
    let mounts: Vec<(&str, bool)> =
        spec.mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
    assert_eq!(
        mounts,
        [
            ("/almanac", true),
            ("/almanac/config.yaml", true),
            ("/almanac/run.json", true),
            ("/results", false)
        ]
    );
}

#[test]
fn a_container_can_write_to_its_artifacts_and_to_tmp_alone() {
    let described =
        |from: &str, to: &str| describe(&order(&SPEC.replace(from, to), "{}"), &files(), View::Mounted);
    let usual = described("", "");
    assert_eq!((usual.read_only, usual.scratch), (true, Some("/tmp")));
    // An engine refuses two mounts in one place.
    for path in ["/tmp", "/tmp/", "//tmp/.", "/tmp/./"] {
        let there = described("/results", path);
        assert_eq!((there.read_only, there.scratch), (true, None), "{path}");
    }
    assert_eq!(described("/results", "/tmp/results").scratch, Some("/tmp"));
    let writable = described(r#""image""#, r#""readOnly": false, "image""#);
    assert_eq!((writable.read_only, writable.scratch), (false, None));
}

#[test]
fn without_mounts_a_run_is_told_the_real_paths() {
    let spec = describe(&order(SPEC, "{}"), &files(), View::Host);
    assert!(spec.env.contains(&("ALMANAC_ARTIFACTS".to_owned(), "/s/artifacts".to_owned())));
    assert!(spec.env.contains(&("ALMANAC_CONFIG".to_owned(), "/s/config.yaml".to_owned())));
}

#[test]
fn the_part_of_a_server_has_its_own_container() {
    let with_server = SPEC.replace(
        r#""artifacts":"#,
        r#""server": {"node": "paris-01", "container": {"image": "s"}}, "artifacts":"#,
    );
    let mut order = order(&with_server, "{}");
    order.role = RunRole::Server;
    let spec = describe(&order, &files(), View::Mounted);
    assert_eq!(spec.image.as_str(), "s");
    assert!(spec.name.as_str().ends_with("-server"));
}

#[test]
fn references_are_expanded_as_kubernetes_does() {
    let variables = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())];
    for (text, expanded) in [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(A)"),
        ("$(C)", "$(C)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$$", "$"),
        ("é$(A)é", "é1é"),
    ] {
        assert_eq!(expand(text, &variables), expanded, "{text}");
    }
}

#[test]
fn an_engine_sets_the_sysctls_of_a_network_of_its_own_and_no_others() {
    let kernel = r#""kernel": {"sysctls": {"net.ipv4.tcp_congestion_control": "bbr", "kernel.shmmax": "1"}}"#;
    let with = SPEC.replacen("\"artifacts\"", &format!("{kernel}, \"artifacts\""), 1);
    let sysctls = |spec: &str, role| {
        let order = Order { role, ..order(spec, "{}") };
        describe(&order, &files(), View::Mounted).sysctls.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(sysctls(&with, RunRole::Client), ["net.ipv4.tcp_congestion_control"]);
    let host = with.replacen("\"image\"", "\"network\": \"host\", \"image\"", 1);
    assert!(sysctls(&host, RunRole::Client).is_empty());
    assert!(sysctls(&with, RunRole::Server).is_empty(), "they are the client's");
}

#[test]
fn a_client_is_told_where_its_server_is() {
    let with_server = SPEC.replace(
        r#""artifacts":"#,
        r#""server": {"node": "paris-01", "container": {"image": "s", "ports": ["5201/tcp", "5201/udp", "80/tcp"]}},
           "artifacts":"#,
    );
    let mut order = order(&with_server, "{}");
    order.spec.container.command = vec!["$(ALMANAC_SERVER_ADDRESS):$(ALMANAC_SERVER_PORT_5201)".to_owned()];
    order.peer = Some(Peer { node: "paris-01".parse().unwrap(), address: "203.0.113.7".to_owned() });
    let spec = describe(&order, &files(), View::Mounted);
    assert_eq!(spec.command, ["203.0.113.7:5201"]);
    let told = |spec: &ContainerSpec| -> Vec<String> {
        let theirs = spec.env.iter().filter(|(name, _)| name.contains("SERVER") || name.contains("CLIENT"));
        theirs.map(|(name, value)| format!("{name}={value}")).collect()
    };
    assert_eq!(
        told(&spec),
        [
            "ALMANAC_SERVER_NODE=paris-01",
            "ALMANAC_SERVER_ADDRESS=203.0.113.7",
            "ALMANAC_SERVER_PORT_80=80",
            "ALMANAC_SERVER_PORT_5201=5201"
        ]
    );
    order.role = RunRole::Server;
    order.peer = Some(Peer { node: "london-01".parse().unwrap(), address: String::new() });
    assert_eq!(told(&describe(&order, &files(), View::Mounted)), ["ALMANAC_CLIENT_NODE=london-01"]);
}
