//! The engine's form of what is asked of it, and of what it says.

use std::collections::HashMap;

use almanac_schemas::Size;
use bollard::models::{
    ContainerCreateBody, ContainerState, ContainerStateStatusEnum, HostConfig, Mount, MountType, PortBinding,
};
use chrono::{DateTime, SubsecRound, Utc};

use crate::{
    container::{AGENT_LABEL, ContainerSpec, NetworkChoice},
    gate::{Gates, Passage},
    logs,
    run::Exit,
};

use super::{Condition, Docker};

/// How a container's scratch space is mounted. It is memory, of the host's where the container has no limit of its own.
const SCRATCH_OPTIONS: &str = "rw,noexec,nosuid,nodev,size=64m,mode=1777";

/// A container, as the engine is asked for it.
pub(super) fn body(docker: &Docker, spec: &ContainerSpec, command: Vec<String>) -> ContainerCreateBody {
    let mut labels: HashMap<_, _> = spec.labels.clone().into_iter().collect();
    labels.insert(AGENT_LABEL.to_owned(), docker.agent.clone());
    // An engine takes a limit of 0 for none.
    let bytes = |size: Size| size.as_bytes().cast_signed().max(1);
    let bridged = matches!(spec.network, NetworkChoice::Bridge(_));
    let ports: Vec<String> = spec.ports.iter().filter(|_| bridged).map(ToString::to_string).collect();
    let published = spec.ports.iter().filter(|_| bridged).map(|port| {
        let binding = PortBinding { host_ip: None, host_port: Some(port.number.to_string()) };
        (port.to_string(), Some(vec![binding]))
    });
    let host = HostConfig {
        mounts: Some(
            spec.mounts
                .iter()
                .chain(&docker.gates.mounts(&spec.name))
                .map(|mount| Mount {
                    target: Some(mount.target.clone()),
                    source: Some(mount.source.display().to_string()),
                    typ: Some(MountType::BIND),
                    read_only: Some(mount.read_only),
                    ..Mount::default()
                })
                .collect(),
        ),
        // The engine's default may be a driver whose logs cannot be read back.
        log_config: Some(logs::engine::copy(docker.has_local_logs, docker.log_limit.as_bytes())),
        network_mode: Some(match &spec.network {
            NetworkChoice::Bridge(name) => name.clone(),
            NetworkChoice::Host => "host".to_owned(),
            NetworkChoice::None => "none".to_owned(),
        }),
        port_bindings: Some(published.collect()),
        readonly_rootfs: Some(spec.read_only),
        tmpfs: spec.scratch.map(|path| HashMap::from([(path.to_owned(), SCRATCH_OPTIONS.to_owned())])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.capabilities.iter().map(ToString::to_string).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        nano_cpus: spec.resources.cpus.map(nano_cpus),
        memory: spec.resources.memory.map(bytes),
        // The same as the memory: no swap on top of it.
        memory_swap: spec.resources.memory.map(bytes),
        sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
        pids_limit: spec.resources.pids.map(|pids| i64::from(pids).max(1)),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.to_string()),
        entrypoint: Some(Gates::entrypoint()),
        cmd: Some(command),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels),
        exposed_ports: Some(ports),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion from a float saturates")]
fn nano_cpus(cpus: f64) -> i64 {
    ((cpus * 1e9).round() as i64).max(1)
}

/// What a container is doing: the engine knows of the container, and its gate of the command.
pub(super) fn condition(state: &ContainerState, passage: Passage) -> Condition {
    // Docker writes year 1 for what did not happen.
    let instant = |text: &Option<String>| {
        let instant = DateTime::parse_from_rfc3339(text.as_deref()?).ok()?.to_utc().trunc_subsecs(6);
        (instant > DateTime::<Utc>::UNIX_EPOCH).then_some(instant)
    };
    if instant(&state.started_at).is_none() {
        return Condition::Created;
    }
    let alive = [
        ContainerStateStatusEnum::RUNNING,
        ContainerStateStatusEnum::PAUSED,
        ContainerStateStatusEnum::RESTARTING,
    ];
    let alive = state.status.is_some_and(|status| alive.contains(&status));
    match (passage, alive) {
        (Passage::Closed, true) => Condition::Created,
        (Passage::Closed, false) => Condition::Spent,
        (Passage::Failed(why), _) => Condition::Unfit(why),
        (Passage::Passed(started_at), true) => Condition::Running { started_at },
        (Passage::Passed(started_at), false) => {
            let exit = Exit {
                at: instant(&state.finished_at).unwrap_or(started_at),
                code: state.exit_code.and_then(|code| i32::try_from(code).ok()),
                out_of_memory: state.oom_killed.unwrap_or(false),
            };
            Condition::Ended { started_at, exit }
        }
    }
}
