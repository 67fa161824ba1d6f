//! `NodeService`, as a reconciler offers it, with faults on demand.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use futures::{Stream, StreamExt, future, stream};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Code, Request, Response, Status, Streaming};

use almanac_proto::{
    convert, limits, token,
    v1::{
        Artifact, AuthorizeKernelRequest, AuthorizeKernelResponse, BeginUploadRequest, BeginUploadResponse,
        CommitUploadRequest, CommitUploadResponse, DirectUpload, GrantPartRequest, GrantPartResponse,
        HeartbeatRequest, HeartbeatResponse, Instructions, LogRequests, Orbits, Phase, Reading, Renewal,
        ReportRunsRequest, ReportRunsResponse, RequestServerRequest, RequestServerResponse, SentPart,
        SignedRequest, Snapshot, StreamLogsRequest, StreamTelemetryRequest, StreamTelemetryResponse, Task,
        Tasks, UpdateTaskRequest, UpdateTaskResponse, UploadRequest, UploadResponse,
        WatchDesiredStateRequest, WatchDesiredStateResponse, Weather, node_service_server::NodeService,
    },
};
use almanac_schemas::{NodeName, PublicKey, RunId};

use super::{
    Record,
    network::Handle,
    record::{Beat, File, RunKey},
    store::Shelf,
    tail,
};

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Every call is refused.
    pub(crate) refuse: Option<Code>,
    /// `BeginUpload` is refused.
    pub(crate) refuse_uploads: Option<Code>,
    /// Every answer takes this long.
    pub(crate) delay: Duration,
    /// Heartbeats are heard and not answered.
    pub(crate) hush_heartbeats: bool,
    /// By how much the reconciler's clock is ahead of the agent's.
    pub(crate) clock_ahead: TimeDelta,
    /// Every part of a file takes this long.
    pub(crate) part_delay: Duration,
    /// At most so many events of a report are recorded.
    pub(crate) accept: Option<usize>,
    /// A file arrives with a wrong byte, once.
    pub(crate) corrupt: bool,
    /// Every large file arrives with a wrong byte.
    pub(crate) always_corrupt: bool,
    /// The answers to these calls do not arrive, each once: what was said is recorded, and then the connections are
    /// reset.
    pub(crate) lost_answers: Vec<(&'static str, Handle)>,
    /// Files go to this store themselves.
    pub(crate) direct: Option<Arc<Mutex<Shelf>>>,
    /// Why runs may have no kernel settings.
    pub(crate) refuse_kernel: Option<String>,
    /// An upload is cut off, once, when this many bytes of a file are there.
    pub(crate) cut_at: Option<u64>,
}

/// A connection that waits for snapshots.
pub(super) type Watcher = mpsc::Sender<Result<WatchDesiredStateResponse, Status>>;

/// What outlives a server.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: NodeName,
    pub(super) key: PublicKey,
    pub(super) snapshot: Mutex<Option<Snapshot>>,
    pub(super) instructions: Mutex<Instructions>,
    pub(super) watchers: Mutex<Vec<Watcher>>,
    pub(super) heartbeat_interval: Mutex<Duration>,
    pub(super) faults: Mutex<Faults>,
    pub(super) record: Mutex<Record>,
    pub(super) logs: Mutex<LogRequests>,
    pub(super) passed_on: Mutex<(Option<Weather>, Option<Orbits>)>,
    /// Whether telemetry is watched.
    pub(super) telemetry: watch::Sender<bool>,
    pub(super) lines: Arc<tail::Lines>,
    pub(super) tasks: Mutex<Tasks>,
    /// How the server stands that the agent wants.
    pub(super) standing: watch::Sender<Task>,
}

impl Shared {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violation(&self, problem: String) -> Status {
        self.record().violations.push(problem.clone());
        Status::invalid_argument(problem)
    }

