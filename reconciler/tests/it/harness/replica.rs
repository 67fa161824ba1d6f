//! One of several reconcilers of a testbed.

use std::time::Duration;

use almanac_proto::{
    Connection, Endpoint,
    client::Signed,
    limits,
    v1::{self, node_service_client::NodeServiceClient, testbed_service_client::TestbedServiceClient},
};
use tonic::Streaming;

use super::{Daemon, Testbed, wait_for};

/// How long a snapshot may take before a test has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A reconciler of a testbed that has several. It serves until it goes out of scope.
pub(crate) struct Replica<'a> {
    testbed: &'a Testbed,
    daemon: Daemon,
    address: String,
}

impl<'a> Replica<'a> {
    /// Starts one.
    pub(crate) async fn start(testbed: &'a Testbed, name: &str) -> Self {
        Self::start_at(testbed, name, testbed.database()).await
    }

    /// Starts one that has the testbed's database at an address. Only nudges and notifications can be what is
    /// noticed: every interval is an hour.
    pub(crate) async fn start_at(testbed: &'a Testbed, name: &str, database: &str) -> Self {
        Self::start_with(testbed, name, database, &[]).await
    }

    /// The same, and its log says all that there is to say.
    pub(crate) async fn start_loud(testbed: &'a Testbed, name: &str, database: &str) -> Self {
        Self::start_with(testbed, name, database, &["--log", "trace"]).await
    }

    async fn start_with(testbed: &'a Testbed, name: &str, database: &str, flags: &[&str]) -> Self {
        let mut command = testbed.command(&["serve", "--poll-interval", "1h", "--drift-interval", "1h"]);
        command.args(flags);
        command.env("ALMANAC_RECONCILER_DATABASE", database).args(["--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(testbed.folder().join(name));
        let daemon = Daemon::spawn(command, &testbed.folder().join(format!("{name}.log")));
        let address = format!("http://127.0.0.1:{}", daemon.port().await);
        Self { testbed, daemon, address }
    }

    /// The process.
    pub(crate) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Takes the process, to end it in one way or another.
    pub(crate) fn into_daemon(self) -> Daemon {
        self.daemon
    }

    fn connect(&self, principal: &str) -> Connection {
        let identity = self.testbed.identity(principal, principal, limits::DEFAULT_AUDIENCE);
        Endpoint::new(&self.address, false).unwrap().connect(Some(identity)).unwrap()
    }

    /// What a principal asks as people do.
    pub(crate) fn ask(&self, principal: &str) -> TestbedServiceClient<Signed> {
        self.connect(principal).testbed()
    }

    /// What a node's agent asks.
    pub(crate) fn agent(&self, node: &str) -> NodeServiceClient<Signed> {
        self.connect(node).node()
    }

    /// How the syncs are, as this one says; nothing while it does not answer.
    pub(crate) async fn status(&self) -> Option<v1::GetSyncStatusResponse> {
        let request = v1::GetSyncStatusRequest {};
        self.ask("alice").get_sync_status(request).await.ok().map(tonic::Response::into_inner)
    }

    /// The term that it leads in, if it does and answers.
    pub(crate) async fn term(&self) -> Option<i64> {
        let role = self.status().await?.role;
        role.strip_prefix("leading (term ")?.strip_suffix(')')?.parse().ok()
    }

    /// Waits until it leads, and returns the term.
    pub(crate) async fn leads(&self) -> i64 {
        wait_for("a reconciler to lead", async || {
            self.daemon.check();
            self.term().await
        })
        .await
    }

    /// Waits until it does not lead.
    pub(crate) async fn stands_by(&self) {
        wait_for("a reconciler to stand by", async || {
            self.daemon.check();
            (self.status().await?.role == "standby").then_some(())
        })
        .await;
    }

    /// Waits until it serves a commit.
    pub(crate) async fn serves(&self, commit: &str) {
        wait_for(&format!("commit {commit} to be served"), async || {
            self.daemon.check();
            (self.status().await?.applied_commit == commit).then_some(())
        })
        .await;
    }

    /// All syncs, the latest first, as subject and outcome.
    pub(crate) async fn syncs(&self) -> Vec<(String, v1::SyncOutcome)> {
        let request = v1::ListSyncsRequest { page_size: 100, ..Default::default() };
        let syncs = self.ask("alice").list_syncs(request).await.unwrap().into_inner().syncs;
        syncs.into_iter().map(|sync| (sync.subject.clone(), sync.outcome())).collect()
    }

    /// Watches a node's desired state, from its first snapshot on.
    pub(crate) async fn watch(&self, node: &str) -> (Streaming<v1::WatchDesiredStateResponse>, v1::Snapshot) {
        let request = v1::WatchDesiredStateRequest { node: node.to_owned(), ..Default::default() };
        let mut stream = self.agent(node).watch_desired_state(request).await.unwrap().into_inner();
        let first = next(&mut stream).await;
        (stream, first)
    }
}

/// The next snapshot of a stream.
pub(crate) async fn next(stream: &mut Streaming<v1::WatchDesiredStateResponse>) -> v1::Snapshot {
    let message = tokio::time::timeout(LIMIT, stream.message()).await.expect("a snapshot");
    message.unwrap().expect("the stream goes on").snapshot.unwrap()
}
