//! A testbed of one's own: repository, keys, reconciler, and connections to it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use almanac_proto::{
    Connection, Endpoint, Identity,
    client::Signed,
    limits,
    v1::{self, node_service_client::NodeServiceClient, testbed_service_client::TestbedServiceClient},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Daemon, Database, Looked, Repository, Server, manifest, wait_for};

/// A testbed with an admin `alice`, users `bob` and `dave`, a privileged user `carol`, and nodes
/// `london-01` and `paris-01`.
pub(crate) struct Testbed {
    /// Before the folder, so that it has ended when the folder is removed.
    daemon: Option<Daemon>,
    address: String,
    pub(crate) repository: Repository,
    database: Database,
    /// Whether the command line names the store.
    names_store: bool,
    folder: TempDir,
}

impl Testbed {
    /// Makes the repository and all keys, and writes users and nodes. Nothing is pushed, nothing runs.
    pub(crate) fn prepare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path());
        Self::prepare_on(database, folder)
    }

    /// As [`Testbed::prepare`], for what is about a file of SQLite whatever the tests run on.
    pub(crate) fn prepare_on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(folder.path());
        Self::prepare_on(database, folder)
    }

    /// As [`Testbed::prepare`], on a database of a server of PostgreSQL.
    pub(crate) fn prepare_on_server(server: &Server) -> Self {
        Self::prepare_on(Database::on(server.address()), tempfile::tempdir().unwrap())
    }

    /// As [`Testbed::prepare`], for what only PostgreSQL can do.
    pub(crate) fn prepare_on_postgres() -> Self {
        Self::prepare_on(Database::postgres(), tempfile::tempdir().unwrap())
    }

    fn prepare_on(database: Database, folder: TempDir) -> Self {
        let repository = Repository::create(folder.path());
        let testbed =
            Self { daemon: None, address: String::new(), repository, database, names_store: true, folder };
        for (name, role) in [("alice", "admin"), ("bob", "user"), ("carol", "privileged"), ("dave", "user")] {
            let text = manifest::user(name, role, &testbed.make_key(name));
            testbed.repository.write(&format!("users/{name}.yaml"), text);
        }
        for name in ["london-01", "paris-01"] {
            let text = manifest::node(name, &testbed.make_key(name), "");
            testbed.repository.write(&format!("nodes/{name}.yaml"), text);
        }
        testbed
    }

    /// As [`Testbed::prepare`], then pushes, serves, and waits until the commit is in force.
    pub(crate) async fn start() -> Self {
        let mut testbed = Self::prepare();
        let commit = testbed.repository.push("users and nodes");
        testbed.serve().await;
        testbed.wait_applied(&commit).await;
        testbed
    }

    /// As [`Testbed::start`], with an hourly job `ping` of `bob` on `london-01` and `trace` of `carol` on
    /// `paris-01`.
    pub(crate) async fn with_jobs() -> Self {
        let mut testbed = Self::prepare();
        testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
        testbed.write_job("trace", "carol", "paris-01", manifest::HOURLY);
        let commit = testbed.repository.push("users, nodes and jobs");
        testbed.serve().await;
        testbed.wait_applied(&commit).await;
        testbed
    }

    /// As [`Testbed::with_jobs`], with these lines below `artifacts` in the settings.
    pub(crate) async fn with_store(artifacts: impl FnOnce(&Self) -> String) -> Self {
        let mut testbed = Self::prepare().where_settings_name_the_store();
        testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
        testbed.write_job("trace", "carol", "paris-01", manifest::HOURLY);
        let artifacts = artifacts(&testbed);
        testbed.repository.write("config.yaml", manifest::config(&artifacts));
        let commit = testbed.repository.push("users, nodes, jobs and settings");
        testbed.serve().await;
        testbed.wait_applied(&commit).await;
        testbed
    }

    /// One whose reconcilers are not told by their command line where files go.
    pub(crate) fn where_settings_name_the_store(mut self) -> Self {
        self.names_store = false;
        self
    }

    /// Writes a job's manifest.
    pub(crate) fn write_job(&self, name: &str, owner: &str, node: &str, schedule: &str) {
        self.repository.write(&format!("jobs/{name}.yaml"), manifest::job(name, owner, node, schedule));
    }

    /// The folder that everything is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of an SQLite database.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.folder().join("almanac.db")
    }

    /// The database's address.
    pub(crate) fn database(&self) -> &str {
        self.database.address()
    }

    /// The database's address by another port of this machine.
    pub(crate) fn database_through(&self, port: u16) -> String {
        self.database.through(port)
    }

    /// The folder that artifacts are stored in.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// Makes a key and returns its public line.
    pub(crate) fn make_key(&self, name: &str) -> String {
        almanac_proto::identity::generate(&self.folder().join(name), name).unwrap().to_string()
    }

    /// A principal with a key that was made, for a reconciler of some name.
    pub(crate) fn identity(&self, principal: &str, key: &str, audience: &str) -> Identity {
        Identity::read(&self.folder().join(key), principal.parse().unwrap(), audience).unwrap()
    }

    /// The command line, without where to listen.
    pub(crate) fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
        command.args(subcommand);
        command.arg("--repo").arg(self.repository.path());
        // An address with a password is not taken from the command line.
        command.env("ALMANAC_RECONCILER_DATABASE", self.database());
        command.arg("--data-dir").arg(self.folder().join("data"));
        if self.names_store {
            command.arg("--artifacts").arg(self.store());
        }
        command
    }

    /// Serves on any free port. A poll is an hour away, so that only nudges can be what is noticed.
    pub(crate) async fn serve(&mut self) {
        self.serve_with("http", &["--listen", "127.0.0.1:0"]).await;
    }

    /// The same, but looks at the repository as often as is said.
    pub(crate) async fn serve_polling(&mut self, interval: &str) {
        let mut command = self.command(&["serve", "--poll-interval", interval]);
        command.args(["--listen", "127.0.0.1:0"]);
        self.spawn("http", command).await;
    }

    /// Serves with other flags.
    pub(crate) async fn serve_with(&mut self, scheme: &str, flags: &[&str]) {
        let mut command = self.command(&["serve", "--poll-interval", "1h"]);
        command.args(flags);
        self.spawn(scheme, command).await;
    }

    /// Starts a reconciler, and finds its port in the log.
    pub(crate) async fn spawn(&mut self, scheme: &str, command: Command) {
        let daemon = Daemon::spawn(command, &self.folder().join("reconciler.log"));
        self.address = format!("{scheme}://127.0.0.1:{}", daemon.port().await);
        self.daemon = Some(daemon);
    }

    /// The address of the reconciler.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What the reconciler printed.
    pub(crate) fn log(&self) -> String {
        self.daemon.as_ref().unwrap().log()
    }

    /// The most memory that the reconciler has taken so far, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.daemon.as_ref().unwrap().peak_memory()
    }

    /// How much memory the reconciler holds, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.daemon.as_ref().unwrap().memory()
    }

    /// Where it listens, without a scheme.
    pub(crate) fn socket(&self) -> &str {
        self.address.split_once("://").unwrap().1
    }

    /// The status and the body of what a plain listener answers over HTTP.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(self.socket()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: almanac\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Takes the reconciler, to end it in one way or another.
    pub(crate) fn take_daemon(&mut self) -> Daemon {
        self.daemon.take().unwrap()
    }

    /// Ends the reconciler as a power cut does, and starts it again.
    pub(crate) async fn crash_and_serve(&mut self) {
        self.take_daemon().kill();
        self.serve().await;
    }

    /// A new connection of a principal with its own key.
    pub(crate) fn connect(&self, principal: &str) -> Connection {
        let identity = self.identity(principal, principal, limits::DEFAULT_AUDIENCE);
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

    /// Waits for a condition, and fails at once when the reconciler dies.
    pub(crate) async fn wait_for<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
        wait_for(what, async || {
            if let Some(daemon) = &self.daemon {
                daemon.check();
            }
            condition().await
        })
        .await
    }

    /// Pushes the clone and waits until the commit is in force.
    pub(crate) async fn push(&self, message: &str) -> String {
        let commit = self.repository.push(message);
        self.wait_applied(&commit).await;
        commit
    }

    /// Waits until a commit is in force. Until the first one is, nobody is known and every call is refused.
    pub(crate) async fn wait_applied(&self, commit: &str) {
        let mut alice = self.ask("alice");
        self.wait_for(&format!("commit {commit} to be applied"), async || {
            let status = alice.get_sync_status(v1::GetSyncStatusRequest {}).await.ok()?.into_inner();
            (status.applied_commit == commit).then_some(())
        })
        .await;
    }

    /// Pushes the clone and waits for what comes of it, good or bad.
    pub(crate) async fn push_and_look(&self, message: &str) -> Looked {
        let commit = self.repository.push(message);
        self.wait_looked(&commit).await
    }

    /// Waits for what comes of a commit, good or bad.
    pub(crate) async fn wait_looked(&self, commit: &str) -> Looked {
        let mut alice = self.ask("alice");
        self.wait_for(&format!("commit {commit} to be looked at"), async || {
            Looked::at(&mut alice, commit).await
        })
        .await
    }

    /// How the testbed follows its repository.
    pub(crate) async fn status(&self) -> v1::GetSyncStatusResponse {
        self.ask("alice").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner()
    }

    /// Looks at the repository, and says what came of it.
    pub(crate) async fn look(&self) -> v1::Sync {
        self.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap()
    }

    /// The names of the jobs in force.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        let request = v1::ListJobsRequest::default();
        let jobs = self.ask("alice").list_jobs(request).await.unwrap().into_inner().jobs;
        jobs.into_iter().map(|job| job.name).collect()
    }

    /// What people did to the syncs, the latest first: who, what, and to which commit.
    pub(crate) async fn actions(&self) -> Vec<(String, String, String)> {
        let request = v1::ListSyncActionsRequest::default();
        let actions = self.ask("bob").list_sync_actions(request).await.unwrap().into_inner().actions;
        actions.into_iter().map(|action| (action.actor, action.action, action.commit)).collect()
    }

    /// A node says what it holds.
    pub(crate) async fn beat(&self, node: &str, epoch: &str, generation: u64) {
        let beat = v1::HeartbeatRequest {
            node: node.to_owned(),
            epoch: Some(epoch.to_owned()),
            generation: Some(generation),
            ..Default::default()
        };
        super::beat(&mut self.agent(node), beat).await.unwrap();
    }

    /// Watches a node's desired state.
    pub(crate) async fn watch(&self, node: &str) -> tonic::Streaming<v1::WatchDesiredStateResponse> {
        let request = v1::WatchDesiredStateRequest { node: node.to_owned(), ..Default::default() };
        self.agent(node).watch_desired_state(request).await.unwrap().into_inner()
    }

    /// Reports events of a node, and says how many were accepted.
    pub(crate) async fn report(&self, node: &str, events: Vec<v1::RunEvent>) -> u32 {
        let request = v1::ReportRunsRequest { node: node.to_owned(), events };
        self.agent(node).report_runs(request).await.unwrap().into_inner().accepted
    }

    /// A run as the admin sees it.
    pub(crate) async fn run(&self, id: &str) -> v1::GetRunResponse {
        self.ask("alice").get_run(v1::GetRunRequest { id: id.to_owned() }).await.unwrap().into_inner()
    }
}