    /// What every call goes through: it is counted, delayed, refused, or its token is verified.
    async fn enter<T>(&self, call: &'static str, request: &Request<T>) -> Result<(), Status> {
        *self.record().calls.entry(call).or_default() += 1;
        let (delay, refuse) = {
            let faults = self.faults();
            (faults.delay, faults.refuse)
        };
        time::sleep(delay).await;
        if let Some(code) = refuse {
            return Err(Status::new(code, "refused by the test"));
        }
        let header = request.metadata().get("authorization").map(|value| value.to_str().unwrap());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        match token::verify(token, &self.key, limits::DEFAULT_AUDIENCE, Utc::now()) {
            Ok(principal) if principal.as_str() == self.node.as_str() => Ok(()),
            Ok(principal) => Err(self.violation(format!("{call}: a token of {principal}"))),
            Err(error) => Err(self.violation(format!("{call}: {error}"))),
        }
    }

    /// Records a heartbeat, and answers it if it is to be answered.
    async fn answer_beat(&self, beat: &Beat) -> Result<HeartbeatResponse, Status> {
        self.record().heartbeats.push(beat.clone());
        let (delay, refuse, hushed, ahead) = {
            let faults = self.faults();
            (faults.delay, faults.refuse, faults.hush_heartbeats, faults.clock_ahead)
        };
        time::sleep(delay).await;
        if let Some(code) = refuse {
            return Err(Status::new(code, "refused by the test"));
        }
        if hushed {
            return future::pending().await;
        }
        let interval = *self.heartbeat_interval.lock().unwrap();
        Ok(HeartbeatResponse {
            server_time: Some(convert::timestamp(Utc::now() + ahead)),
            interval: Some(interval.try_into().unwrap()),
        })
    }

    /// What every answer to a call that changed something goes through.
    fn answer(&self, call: &'static str) {
        let mut faults = self.faults();
        if let Some(index) = faults.lost_answers.iter().position(|(lost, _)| *lost == call) {
            let (_, network) = faults.lost_answers.remove(index);
            network.cut();
        }
    }

    fn is_node(&self, name: &str) -> Result<(), Status> {
        if name == self.node.as_str() {
            return Ok(());
        }
        Err(self.violation(format!("it speaks for `{name}`")))
    }
}

