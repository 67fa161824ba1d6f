//! Nodes.

use tonic::Status;

use almanac_proto::v1;

use super::{
    NOW, Reconciler, at,
    conditions::{WELL, conditions, with_clock},
};

pub(super) fn list(
    reconciler: &Reconciler,
    question: &v1::ListNodesRequest,
) -> Result<v1::ListNodesResponse, Status> {
    let (nodes, next_page_token) = reconciler.page(nodes(), question.page_size, &question.page_token);
    Ok(v1::ListNodesResponse { nodes, next_page_token })
}

pub(super) fn get(
    _reconciler: &Reconciler,
    question: &v1::GetNodeRequest,
) -> Result<v1::GetNodeResponse, Status> {
    let name = &question.name;
    let node = nodes().into_iter().find(|node| node.name == *name);
    let missing = || Status::not_found(format!("node `{name}` not found (did you mean `paris-01`?)"));
    Ok(v1::GetNodeResponse { node: Some(node.ok_or_else(missing)?) })
}

pub(super) fn set_mode(
    _reconciler: &Reconciler,
    question: &v1::SetNodeModeRequest,
) -> Result<v1::SetNodeModeResponse, Status> {
    let v1::SetNodeModeRequest { name, mode, reason, until, stop_at } = question.clone();
    let mut node = nodes().into_iter().find(|node| node.name == name).unwrap();
    let since = at(NOW);
    node.cordon = (mode != v1::NodeMode::Active as i32).then(|| v1::Cordon {
        actor: "alice".to_owned(),
        reason,
        since,
        until,
        stop_at,
    });
    Ok(v1::SetNodeModeResponse { node: Some(node) })
}

pub(super) fn set_scavenger(
    _reconciler: &Reconciler,
    question: &v1::SetScavengerRequest,
) -> Result<v1::SetScavengerResponse, Status> {
    let v1::SetScavengerRequest { name, on, reason, until } = question.clone();
    let mut node = nodes().into_iter().find(|node| node.name == name).unwrap();
    let since = at(NOW);
    node.scavenging = on.then(|| v1::Scavenging { actor: "alice".to_owned(), reason, since, until });
    Ok(v1::SetScavengerResponse { node: Some(node) })
}

fn nodes() -> Vec<v1::Node> {
    let spec = |location: &str, cordoned: bool| {
        format!(r#"{{"owner":"alice","location":"{location}","guard":"5s","cordoned":{cordoned}}}"#)
    };
    vec![
        v1::Node {
            name: "london-01".to_owned(),
            labels: [("country".to_owned(), "gb".to_owned()), ("provider".to_owned(), "starlink".to_owned())]
                .into(),
            spec: spec("London, UK", false),
            liveness: v1::Liveness::Online.into(),
            last_seen: at("2027-01-10T11:59:48Z"),
            address: "203.0.113.7".to_owned(),
            agent_version: "0.1.0".to_owned(),
            engine: "docker 28.2.2".to_owned(),
            generation: 4,
            held_generation: 4,
            next_run: at("2027-01-10T12:15:00Z"),
            cordon: None,
            scavenging: None,
            conditions: with_clock(conditions(WELL), true, "OffsetTooLarge", AHEAD),
            clock: Some(v1::ClockOffset { offset_micros: -3_249_000, round_trip_micros: 48_100 }),
            host: Some(v1::HostMetrics {
                load_hundredths: Some(42),
                memory_total: Some(4 << 30),
                memory_available: Some(3 << 30),
                disk_total: Some(64 << 30),
                disk_free: Some(50 << 30),
                temperature_millidegrees: Some(48_250),
                uptime_seconds: Some(12 * 86_400),
            }),
        },
        v1::Node {
            name: "paris-01".to_owned(),
            spec: spec("Paris, France", true),
            liveness: v1::Liveness::Stale.into(),
            last_seen: at("2027-01-10T11:55:00Z"),
            agent_version: "0.1.0".to_owned(),
            generation: 7,
            held_generation: 6,
            conditions: with_clock(
                conditions([(false, "Silent", SILENT), (false, "Progressing", ""), (true, "Silent", SILENT)]),
                false,
                "InStep",
                "",
            ),
            clock: Some(v1::ClockOffset { offset_micros: 12_345, round_trip_micros: 48_000 }),
            ..v1::Node::default()
        },
        v1::Node {
            name: "tromso-01".to_owned(),
            spec: spec("Tromsø, Norway", false),
            liveness: v1::Liveness::Never.into(),
            generation: 1,
            next_run: at("2027-01-10T13:00:00Z"),
            conditions: with_clock(
                conditions([
                    (false, "NeverHeard", "its agent was never heard of"),
                    (false, "Progressing", ""),
                    (true, "NeverHeard", "its agent was never heard of"),
                ]),
                false,
                "NotMeasured",
                "",
            ),
            ..v1::Node::default()
        },
    ]
}

const AHEAD: &str = "its clock is 3.2 s ahead of the reconciler's: set it by NTP";

const SILENT: &str = "silent: last heard of at 2027-01-10T11:55:00Z";

pub(super) const BEHIND: &str = "it holds generation 6 of its state, and 7 is in force";
