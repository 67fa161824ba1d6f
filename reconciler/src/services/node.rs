//! What agents ask.

use std::{pin::Pin, sync::Arc, time::Duration};

use almanac_proto::{
    convert::{FieldError, instant, parse, parse_optional},
    limits,
    v1::{self, node_service_server::NodeService},
};
use almanac_schemas::{NodeName, Phase, Reason, RunId, RunRole};
use almanac_validate::Moved;
use futures::Stream;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use uuid::Uuid;

use crate::{
    artifacts::{Announcement, Asked, Begun, Bounds, Granted, Part, Sending},
    causes::chain,
    clock,
    moves::End,
    rights::{Action, Caller},
    run::{RunEvent, RunStep},
    store::{Ground, Recorded},
    watch,
};

use super::{Context, context::within, heartbeat, kernel, live, logs, message, refuse, tasks};

/// How long an upload may be silent. What has arrived is kept, and the agent goes on from there.
const UPLOAD_SILENCE: Duration = Duration::from_secs(60);

/// The longest message of a run that is kept, in bytes. It is for people.
const MAX_TEXT: usize = 4 << 10;

/// What agents ask.
#[derive(Debug, Clone)]
pub struct NodeCalls(Context);

impl NodeCalls {
    /// Answers by what a context has.
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    /// The node that a request names, when it is the caller.
    fn node(&self, metadata: &MetadataMap, name: &str) -> Result<(NodeName, Caller), Status> {
        // Whoever has no token learns nothing about what a good request looks like.
        let caller = self.0.caller(metadata)?;
        let node: NodeName = parse("node", name).map_err(refuse::field)?;
        caller.may(Action::ActAs(&node)).map_err(|error| refuse::forbidden(&error))?;
        Ok((node, caller))
    }

    /// The node that calls, where the request names none.
    fn calling_node(&self, metadata: &MetadataMap) -> Result<NodeName, Status> {
        let caller = self.0.caller(metadata)?;
        let node: NodeName =
            caller.name().parse().map_err(|error| refuse::field(FieldError::invalid("node", error)))?;
        caller.may(Action::ActAs(&node)).map_err(|error| refuse::forbidden(&error))?;
        Ok(node)
    }

    /// Tells the nodes, when what was recorded moved runs or was the end of one that had been moved. It is in the database: who
    /// is not told now is told at the next occasion.
    async fn pass_on(&self, events: &[RunEvent], recorded: &[Recorded]) {
        let moved = self.0.instructions.moved();
        let concerns = |(event, recorded): (&RunEvent, &Recorded)| match recorded {
            Recorded::Settled(_) => true,
            Recorded::New => {
                let is_of = |run: &Moved| RunId::new(&run.job, &run.node, run.to) == event.run;
                event.step.phase.is_terminal() && moved.iter().any(is_of)
            }
            Recorded::Known | Recorded::Stranger => false,
        };
        if events.iter().zip(recorded).any(concerns)
            && let Err(error) = self.0.instructions.refresh(&self.0.store).await
        {
            tracing::warn!(
                error = chain(&error),
                "cannot read which runs were moved; it is read again later"
            );
        }
    }

    async fn receive(&self, node: &NodeName, mut parts: Streaming<v1::UploadRequest>) -> Result<u64, Status> {
        let mut sending: Option<Sending> = None;
        loop {
            let part = timeout(UPLOAD_SILENCE, parts.message())
                .await
                .map_err(|_| Status::deadline_exceeded("the upload fell silent; go on where it stopped"))??;
            let Some(part) = part else { break };
            if part.data.len() > limits::MAX_CHUNK {
                let most = limits::MAX_CHUNK;
                return Err(Status::invalid_argument(format!("a part has at most {most} bytes")));
            }
            let id: Uuid = parse("upload_id", &part.upload_id).map_err(refuse::field)?;
            let sending = match &mut sending {
                Some(sending) if sending.id() == id => sending,
                Some(_) => return Err(Status::invalid_argument("one call sends parts of one upload")),
                none => none.insert(self.0.uploads.open(node, id).await.map_err(refuse::upload)?),
            };
            sending.add(part.offset, part.data, part.crc32).await.map_err(refuse::upload)?;
        }
        sending
            .map(|sending| sending.length())
            .ok_or_else(|| Status::invalid_argument("the upload has no part"))
    }
}

