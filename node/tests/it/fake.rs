//! A reconciler that gives out a snapshot and remembers what it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::Stream;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_stream::{StreamExt, wrappers::WatchStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use almanac_proto::{
    convert,
    v1::{
        self,
        node_service_server::{NodeService, NodeServiceServer},
    },
};

/// What it was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Every event that was recorded, in order, repetitions included.
    pub(crate) events: Vec<v1::RunEvent>,
    /// Files by run and name.
    pub(crate) files: HashMap<(String, String), Vec<u8>>,
    /// Uploads under way, by id.
    pub(crate) uploads: HashMap<String, (v1::BeginUploadRequest, Vec<u8>)>,
    /// The latest heartbeat.
    pub(crate) heartbeat: Option<v1::HeartbeatRequest>,
    /// How many upload calls are still to be cut off in the middle.
    pub(crate) cut_uploads: u32,
    /// Answer every call with this.
    pub(crate) refuse: Option<Status>,
}

/// The reconciler.
#[derive(Clone)]
pub(crate) struct Fake {
    told: Arc<Mutex<Told>>,
    snapshot: watch::Sender<v1::Snapshot>,
    address: SocketAddr,
}

impl Fake {
    /// Starts one on a port of its own.
    pub(crate) async fn start() -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let snapshot = v1::Snapshot {
            epoch: "e1".to_owned(),
            generation: 1,
            commit: "c0ffee".to_owned(),
            valid_until: Some(convert::timestamp(Utc::now() + TimeDelta::days(7))),
            server_time: Some(convert::timestamp(Utc::now())),
            node_spec: r#"{"owner":"alice"}"#.to_owned(),
            assignments: Vec::new(),
            network: "almanac-test".to_owned(),
        };
        let fake = Self { told: Arc::default(), snapshot: watch::Sender::new(snapshot), address };
        let service = NodeServiceServer::new(fake.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Publishes a changed snapshot with a new generation.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut v1::Snapshot)) {
        self.snapshot.send_modify(|snapshot| {
            snapshot.generation += 1;
            change(snapshot);
        });
    }

    /// Declares one job that runs once, at an instant.
    pub(crate) fn declare(&self, job: &str, at: DateTime<Utc>, rest: serde_json::Value) {
        let mut spec = serde_json::json!({
            "owner": "alice",
            "nodes": ["london-01"],
            "schedule": { "at": at.to_rfc3339(), "length": "30s" },
            "container": { "image": "busybox", "command": ["true"] },
        });
        merge(&mut spec, rest);
        let assignment = v1::Assignment {
            job: job.to_owned(),
            role: v1::Role::Client.into(),
            job_spec: spec.to_string(),
            since: Some(convert::timestamp(at - TimeDelta::hours(1))),
        };
        self.publish(|snapshot| snapshot.assignments.push(assignment));
    }

    /// The phases of a job's runs in the order of their sequence, each once.
    pub(crate) fn phases(&self, job: &str) -> Vec<String> {
        let told = self.told();
        let mut events: Vec<&v1::RunEvent> = told.events.iter().filter(|event| event.job == job).collect();
        events.sort_by_key(|event| (event.scheduled_at.map(|at| (at.seconds, at.nanos)), event.sequence));
        events.dedup_by_key(|event| (event.run_id.clone(), event.sequence));
        events
            .iter()
            .map(|event| event.phase().as_str_name().trim_start_matches("PHASE_").to_owned())
            .collect()
    }

    /// Waits until a job's run has ended, and returns its last event.
    pub(crate) async fn ended(&self, job: &str) -> v1::RunEvent {
        self.wait(&format!("{job} to end"), |told| {
            let last =
                told.events.iter().filter(|event| event.job == job).max_by_key(|event| event.sequence)?;
            (last.phase() as i32 >= v1::Phase::Completed as i32).then(|| last.clone())
        })
        .await
    }

    /// Waits until a job's run is in a phase.
    pub(crate) async fn reaches(&self, job: &str, phase: v1::Phase) -> v1::RunEvent {
        self.wait(&format!("{job} to be {phase:?}"), |told| {
            told.events.iter().find(|event| event.job == job && event.phase() == phase).cloned()
        })
        .await
    }

    /// Waits for something to be told.
    pub(crate) async fn wait<T>(&self, what: &str, found: impl Fn(&Told) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(found) = found(&self.told()) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited for {what}; events: {:#?}", self.told().events);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn file(&self, event: &v1::RunEvent, name: &str) -> Option<Vec<u8>> {
        self.told().files.get(&(event.run_id.clone(), name.to_owned())).cloned()
    }

    fn checked(&self) -> Result<MutexGuard<'_, Told>, Status> {
        let told = self.told();
        told.refuse.clone().map_or(Ok(told), Err)
    }
}

