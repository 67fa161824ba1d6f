//! Jobs, as a reconciler hands them out.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use almanac_proto::{convert, v1};

use super::IMAGE;

/// A job and since when it is declared.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    name: String,
    role: v1::Role,
    since: DateTime<Utc>,
    clients: Vec<String>,
    spec: Value,
}

impl Job {
    /// A job that runs once.
    pub(crate) fn once(name: &str, at: DateTime<Utc>) -> Self {
        let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        Self::new(name, &json!({"at": at, "length": "20s"}))
    }

    /// A job that runs in a moment.
    pub(crate) fn soon(name: &str) -> Self {
        Self::once(name, Utc::now() + TimeDelta::milliseconds(300))
    }

    /// A job that runs every second. Its runs may overlap.
    pub(crate) fn every_second(name: &str) -> Self {
        let end = (Utc::now() + TimeDelta::days(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
        Self::new(name, &json!({"cron": "* * * * * *", "end": end, "length": "20s"}))
            .spec("exclusive", json!(false))
    }

    fn new(name: &str, schedule: &Value) -> Self {
        let spec = json!({
            "owner": "alice",
            "nodes": ["some-node"],
            "schedule": schedule,
            "container": {"image": IMAGE, "command": ["sh", "-c", "true"], "network": "none"},
        });
        let clients = Vec::new();
        Self { name: name.to_owned(), role: v1::Role::Client, since: Utc::now(), clients, spec }
    }

    /// What it runs, in a shell.
    pub(crate) fn sh(self, script: &str) -> Self {
        self.container("command", json!(["sh", "-c", script]))
    }

    /// How long a run may take.
    pub(crate) fn length(self, length: &str) -> Self {
        self.schedule("length", json!(length))
    }

    /// How late a run may start.
    pub(crate) fn start_deadline(self, deadline: &str) -> Self {
        self.schedule("startDeadline", json!(deadline))
    }

    /// The instant that it is declared since.
    pub(crate) fn since(mut self, since: DateTime<Utc>) -> Self {
        self.since = since;
        self
    }

    /// Which part of it is assigned.
    pub(crate) fn role(mut self, role: v1::Role) -> Self {
        self.role = role;
        self
    }

    /// Its server is what is assigned, of a client on a node.
    pub(crate) fn serving(mut self, client: &str) -> Self {
        self.clients.push(client.to_owned());
        self.role(v1::Role::Server)
    }

    /// It has a server on the node `paris`, which runs a shell script and is ready as this says.
    pub(crate) fn server(self, script: &str, ready: &Value) -> Self {
        let container = json!({"image": IMAGE, "command": ["sh", "-c", script], "ports": ["5201/tcp"]});
        self.spec("server", json!({"node": "paris", "container": container, "ready": ready}))
    }

    /// Sets a field of its schedule.
    pub(crate) fn schedule(mut self, field: &str, value: Value) -> Self {
        self.spec["schedule"][field] = value;
        self
    }

    /// Sets a field of its container.
    pub(crate) fn container(mut self, field: &str, value: Value) -> Self {
        self.spec["container"][field] = value;
        self
    }

    /// Sets a field of it.
    pub(crate) fn spec(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    pub(super) fn assignment(&self) -> v1::Assignment {
        v1::Assignment {
            job: self.name.clone(),
            role: self.role.into(),
            job_spec: self.spec.to_string(),
            since: Some(convert::timestamp(self.since)),
            clients: self.clients.clone(),
        }
    }
}