#[tonic::async_trait]
impl NodeService for NodeCalls {
    type WatchDesiredStateStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchDesiredStateResponse, Status>> + Send>>;

    async fn watch_desired_state(
        &self,
        request: Request<v1::WatchDesiredStateRequest>,
    ) -> Result<Response<Self::WatchDesiredStateStream>, Status> {
        let (node, caller) = self.node(request.metadata(), &request.get_ref().node)?;
        let Context {
            applied, instructions, logs, live, surroundings, streams, stop, tasks, heartbeats, ..
        } = &self.0;
        let (applied, instructions) = (applied.clone(), instructions.clone());
        let beside = watch::Beside {
            logs: logs.wanted(),
            live: live.wanted(),
            surroundings: surroundings.clone(),
            tasks: tasks.clone(),
            heartbeats: heartbeats.clone(),
        };
        let (streams, stop) = (streams.clone(), stop.clone());
        let v1::WatchDesiredStateRequest { epoch, generation, .. } = request.into_inner();
        let asking = watch::Asking { node, caller, held: (epoch, generation) };
        let states = watch::desired_states(applied, instructions, beside, asking, streams, stop);
        Ok(Response::new(Box::pin(ReceiverStream::new(states))))
    }

    type HeartbeatStream = heartbeat::Answers;

    async fn heartbeat(
        &self,
        request: Request<Streaming<v1::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (metadata, _, mut beats) = request.into_parts();
        let first = heartbeat::first(&self.0, &mut beats).await?;
        let (node, caller) = self.node(&metadata, &first.node)?;
        Ok(Response::new(heartbeat::answers(self.0.clone(), node, caller, first, beats)))
    }

    async fn stream_telemetry(
        &self,
        request: Request<Streaming<v1::StreamTelemetryRequest>>,
    ) -> Result<Response<v1::StreamTelemetryResponse>, Status> {
        let (metadata, _, mut messages) = request.into_parts();
        let first = live::first(&self.0, &mut messages).await?;
        let (node, caller) = self.node(&metadata, &first.node)?;
        live::stream(&self.0, &node, &caller, first, messages).await?;
        Ok(Response::new(v1::StreamTelemetryResponse {}))
    }

    async fn report_runs(
        &self,
        request: Request<v1::ReportRunsRequest>,
    ) -> Result<Response<v1::ReportRunsResponse>, Status> {
        let (node, _) = self.node(request.metadata(), &request.get_ref().node)?;
        let events = request.into_inner().events;
        if events.len() > limits::MAX_EVENTS {
            let most = limits::MAX_EVENTS;
            return Err(Status::invalid_argument(format!("a report has at most {most} events")));
        }
        let accepted = u32::try_from(events.len()).unwrap_or(u32::MAX);
        // An agent keeps what was not taken and sends it again, so an event that can never be taken is
        // dropped here: refusing it would stop all reports behind it for ever.
        let events: Vec<RunEvent> = events.into_iter().filter_map(|event| readable(&node, event)).collect();
        let applied = self.0.applied();
        let ground = Ground { applied: Arc::clone(&applied), now: clock::now() };
        let record = self.0.store.record(&node, &events, &ground);
        let recorded = within(async { self.0.database("record", record).await }).await?;
        self.pass_on(&events, &recorded).await;
        let jitter = |job| {
            applied.testbed.jobs.get(job).map_or(almanac_schemas::Duration::ZERO, |spec| spec.schedule.jitter)
        };
        for (event, recorded) in events.iter().zip(recorded) {
            match recorded {
                Recorded::New => self.0.metrics.run_event(event, jitter(&event.job)),
                Recorded::Settled(End { phase, reason }) => {
                    let step = RunStep { phase, reason: Some(reason), ..event.step.clone() };
                    self.0.metrics.run_event(&RunEvent { step, ..event.clone() }, jitter(&event.job));
                }
                Recorded::Known => {}
                Recorded::Stranger => {
                    tracing::warn!(%node, run = %event.run, job = %event.job, "dropped a report: the node never had this job");
                }
            }
        }
        Ok(Response::new(v1::ReportRunsResponse { accepted }))
    }