/// Unpacks an archive of artifacts.
pub(crate) fn unpack(archive: &[u8]) -> HashMap<PathBuf, String> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (entry.path().unwrap().into_owned(), text)
    });
    files.collect()
}

/// Makes a key.
pub(crate) fn key(folder: &Path) -> PathBuf {
    let path = folder.join("key");
    almanac_proto::identity::generate(&path, "london-01").unwrap();
    path
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[tonic::async_trait]
impl NodeService for Fake {
    type WatchDesiredStateStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchDesiredStateResponse, Status>> + Send>>;

    async fn watch_desired_state(
        &self,
        _request: Request<v1::WatchDesiredStateRequest>,
    ) -> Result<Response<Self::WatchDesiredStateStream>, Status> {
        drop(self.checked()?);
        let snapshots = WatchStream::new(self.snapshot.subscribe());
        Ok(Response::new(Box::pin(
            snapshots.map(|snapshot| Ok(v1::WatchDesiredStateResponse { snapshot: Some(snapshot) })),
        )))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        self.checked()?.heartbeat = Some(request.into_inner());
        Ok(Response::new(v1::HeartbeatResponse {
            server_time: None,
            interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        }))
    }

    async fn report_runs(
        &self,
        request: Request<v1::ReportRunsRequest>,
    ) -> Result<Response<v1::ReportRunsResponse>, Status> {
        let events = request.into_inner().events;
        let accepted = u32::try_from(events.len()).unwrap();
        self.checked()?.events.extend(events);
        Ok(Response::new(v1::ReportRunsResponse { accepted }))
    }

    async fn begin_upload(
        &self,
        request: Request<v1::BeginUploadRequest>,
    ) -> Result<Response<v1::BeginUploadResponse>, Status> {
        let request = request.into_inner();
        let mut told = self.checked()?;
        if !told.events.iter().any(|event| event.run_id == request.run_id) {
            return Err(Status::not_found("no such run"));
        }
        let upload_id = format!("{}/{}", request.run_id, request.name);
        let (_, data) = told.uploads.entry(upload_id.clone()).or_insert((request, Vec::new()));
        Ok(Response::new(v1::BeginUploadResponse { upload_id, offset: data.len() as u64 }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadResponse>, Status> {
        let mut stream = request.into_inner();
        let mut reached = 0;
        while let Some(part) = stream.message().await? {
            let mut told = self.checked()?;
            let (_, data) = told.uploads.get_mut(&part.upload_id).ok_or(Status::not_found("no upload"))?;
            if part.offset != data.len() as u64 {
                return Err(Status::aborted("a gap"));
            }
            data.extend_from_slice(&part.data);
            reached = data.len() as u64;
            if told.cut_uploads > 0 {
                told.cut_uploads -= 1;
                return Err(Status::unavailable("cut off"));
            }
        }
        Ok(Response::new(v1::UploadResponse { offset: reached }))
    }

    async fn commit_upload(
        &self,
        request: Request<v1::CommitUploadRequest>,
    ) -> Result<Response<v1::CommitUploadResponse>, Status> {
        let mut told = self.checked()?;
        let id = request.into_inner().upload_id;
        let (begun, data) = told.uploads.get(&id).cloned().ok_or(Status::not_found("no upload"))?;
        assert_eq!(Sha256::digest(&data)[..], begun.sha256[..], "what arrived is what was sent");
        told.files.insert((begun.run_id, begun.name), data);
        Ok(Response::new(v1::CommitUploadResponse { artifact: None }))
    }
}
