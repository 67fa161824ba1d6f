//! A run with two sides: its server failed, and its client with it.

use almanac_proto::v1::{self, Phase, Reason};

use super::{File, PAIR, at, known::APPLIED, runs::step};

/// The run, if it is asked for.
pub(super) fn get(id: &str, files: &[File]) -> Option<v1::GetRunResponse> {
    if !PAIR.starts_with(id) {
        return None;
    }
    let artifacts: Vec<v1::Artifact> = [v1::Role::Client, v1::Role::Server]
        .into_iter()
        .flat_map(|role| files.iter().map(move |file| (role, file)))
        .map(|(role, file)| v1::Artifact {
            run_id: PAIR.to_owned(),
            role: role.into(),
            ..file.announced.clone()
        })
        .collect();
    let of = |role| artifacts.iter().filter(|file| file.role() == role).cloned().collect();
    let parts = [client(), server()].map(|part| v1::Run { artifacts: of(part.role()), ..part });
    Some(v1::GetRunResponse {
        run: Some(v1::Run { artifacts: vec![], steps: vec![], ..parts[0].clone() }),
        steps: parts[0].steps.clone(),
        parts: parts.to_vec(),
        artifacts,
    })
}

/// What both sides share.
fn side(role: v1::Role, node: &str, steps: Vec<v1::RunStep>) -> v1::Run {
    let end = steps.last().unwrap().clone();
    v1::Run {
        id: PAIR.to_owned(),
        job: "throughput".to_owned(),
        node: node.to_owned(),
        owner: "alice".to_owned(),
        scheduled_at: at("2027-01-10T11:30:00Z"),
        phase: end.phase,
        reason: end.reason,
        message: end.message,
        commit: APPLIED.to_owned(),
        role: role.into(),
        steps,
        ..v1::Run::default()
    }
}

fn client() -> v1::Run {
    let none = Reason::Unspecified;
    let steps = vec![
        step(1, Phase::Deploying, none, "", "2027-01-10T11:29:00.340Z"),
        step(2, Phase::Running, none, "", "2027-01-10T11:30:00.912Z"),
        step(3, Phase::Uploading, none, "", "2027-01-10T11:30:43.507Z"),
        step(
            4,
            Phase::Failed,
            Reason::ServerUnavailable,
            "its server was lost: it ended with exit code 3",
            "2027-01-10T11:30:44.101Z",
        ),
    ];
    v1::Run {
        started_at: at("2027-01-10T11:30:00.912Z"),
        ended_at: at("2027-01-10T11:30:43.500Z"),
        start_skew_micros: Some(912_345),
        image: "registry.example.org/probes/iperf:3".to_owned(),
        image_digest: format!("sha256:{}", "01".repeat(32)),
        ..side(v1::Role::Client, "london-01", steps)
    }
}

fn server() -> v1::Run {
    let none = Reason::Unspecified;
    let steps = vec![
        step(
            1,
            Phase::Deploying,
            none,
            "pulling registry.example.org/probes/iperf-server:3",
            "2027-01-10T11:29:00.120Z",
        ),
        step(2, Phase::Running, none, "", "2027-01-10T11:30:00.004Z"),
        step(3, Phase::Uploading, none, "", "2027-01-10T11:30:41.300Z"),
        step(4, Phase::Failed, Reason::ExitCode, "it ended with exit code 3", "2027-01-10T11:30:42.020Z"),
    ];
    v1::Run {
        started_at: at("2027-01-10T11:30:00.004Z"),
        ended_at: at("2027-01-10T11:30:41.250Z"),
        exit_code: Some(3),
        start_skew_micros: Some(4_012),
        image: "registry.example.org/probes/iperf-server:3".to_owned(),
        image_digest: format!("sha256:{}", "ab".repeat(32)),
        ..side(v1::Role::Server, "paris-01", steps)
    }
}
