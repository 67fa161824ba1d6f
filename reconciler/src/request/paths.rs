//! The paths that there are. Whoever makes up paths must not make up metrics.

use std::{collections::HashSet, sync::LazyLock};

use almanac_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::webhooks::Forge;

static PATHS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let calls =
        [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
    let calls = calls.into_iter().flat_map(|set| calls_of(set).unwrap_or_default());
    let hooks = Forge::ALL.map(|forge| format!("/hooks/{}", forge.name()));
    let plain = ["/healthz", "/readyz", "/metrics"].map(str::to_owned);
    calls.chain(hooks).chain(plain).collect()
});

/// A path as a label.
pub(super) fn label(path: &str) -> &str {
    if PATHS.contains(path) { path } else { "other" }
}

fn calls_of(set: &[u8]) -> Result<Vec<String>, prost::DecodeError> {
    let mut calls = Vec::new();
    for file in FileDescriptorSet::decode(set)?.file {
        for service in &file.service {
            let methods = service.method.iter();
            calls.extend(
                methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())),
            );
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_does_not_exist_is_no_label() {
        for path in [
            "/almanac.v1.NodeService/Heartbeat",
            "/almanac.v1.TestbedService/WhoAmI",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/hooks/github",
            "/metrics",
        ] {
            assert_eq!(label(path), path);
        }
        for path in ["/almanac.v1.NodeService/Heartbeats", "/a.B/C", "/robots.txt", "/hooks/nobody", ""] {
            assert_eq!(label(path), "other");
        }
    }
}
