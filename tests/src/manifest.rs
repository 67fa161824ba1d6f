//! Manifests for tests.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A user with a key.
pub fn user(name: &str, role: &str, key: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: {name} }}\nspec: {{ role: {role}, keys: [\"{key}\"] }}\n"
    )
}

/// A node with a key, owned by `alice`.
pub fn node(name: &str, key: &str) -> String {
    format!(
        "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name} }}\nspec: {{ owner: alice, guard: 0s, keys: [\"{key}\"] }}\n"
    )
}

/// The testbed's settings: short runs are allowed and nodes report every second.
pub fn config() -> String {
    "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\n\
     spec:\n  heartbeat: { interval: 1s, staleAfter: 5s, offlineAfter: 10s }\n  schedule: { minLength: 1s }\n"
        .to_owned()
}

/// An instant a few seconds from now, in whole seconds.
pub fn soon(seconds: i64) -> DateTime<Utc> {
    let at = Utc::now() + TimeDelta::seconds(seconds + 1);
    DateTime::from_timestamp(at.timestamp(), 0).unwrap()
}

/// An instant as manifests write it.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A job of a user on a node that runs a shell script.
#[derive(Debug, Clone)]
pub struct Job {
    name: String,
    owner: String,
    node: String,
    schedule: String,
    image: String,
    script: String,
}

impl Job {
    /// A job of `bob` that runs a script once.
    pub fn once(name: &str, node: &str, at: DateTime<Utc>, length: &str, script: &str) -> Self {
        Self {
            name: name.to_owned(),
            owner: "bob".to_owned(),
            node: node.to_owned(),
            schedule: format!("{{ at: {}, length: {length} }}", instant(at)),
            image: crate::engine::IMAGE.to_owned(),
            script: script.to_owned(),
        }
    }

    /// A job of `bob` that runs a script whenever `cron` fires, for an hour.
    pub fn recurring(name: &str, node: &str, cron: &str, length: &str, script: &str) -> Self {
        let end = instant(Utc::now() + TimeDelta::hours(1));
        Self {
            schedule: format!("{{ cron: \"{cron}\", end: {end}, length: {length} }}"),
            ..Self::once(name, node, Utc::now(), length, script)
        }
    }

    /// The same job with another image.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// The same job of another user.
    #[must_use]
    pub fn owner(mut self, owner: &str) -> Self {
        owner.clone_into(&mut self.owner);
        self
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let Self { name, owner, node, schedule, image, script } = self;
        let script = serde_json::Value::from(script.as_str());
        format!(
            "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: {owner}\n  \
             nodes: [{node}]\n  schedule: {schedule}\n  exclusive: false\n  \
             container: {{ image: \"{image}\", command: [sh, -c, {script}] }}\n"
        )
    }
}
