//! The reconciler of the harness: what it declares, and whether it is there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime, sync::watch};
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};

use almanac_proto::{
    convert,
    v1::{
        Instructions, LogPiece, LogRequest, LogRequests, Orbits, Reason, Snapshot, StreamLogsResponse, Task,
        TaskState, Tasks, WatchDesiredStateResponse, Weather, node_service_server::NodeServiceServer,
    },
};
use almanac_schemas::{NodeName, PublicKey};

use super::{
    Faults, Job, Record,
    service::{Service, Shared},
    wait_for,
};

/// A reconciler that remembers what it was told. It can go away and come back.
pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Its own runtime, so that going away cuts every connection at once.
    server: Option<runtime::Runtime>,
}

/// What is declared for the node.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    /// The reconciler's database.
    pub(crate) epoch: String,
    /// Grows with each change.
    pub(crate) generation: u64,
    /// For how long it is valid without another.
    pub(crate) valid_until: DateTime<Utc>,
    /// The node's manifest.
    pub(crate) node: Value,
    /// What runs there.
    pub(crate) jobs: Vec<Job>,
    /// The engine's network.
    pub(crate) network: String,
}

impl Default for Desired {
    fn default() -> Self {
        Self {
            epoch: "epoch-1".to_owned(),
            generation: 0,
            valid_until: Utc::now() + TimeDelta::days(7),
            node: json!({"owner": "alice"}),
            jobs: Vec::new(),
            network: "almanac".to_owned(),
        }
    }
}

impl Desired {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            epoch: self.epoch.clone(),
            generation: self.generation,
            commit: format!("{:040x}", self.generation),
            valid_until: Some(convert::timestamp(self.valid_until)),
            server_time: Some(convert::timestamp(Utc::now())),
            node_spec: self.node.to_string(),
            assignments: self.jobs.iter().map(Job::assignment).collect(),
            network: self.network.clone(),
        }
    }
}

impl Reconciler {
    /// Starts it on a free port. It knows one node with one key.
    pub(crate) fn start(node: NodeName, key: PublicKey) -> Self {
        let shared = Arc::new(Shared {
            node,
            key,
            snapshot: Mutex::default(),
            instructions: Mutex::default(),
            watchers: Mutex::default(),
            heartbeat_interval: Mutex::new(Duration::from_secs(30)),
            faults: Mutex::default(),
            record: Mutex::default(),
            logs: Mutex::default(),
            passed_on: Mutex::default(),
            telemetry: watch::Sender::new(false),
            lines: Arc::default(),
            tasks: Mutex::default(),
            standing: watch::Sender::default(),
        });
        let (server, address) = serve(&shared, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { shared, address, server: Some(server) }
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is, or was.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes away, without a word to anybody.
    pub(crate) fn vanish(&mut self) {
        self.shared.watchers.lock().unwrap().clear();
        self.server.take().unwrap().shutdown_background();
    }

    /// Comes back at the same place, with everything that it knew.
    pub(crate) fn come_back(&mut self) {
        assert!(self.server.is_none(), "it is there already");
        let (server, _) = wait_for("the port", || serve(&self.shared, self.address));
        self.server = Some(server);
    }

    /// Ends the streams of snapshots: in good order, or with an error.
    pub(crate) fn cut_streams(&self, error: Option<&Status>) {
        for watcher in self.shared.watchers.lock().unwrap().drain(..) {
            if let Some(error) = error {
                let _ = watcher.try_send(Err(error.clone()));
            }
        }
    }

    /// Declares something and tells everybody who watches.
    pub(crate) fn declare(&self, desired: &Desired) {
        let snapshot = desired.snapshot();
        let watchers = self.shared.watchers.lock().unwrap();
        *self.shared.snapshot.lock().unwrap() = Some(snapshot.clone());
        for watcher in watchers.iter() {
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse {
                snapshot: Some(snapshot.clone()),
                ..Default::default()
            }));
        }
    }

    /// Changes what is declared and tells nobody: it is told to whoever asks.
    pub(crate) fn keep(&self, desired: &Desired) {
        *self.shared.snapshot.lock().unwrap() = Some(desired.snapshot());
    }