    async fn begin_upload(
        &self,
        request: Request<v1::BeginUploadRequest>,
    ) -> Result<Response<v1::BeginUploadResponse>, Status> {
        let (node, _) = self.node(request.metadata(), &request.get_ref().node)?;
        let request = request.into_inner();
        let file = announcement(&request).map_err(refuse::field)?;
        let uploads = &self.0.uploads;
        let begin = async {
            let applied = self.0.applied();
            let settings = &applied.testbed.config.artifacts;
            let Some(content) = request.content else {
                let Begun { id, offset, direct } = uploads.begin(&node, file, settings, clock::now()).await?;
                let direct = direct.map(|Bounds { least, most }| v1::DirectUpload { least, most });
                let upload_id = id.to_string();
                return Ok(v1::BeginUploadResponse { upload_id, offset, artifact: None, direct });
            };
            let row = uploads.store_at_once(&node, file, content, settings, clock::now()).await?;
            let artifact = Some(message::artifact(&row));
            Ok(v1::BeginUploadResponse { upload_id: String::new(), offset: row.size, artifact, direct: None })
        };
        within(async { begin.await.map_err(refuse::upload) }).await.map(Response::new)
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadResponse>, Status> {
        let node = self.calling_node(request.metadata())?;
        // Cancel-safe: what was added to the file stays, and the next call goes on from there.
        tokio::select! {
            () = self.0.stop.cancelled() => {
                Err(Status::unavailable("the reconciler is stopping; go on where the upload stopped"))
            }
            offset = self.receive(&node, request.into_inner()) => {
                Ok(Response::new(v1::UploadResponse { offset: offset? }))
            }
        }
    }

    async fn commit_upload(
        &self,
        request: Request<v1::CommitUploadRequest>,
    ) -> Result<Response<v1::CommitUploadResponse>, Status> {
        let node = self.calling_node(request.metadata())?;
        let id: Uuid = parse("upload_id", &request.get_ref().upload_id).map_err(refuse::field)?;
        let applied = self.0.applied();
        let settings = &applied.testbed.config.artifacts;
        // No deadline: hashing and storing take as long as the file is large.
        let sent = request.into_inner().sent.map(sent);
        let row = self.0.uploads.commit(&node, id, sent.as_ref(), settings, clock::now());
        let row = row.await.map_err(refuse::upload)?;
        Ok(Response::new(v1::CommitUploadResponse { artifact: Some(message::artifact(&row)) }))
    }

    type StreamLogsStream = logs::Asking;

    async fn stream_logs(
        &self,
        request: Request<Streaming<v1::StreamLogsRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let (metadata, _, mut pieces) = request.into_parts();
        // Whoever is not known is not waited for.
        self.0.known(&metadata)?;
        let first = logs::first(&self.0, &mut pieces).await?;
        let (node, caller) = self.node(&metadata, &first.node)?;
        logs::stream(&self.0, &node, caller, &first, pieces).map(Response::new)
    }

    async fn grant_part(
        &self,
        request: Request<v1::GrantPartRequest>,
    ) -> Result<Response<v1::GrantPartResponse>, Status> {
        let node = self.calling_node(request.metadata())?;
        let request = request.into_inner();
        let id: Uuid = parse("upload_id", &request.upload_id).map_err(refuse::field)?;
        let md5 = <[u8; 16]>::try_from(&request.md5[..])
            .map_err(|_| refuse::field(FieldError::invalid("md5", "expected 16 bytes")))?;
        let (start, length) = (request.offset, request.length);
        let asked = Asked { start, length, md5, sent: request.sent.map(sent) };
        let applied = self.0.applied();
        let settings = &applied.testbed.config.artifacts;
        let grant = async {
            let granted = self.0.uploads.grant_part(&node, id, asked, settings, clock::now()).await;
            granted.map_err(refuse::upload)
        };
        let Granted { offset, grant } = within(grant).await?;
        let request = grant.map(message::signed_request);
        Ok(Response::new(v1::GrantPartResponse { offset, request }))
    }

    async fn authorize_kernel(
        &self,
        request: Request<v1::AuthorizeKernelRequest>,
    ) -> Result<Response<v1::AuthorizeKernelResponse>, Status> {
        let (node, caller) = self.node(request.metadata(), &request.get_ref().node)?;
        kernel::authorize(&self.0, &node, &caller, request.into_inner()).await.map(Response::new)
    }

    type RequestServerStream = tasks::Standing;

    async fn request_server(
        &self,
        request: Request<v1::RequestServerRequest>,
    ) -> Result<Response<Self::RequestServerStream>, Status> {
        let (node, caller) = self.node(request.metadata(), &request.get_ref().node)?;
        within(tasks::request(&self.0, &node, caller, request.into_inner())).await.map(Response::new)
    }

    async fn update_task(
        &self,
        request: Request<v1::UpdateTaskRequest>,
    ) -> Result<Response<v1::UpdateTaskResponse>, Status> {
        let (_, caller) = self.node(request.metadata(), &request.get_ref().node)?;
        within(tasks::update(&self.0, &caller, request.into_inner())).await.map(Response::new)
    }
}

fn sent(v1::SentPart { offset, length, etag }: v1::SentPart) -> Part {
    Part { start: offset, length, etag: shortened(etag) }
}

fn announcement(request: &v1::BeginUploadRequest) -> Result<Announcement, FieldError> {
    let sha256 = <[u8; 32]>::try_from(&request.sha256[..]);
    if let Some(content) = &request.content {
        let (found, most) = (content.len(), limits::MAX_CONTENT);
        if found > most || found as u64 != request.size {
            let expected =
                format!("it has {found} bytes: expected all {} of the file, at most {most}", request.size);
            return Err(FieldError::invalid("content", expected));
        }
    }
    Ok(Announcement {
        run: parse("run_id", &request.run_id)?,
        role: RunRole::try_from(request.role())?,
        name: parse("name", &request.name)?,
        // The database's integers are signed.
        size: Some(request.size)
            .filter(|size| i64::try_from(*size).is_ok())
            .ok_or_else(|| FieldError::invalid("size", "it is larger than any file"))?,
        sha256: sha256.map_err(|_| FieldError::invalid("sha256", "expected 32 bytes"))?,
        direct: request.direct,
    })
}

/// An event that makes sense; one that does not is dropped with a warning.
fn readable(node: &NodeName, event: v1::RunEvent) -> Option<RunEvent> {
    let id = event.run_id.clone();
    let event = match read_event(event) {
        Ok(event) if event.is_of(node) => event,
        Ok(_) => {
            tracing::warn!(%node, run = id, "dropped a report: the id is not that of job, node and instant");
            return None;
        }
        Err(error) => {
            tracing::warn!(%node, run = id, %error, "dropped a report");
            return None;
        }
    };
    Some(event)
}

fn read_event(event: v1::RunEvent) -> Result<RunEvent, FieldError> {
    let (phase, reason, role) = (event.phase(), event.reason(), event.role());
    let at = instant("at", event.at.as_ref())?;
    Ok(RunEvent {
        run: parse("run_id", &event.run_id)?,
        job: parse("job", &event.job)?,
        role: RunRole::try_from(role)?,
        client: parse_optional("client", &event.client)?,
        scheduled_at: instant("scheduled_at", event.scheduled_at.as_ref())?,
        step: RunStep {
            sequence: Some(event.sequence)
                .filter(|sequence| (1..=i64::MAX.cast_unsigned()).contains(sequence))
                .ok_or_else(|| FieldError::invalid("sequence", "it counts from 1"))?,
            phase: Phase::try_from(phase)?,
            reason: Reason::try_from(reason).ok(),
            message: shortened(event.message),
            at,
            exit_code: event.exit_code,
            image_digest: shortened(event.image_digest),
            commit: shortened(event.commit),
        },
    })
}

/// Cuts a text of an agent, which is bounded by nothing else.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
    }
    text
}