/// The service of one server.
#[derive(Debug)]
pub(super) struct Service(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl NodeService for Service {
    type WatchDesiredStateStream = ReceiverStream<Result<WatchDesiredStateResponse, Status>>;

    async fn watch_desired_state(
        &self,
        request: Request<WatchDesiredStateRequest>,
    ) -> Result<Response<Self::WatchDesiredStateStream>, Status> {
        self.0.enter("watch", &request).await?;
        self.0.is_node(&request.get_ref().node)?;
        let (sender, receiver) = mpsc::channel(64);
        let mut watchers = self.0.watchers.lock().unwrap();
        if let Some(snapshot) = self.0.snapshot.lock().unwrap().clone() {
            let instructions = Some(self.0.instructions.lock().unwrap().clone());
            let WatchDesiredStateRequest { epoch, generation, .. } = request.get_ref();
            let is_held = (epoch, generation) == (&snapshot.epoch, &snapshot.generation);
            let (valid_until, server_time) = (snapshot.valid_until, snapshot.server_time);
            let (weather, orbits) = self.0.passed_on.lock().unwrap().clone();
            let first = WatchDesiredStateResponse {
                weather,
                orbits,
                snapshot: (!is_held).then_some(snapshot),
                instructions,
                renewal: is_held.then_some(Renewal { valid_until, server_time }),
                logs: Some(self.0.logs.lock().unwrap().clone()),
                telemetry_wanted: Some(*self.0.telemetry.borrow()),
                tasks: Some(self.0.tasks.lock().unwrap().clone()),
            };
            sender.try_send(Ok(first)).unwrap();
        }
        watchers.push(sender);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        self.0.enter("heartbeat", &request).await?;
        let heard = (Arc::clone(&self.0), request.into_inner(), None);
        let answers = stream::try_unfold(heard, |(shared, mut beats, known)| async move {
            let Some(said) = beats.message().await? else { return Ok(None) };
            let mut beat: Beat = match known {
                None => {
                    shared.is_node(&said.node)?;
                    Beat::default()
                }
                Some(_) if !said.node.is_empty() => {
                    return Err(shared.violation("a heartbeat repeats the node's name".to_owned()));
                }
                Some(known) => known,
            };
            beat.hear(said);
            let answer = shared.answer_beat(&beat).await?;
            Ok(Some((answer, (shared, beats, Some(beat)))))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn stream_telemetry(
        &self,
        request: Request<Streaming<StreamTelemetryRequest>>,
    ) -> Result<Response<StreamTelemetryResponse>, Status> {
        self.0.enter("StreamTelemetry", &request).await?;
        let mut messages = request.into_inner();
        let first = messages.message().await?.unwrap_or_default();
        self.0.is_node(&first.node)?;
        let _open = OpenTelemetry::new(&self.0, first.readings);
        let mut wanted = self.0.telemetry.subscribe();
        loop {
            tokio::select! {
                _ = wanted.wait_for(|wanted| !wanted) => break,
                message = messages.message() => match message? {
                    Some(message) => {
                        let mut record = self.0.record();
                        record.signs_of_life += usize::from(message.readings.is_empty());
                        record.readings.extend(message.readings);
                    }
                    None => break,
                }
            }
        }
        Ok(Response::new(StreamTelemetryResponse {}))
    }

    async fn report_runs(
        &self,
        request: Request<ReportRunsRequest>,
    ) -> Result<Response<ReportRunsResponse>, Status> {
        self.0.enter("report", &request).await?;
        let ReportRunsRequest { node, events } = request.into_inner();
        self.0.is_node(&node)?;
        if events.is_empty() || events.len() > limits::MAX_EVENTS {
            return Err(self.0.violation(format!("a report of {} events", events.len())));
        }
        let accepted = self.0.faults().accept.unwrap_or(usize::MAX).min(events.len());
        let mut record = self.0.record();
        for event in events.into_iter().take(accepted) {
            record.event(&self.0.node, event);
        }
        drop(record);
        self.0.answer("report");
        Ok(Response::new(ReportRunsResponse { accepted: u32::try_from(accepted).unwrap() }))
    }

    async fn begin_upload(
        &self,
        request: Request<BeginUploadRequest>,
    ) -> Result<Response<BeginUploadResponse>, Status> {
        self.0.enter("begin", &request).await?;
        let request = request.into_inner();
        self.0.is_node(&request.node)?;
        if let Some(code) = self.0.faults().refuse_uploads {
            return Err(Status::new(code, "refused by the test"));
        }
        let run: RunKey = (request.run_id, request.role);
        let mut record = self.0.record();
        let last = record.events.get(&run).and_then(|events| events.last()).cloned();
        if last.as_ref().is_none_or(|event| event.phase() != Phase::Uploading) {
            record.violations.push(format!("a file of {run:?}, which is not uploading: {last:?}"));
        }
        let file = record.files.entry((run.clone(), request.name.clone())).or_default();
        if file.sha256 != request.sha256 || file.size != request.size {
            if file.stored {
                return Err(Status::already_exists("another file of this name is stored"));
            }
            *file = File { size: request.size, sha256: request.sha256.to_vec(), ..File::default() };
        }
        if let Some(content) = request.content {
            if content.len() > limits::MAX_CONTENT || content.len() as u64 != request.size {
                drop(record);
                return Err(self.0.violation(format!("content of {} bytes", content.len())));
            }
            if file.stored {
                file.stored_again += 1;
            }
            file.data = content.to_vec();
            let artifact = store(file, &run, &request.name, &mut self.0.faults())?;
            drop(record);
            self.0.answer("begin");
            let offset = artifact.size;
            let upload_id = String::new();
            return Ok(Response::new(BeginUploadResponse {
                upload_id,
                offset,
                artifact: Some(artifact),
                direct: None,
            }));
        }
        let offset = file.data.len() as u64;
        let direct = self.0.faults().direct.clone().filter(|_| request.direct).map(|shelf| {
            let (least, most) = shelf.lock().unwrap().bounds;
            DirectUpload { least, most }
        });
        if direct.is_some() {
            file.begun_at.push(offset);
        }
        drop(record);
        self.0.answer("begin");
        let upload_id = format!("{}/{}/{}", run.0, run.1, request.name);
        Ok(Response::new(BeginUploadResponse { upload_id, offset, artifact: None, direct }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        self.0.enter("upload", &request).await?;
        let mut parts = request.into_inner();
        let mut offset = 0;
        let mut is_first = true;
        while let Some(part) = parts.message().await? {
            let delay = self.0.faults().part_delay;
            time::sleep(delay).await;
            if part.data.len() > limits::MAX_CHUNK {
                return Err(self.0.violation(format!("a part of {} bytes", part.data.len())));
            }
            let mut record = self.0.record();
            let file = record.files.get_mut(&place(&part.upload_id)?).ok_or_else(unknown)?;
            if part.offset != file.data.len() as u64 {
                return Err(Status::out_of_range("it is not where the file goes on"));
            }
            if is_first {
                file.begun_at.push(part.offset);
                is_first = false;
            }
            file.data.extend_from_slice(&part.data);
            offset = file.data.len() as u64;
            drop(record);
            let mut faults = self.0.faults();
            if faults.cut_at.is_some_and(|cut_at| offset >= cut_at) {
                faults.cut_at = None;
                return Err(Status::unavailable("cut off by the test"));
            }
        }
        self.0.answer("upload");
        Ok(Response::new(UploadResponse { offset }))
    }

    type StreamLogsStream = tail::Asking;

    async fn stream_logs(
        &self,
        request: Request<Streaming<StreamLogsRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        self.0.enter("logs", &request).await?;
        let mut pieces = request.into_inner();
        let first = pieces.message().await?.ok_or_else(unknown)?;
        self.0.is_node(&first.node)?;
        let (lines, key) = (Arc::clone(&self.0.lines), (first.run_id, first.role));
        Ok(Response::new(tail::asking(lines, key, pieces)))
    }

    async fn commit_upload(
        &self,
        request: Request<CommitUploadRequest>,
    ) -> Result<Response<CommitUploadResponse>, Status> {
        self.0.enter("commit", &request).await?;
        let CommitUploadRequest { upload_id, sent } = request.into_inner();
        if let Some(shelf) = self.0.faults().direct.clone() {
            self.confirm(&shelf, &upload_id, sent)?;
        }
        let place = place(&upload_id)?;
        let mut record = self.0.record();
        let file = record.files.get_mut(&place).ok_or_else(unknown)?;
        if file.data.len() as u64 != file.size {
            return Err(Status::failed_precondition("the file is not complete"));
        }
        let (run, name) = place;
        let artifact = store(file, &run, &name, &mut self.0.faults())?;
        drop(record);
        self.0.answer("commit");
        Ok(Response::new(CommitUploadResponse { artifact: Some(artifact) }))
    }

    async fn grant_part(
        &self,
        request: Request<GrantPartRequest>,
    ) -> Result<Response<GrantPartResponse>, Status> {
        self.0.enter("grant", &request).await?;
        let request = request.into_inner();
        let Some(shelf) = self.0.faults().direct.clone() else {
            return Err(self.0.violation("a grant for a file that goes through the reconciler".to_owned()));
        };
        let (offset, size) = self.confirm(&shelf, &request.upload_id, request.sent)?;
        self.0.answer("grant");
        if request.offset != offset || offset == size {
            return Ok(Response::new(GrantPartResponse { offset, request: None }));
        }
        let mut shelf = shelf.lock().unwrap();
        let (least, most) = shelf.bounds;
        let (length, left) = (request.length, size - offset);
        if length == 0 || length > most || length > left || (length < least && length < left) {
            return Err(self.0.violation(format!("a part of {length} bytes, and {left} are left")));
        }
        let md5 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &request.md5);
        let request = SignedRequest {
            method: "PUT".to_owned(),
            url: shelf.grant(&request.upload_id, offset, length),
            headers: [("content-md5".to_owned(), md5)].into(),
            expires_at: Some(convert::timestamp(Utc::now() + TimeDelta::minutes(10))),
        };
        Ok(Response::new(GrantPartResponse { offset, request: Some(request) }))
    }

    async fn authorize_kernel(
        &self,
        request: Request<AuthorizeKernelRequest>,
    ) -> Result<Response<AuthorizeKernelResponse>, Status> {
        self.0.enter("kernel", &request).await?;
        self.0.is_node(&request.get_ref().node)?;
        let request = request.into_inner();
        let at = convert::instant("scheduled_at", request.scheduled_at.as_ref()).unwrap();
        if RunId::new(&request.job.parse().unwrap(), &self.0.node, at).to_string() != request.run_id {
            return Err(self.0.violation(format!("it asks for a run that is none: {request:?}")));
        }
        self.0.record().kernel.push(request);
        let reason = self.0.faults().refuse_kernel.clone();
        let response =
            AuthorizeKernelResponse { allowed: reason.is_none(), reason: reason.unwrap_or_default() };
        Ok(Response::new(response))
    }

    type RequestServerStream = Pin<Box<dyn Stream<Item = Result<RequestServerResponse, Status>> + Send>>;

    async fn request_server(
        &self,
        request: Request<RequestServerRequest>,
    ) -> Result<Response<Self::RequestServerStream>, Status> {
        self.0.enter("want", &request).await?;
        self.0.is_node(&request.get_ref().node)?;
        self.0.record().wanted.push(request.into_inner());
        let standing = WatchStream::new(self.0.standing.subscribe());
        let answer = |task| Ok(RequestServerResponse { task: Some(task), ttl: None });
        Ok(Response::new(Box::pin(standing.map(answer))))
    }

    async fn update_task(
        &self,
        request: Request<UpdateTaskRequest>,
    ) -> Result<Response<UpdateTaskResponse>, Status> {
        self.0.enter("news", &request).await?;
        self.0.is_node(&request.get_ref().node)?;
        self.0.record().news.push(request.into_inner());
        let ttl = Some(Duration::from_secs(3).try_into().unwrap());
        Ok(Response::new(UpdateTaskResponse { task: None, ttl }))
    }
}

impl Service {
    /// Takes a part from the store, and says how much of the file is there, of how much.
    fn confirm(
        &self,
        shelf: &Mutex<Shelf>,
        upload: &str,
        sent: Option<SentPart>,
    ) -> Result<(u64, u64), Status> {
        let mut record = self.0.record();
        let file = record.files.get_mut(&place(upload)?).ok_or_else(unknown)?;
        let there = file.data.len() as u64;
        if let Some(sent) = sent.filter(|sent| sent.offset == there) {
            let shelf = shelf.lock().unwrap();
            let part = shelf.parts.get(&(upload.to_owned(), there));
            match part.filter(|part| part.len() as u64 == sent.length && sent.etag == format!("\"{there}\""))
            {
                Some(part) => file.data.extend_from_slice(part),
                None => {
                    drop(record);
                    return Err(self.0.violation(format!("the store has not taken {sent:?}")));
                }
            }
        }
        Ok((file.data.len() as u64, file.size))
    }
}

/// Verifies a file that has arrived.
fn store(file: &mut File, run: &RunKey, name: &str, faults: &mut Faults) -> Result<Artifact, Status> {
    let always = faults.always_corrupt && file.data.len() > limits::MAX_CONTENT;
    if !file.data.is_empty() && (always || mem::take(&mut faults.corrupt)) {
        file.data[0] ^= 1;
    }
    if Sha256::digest(&file.data).as_slice() != file.sha256 {
        file.data.clear();
        return Err(Status::data_loss("the hash is another"));
    }
    file.stored = true;
    Ok(Artifact {
        run_id: run.0.clone(),
        role: run.1,
        path: name.to_owned(),
        name: name.to_owned(),
        size: file.size,
        sha256: file.sha256.clone().into(),
        stored_at: Some(convert::timestamp(Utc::now())),
        ..Default::default()
    })
}

/// What an upload's id stands for.
fn place(upload_id: &str) -> Result<(RunKey, String), Status> {
    let mut words = upload_id.splitn(3, '/').map(str::to_owned);
    match (words.next(), words.next().and_then(|role| role.parse().ok()), words.next()) {
        (Some(run), Some(role), Some(name)) => Ok(((run, role), name)),
        _ => Err(unknown()),
    }
}

fn unknown() -> Status {
    Status::not_found("there is no such upload")
}

/// A stream of telemetry, until this is dropped.
struct OpenTelemetry(Arc<Shared>);

impl OpenTelemetry {
    fn new(shared: &Arc<Shared>, readings: Vec<Reading>) -> Self {
        let mut record = shared.record();
        record.telemetry_streams += 1;
        record.telemetry_open += 1;
        record.readings.extend(readings);
        drop(record);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenTelemetry {
    fn drop(&mut self) {
        self.0.record().telemetry_open -= 1;
    }
}