    /// Passes on what people said, which replaces what they said before.
    pub(crate) fn instruct(&self, instructions: &Instructions) {
        let watchers = self.shared.watchers.lock().unwrap();
        *self.shared.instructions.lock().unwrap() = instructions.clone();
        for watcher in watchers.iter() {
            let instructions = Some(instructions.clone());
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse { instructions, ..Default::default() }));
        }
    }

    /// Passes on the weather and orbits, to those who watch now and later.
    pub(crate) fn pass_on(&self, weather: &Weather, orbits: &Orbits) {
        let watchers = self.shared.watchers.lock().unwrap();
        *self.shared.passed_on.lock().unwrap() = (Some(weather.clone()), Some(orbits.clone()));
        for watcher in watchers.iter() {
            let (weather, orbits) = (Some(weather.clone()), Some(orbits.clone()));
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse { weather, orbits, ..Default::default() }));
        }
    }

    /// Which logs are watched, which replaces what was said before.
    pub(crate) fn watch_logs(&self, logs: &[(String, i32)]) {
        let watchers = self.shared.watchers.lock().unwrap();
        let request = |(run_id, role): &(String, i32)| LogRequest { run_id: run_id.clone(), role: *role };
        let logs = LogRequests { logs: logs.iter().map(request).collect() };
        *self.shared.logs.lock().unwrap() = logs.clone();
        for watcher in watchers.iter() {
            let logs = Some(logs.clone());
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse { logs, ..Default::default() }));
        }
    }

    /// Whether telemetry is watched.
    pub(crate) fn watch_telemetry(&self, wanted: bool) {
        let watchers = self.shared.watchers.lock().unwrap();
        self.shared.telemetry.send_replace(wanted);
        for watcher in watchers.iter() {
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse {
                telemetry_wanted: Some(wanted),
                ..Default::default()
            }));
        }
    }

    /// What the node has to do with others, which replaces what was said before.
    pub(crate) fn pair(&self, tasks: &Tasks) {
        let watchers = self.shared.watchers.lock().unwrap();
        *self.shared.tasks.lock().unwrap() = tasks.clone();
        for watcher in watchers.iter() {
            let tasks = Some(tasks.clone());
            let _ = watcher.try_send(Ok(WatchDesiredStateResponse { tasks, ..Default::default() }));
        }
    }

    /// The server that the agent wants makes room for the owner of its node.
    pub(crate) fn make_room(&self, message: &str) {
        let (state, reason) = (TaskState::Failed.into(), Reason::Scavenger.into());
        let message = message.to_owned();
        self.shared.standing.send_replace(Task { state, reason, message, ..Default::default() });
    }

    /// How the server stands that the agent wants.
    pub(crate) fn serve(&self, state: TaskState, message: &str, address: &str) {
        let (message, address) = (message.to_owned(), address.to_owned());
        self.shared.standing.send_replace(Task {
            state: state.into(),
            message,
            address,
            ..Default::default()
        });
    }

    /// Asks the agent for a part of a log; nothing when it does not send that log, or does not answer.
    pub(crate) fn ask_log(&self, run: &(String, i32), question: StreamLogsResponse) -> Option<LogPiece> {
        self.shared.lines.ask(run, question)
    }

    /// How often the agent has opened a stream for a log.
    pub(crate) fn log_streams(&self, run: &(String, i32)) -> usize {
        self.shared.lines.opened(run)
    }

    /// How often heartbeats are to come.
    pub(crate) fn set_heartbeat_interval(&self, interval: Duration) {
        *self.shared.heartbeat_interval.lock().unwrap() = interval;
    }

    /// What goes wrong.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.shared.faults()
    }

    /// What it was told.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record()
    }
}

fn serve(shared: &Arc<Shared>, address: SocketAddr) -> Option<(runtime::Runtime, SocketAddr)> {
    let server = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = server.block_on(TcpListener::bind(address)).ok()?;
    let address = listener.local_addr().unwrap();
    let service = NodeServiceServer::new(Service(Arc::clone(shared)));
    server.spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    Some((server, address))
}
