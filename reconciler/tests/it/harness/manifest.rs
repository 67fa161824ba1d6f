//! Manifests for tests. Schedules lie in 2030, so that nothing depends on when a test runs.

/// Once an hour.
pub(crate) const HOURLY: &str =
    "{ cron: \"0 * * * *\", start: 2030-01-01T00:00:00Z, end: 2031-01-01T00:00:00Z, length: 1m }";

/// Once a day.
pub(crate) const DAILY: &str =
    "{ cron: \"0 12 * * *\", start: 2030-01-01T00:00:00Z, end: 2031-01-01T00:00:00Z, length: 1m }";

/// A user with a key.
pub(crate) fn user(name: &str, role: &str, key: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: {name} }}\nspec: {{ role: {role}, team: surrey, keys: [\"{key}\"] }}\n"
    )
}

/// A node with a key, owned by `alice`, and more fields of its spec.
pub(crate) fn node(name: &str, key: &str, more: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name}, labels: {{ city: {name} }} }}\nspec:\n  owner: alice\n  keys: [\"{key}\"]\n{more}"
    )
}

/// A job of a user on a node.
pub(crate) fn job(name: &str, owner: &str, node: &str, schedule: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: {owner}\n  nodes: [{node}]\n  \
         schedule: {schedule}\n  exclusive: false\n  container: {{ image: \"example.org/probe:1\" }}\n"
    )
}

/// A job with a server on another node.
pub(crate) fn served_job(name: &str, owner: &str, client: &str, server: &str, schedule: &str) -> String {
    job(name, owner, client, schedule)
        + &format!(
            "  server:\n    node: {server}\n    container: {{ image: \"example.org/server:1\", ports: [5201/tcp] }}\n    ready: {{ tcp: 5201, timeout: 60s }}\n"
        )
}

/// Settings, with these lines below `artifacts`.
pub(crate) fn config(artifacts: &str) -> String {
    let lines: String = artifacts.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec:\n  artifacts:\n{lines}"
    )
}
