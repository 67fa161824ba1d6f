//! A testbed to try things in.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use almanac_proto::{
    Connection, Endpoint, Identity, identity,
    v1::{self, testbed_service_client::TestbedServiceClient},
};
use almanac_reconciler::{
    config::{LogSettings, ServeSettings, Settings},
    follow::Intervals,
    limits::Limits,
    serve::{self, Serving},
    source::{Access, Location},
    webhooks::WebhookSecrets,
};
use chrono::{TimeDelta, Utc};
use tempfile::TempDir;

use crate::harness::{Database, Looked};

/// How long anything may take before a test has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// A repository with an admin `alice`, users `bob` and `carol` and nodes `london-01` and `paris-01`,
/// their keys, and a reconciler once it is started.
pub(crate) struct Bed {
    database: Database,
    folder: TempDir,
    serving: Option<Serving>,
}

impl Bed {
    /// Makes repository and keys. Users and nodes are written and not committed.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path());
        Self::new_on(database, folder)
    }

    /// As [`Bed::new`], for what is about a file of SQLite whatever the tests run on.
    pub(crate) fn new_on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(folder.path());
        Self::new_on(database, folder)
    }

    fn new_on(database: Database, folder: TempDir) -> Self {
        let bed = Self { database, folder, serving: None };
        fs::create_dir(bed.repo()).unwrap();
        bed.git(&["init", "--quiet", "--initial-branch=main"]);
        for (name, role) in [("alice", "admin"), ("bob", "user"), ("carol", "user")] {
            let key = bed.key(name);
            let text = format!(
                "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: {name} }}\nspec: {{ role: {role}, team: surrey, keys: [\"{key}\"] }}\n"
            );
            bed.write(&format!("users/{name}.yaml"), text);
        }
        for name in ["london-01", "paris-01"] {
            let key = bed.key(name);
            let text = format!(
                "apiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: {name}, labels: {{ city: {name} }} }}\nspec: {{ owner: alice, keys: [\"{key}\"] }}\n"
            );
            bed.write(&format!("nodes/{name}.yaml"), text);
        }
        bed
    }

    /// Makes everything, commits it, starts the reconciler and waits until the commit is in force.
    pub(crate) async fn serving() -> Self {
        let mut bed = Self::new();
        let commit = bed.commit("users and nodes");
        bed.start().await;
        bed.applied(&commit).await;
        bed
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path().join("repo")
    }

    /// Makes a key and returns its public line.
    pub(crate) fn key(&self, name: &str) -> String {
        identity::generate(&self.path().join(name), name).unwrap().to_string()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.repo().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs Git in the repository.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.repo())
            .args([
                "-c",
                "user.name=Tester",
                "-c",
                "user.email=tester@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits all files and returns the commit's hash.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            location: Location::Local(self.repo()),
            branch: "main".to_owned(),
            subdir: String::new(),
            data_dir: Some(self.path().join("data")),
            database: self.database.address().to_owned().into(),
            artifacts: None,
            log: LogSettings::default(),
            access: Access::default(),
            trusted_keys: Vec::new(),
        }
    }

    pub(crate) fn serve_settings(&self) -> ServeSettings {
        ServeSettings {
            common: self.settings(),
            listen: "127.0.0.1:0".parse().unwrap(),
            name: "almanac".to_owned(),
            // What a test waits for must come by a nudge.
            intervals: Intervals { poll: Duration::from_secs(3_600), drift: Duration::from_secs(3_600) },
            tls: None,
            notify: Vec::new(),
            webhooks: WebhookSecrets::default(),
            max_connections: std::num::NonZeroUsize::MAX,
            otlp_endpoint: None,
            limits: Limits::default(),
        }
    }

    pub(crate) async fn start(&mut self) {
        self.serving = Some(serve::start(self.serve_settings()).await.unwrap());
    }

    pub(crate) async fn start_with(&mut self, settings: ServeSettings) {
        self.serving = Some(serve::start(settings).await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.serving.take().unwrap().stop().await.unwrap();
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.serving.as_ref().unwrap().address())
    }

    /// A connection as a user or node.
    pub(crate) fn connect(&self, name: &str) -> Connection {
        self.connect_to(name, name, "almanac")
    }

    /// A connection that says it is `name`, with a key, for an audience.
    pub(crate) fn connect_to(&self, name: &str, key: &str, audience: &str) -> Connection {
        let identity = Identity::read(&self.path().join(key), name.parse().unwrap(), audience).unwrap();
        Endpoint::new(&self.address(), false).unwrap().connect(Some(identity)).unwrap()
    }

    pub(crate) fn alice(&self) -> TestbedServiceClient<almanac_proto::client::Signed> {
        self.connect("alice").testbed()
    }

    /// The latest sync, with findings and changes.
    pub(crate) async fn latest(&self) -> Option<Looked> {
        Looked::at(&mut self.alice(), "").await
    }

    /// Waits until a commit was looked at, and returns what came of it.
    pub(crate) async fn looked_at(&self, commit: &str) -> Looked {
        let what = format!("{commit} to be looked at");
        until(&what, async || {
            let latest = self.latest().await?;
            (latest.sync.as_ref()?.commit == commit).then_some(latest)
        })
        .await
    }

    /// Waits until a commit is in force.
    pub(crate) async fn applied(&self, commit: &str) -> Looked {
        let sync = self.looked_at(commit).await;
        assert_eq!(sync.sync.as_ref().unwrap().outcome(), v1::SyncOutcome::Applied, "{sync:?}");
        sync
    }

    /// Watches a node's desired state.
    pub(crate) async fn watch(&self, node: &str) -> tonic::Streaming<v1::WatchDesiredStateResponse> {
        let request =
            v1::WatchDesiredStateRequest { node: node.to_owned(), epoch: String::new(), generation: 0 };
        self.connect(node).node().watch_desired_state(request).await.unwrap().into_inner()
    }
}

/// The next snapshot of a stream.
pub(crate) async fn snapshot(stream: &mut tonic::Streaming<v1::WatchDesiredStateResponse>) -> v1::Snapshot {
    let message = tokio::time::timeout(LIMIT, stream.message()).await.expect("a snapshot");
    message.unwrap().unwrap().snapshot.unwrap()
}

/// Waits until something is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A job of `bob` that recurs hourly from now on.
pub(crate) fn job(name: &str, node: &str) -> String {
    job_at_minute(name, node, 0)
}

pub(crate) fn job_at_minute(name: &str, node: &str, minute: u32) -> String {
    let end = (Utc::now() + TimeDelta::days(30)).format("%Y-%m-%dT00:00:00Z");
    format!(
        "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: bob\n  nodes: [{node}]\n  \
         schedule: {{ cron: \"{minute} * * * *\", end: {end}, length: 1m }}\n  exclusive: false\n  \
         container: {{ image: probe }}\n"
    )
}
