//! A reconciler with fixed answers, in this process.

use std::{collections::VecDeque, pin::Pin, sync::Arc, sync::Mutex};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::{Stream, iter, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status};

use almanac_proto::{
    convert::timestamp,
    v1::{
        self,
        testbed_service_server::{TestbedService, TestbedServiceServer},
    },
};
use almanac_schemas::Instant;

/// The current instant of all tests.
pub(crate) const NOW: &str = "2027-01-10T12:00:00Z";

/// The run that completed and left files.
pub(crate) const COMPLETED: &str = "8d863d4f-9fe6-5c16-837c-10e6c0fa0321";
/// The run that is under way.
pub(crate) const RUNNING: &str = "2f4f3c1f-1c5a-5f0e-9d5e-7b110c5a5a53";
/// The run that never was.
pub(crate) const MISSED: &str = "0c5a5a53-1c5a-5f0e-9d5e-2f4f3c1f7b11";

const APPLIED: &str = "1f0e9d5e2f4f3c1f7b110c5a5a531c5a5f0e9d5e";
const PINNED: &str = "5a531c5a5f0e9d5e2f4f3c1f7b110c5a1f0e9d5e";
const REJECTED: &str = "7b110c5a5a531c5a5f0e9d5e2f4f3c1f1c5a5f0e";

const WAITING: &str = "5f0e9d5e7b110c5a5a531c5a2f4f3c1f1c5a5f0e";

/// Why a commit waits.
const REMOVAL: &str = "it removes 11 of 20 jobs (`job-01`, `job-02`, `job-03` and 8 more); if that is meant, an admin says so with `almanac sync approve`, or a commit with the trailer `Almanac-Prune: yes`";

/// What the reconciler holds, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The files of the completed run. What is announced of a file can differ from what is sent.
    pub(crate) files: Vec<File>,
    /// How many bytes of the following downloads are sent before the connection breaks.
    pub(crate) breaks: VecDeque<usize>,
    /// The questions that matter to tests, in order.
    pub(crate) asked: Vec<String>,
    /// What every call is answered instead.
    pub(crate) refusal: Option<Status>,
    /// Lists are empty.
    pub(crate) empty: bool,
    /// Pages hold no more than this, however much is asked for.
    pub(crate) most: Option<usize>,
    /// What comes of a look at the repository.
    pub(crate) outcome: v1::SyncOutcome,
    /// Where the store is that serves files itself, and which of its addresses were given away.
    pub(crate) store: Option<String>,
    pub(crate) grants: usize,
    /// After how many of them the retention of the files is over.
    pub(crate) expires_after: Option<usize>,
    /// How many of the following calls for many files are refused, as there are too many.
    pub(crate) too_many: usize,
}

/// A stored file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) announced: v1::Artifact,
    pub(crate) content: Vec<u8>,
}

impl File {
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        let announced = v1::Artifact {
            run_id: COMPLETED.to_owned(),
            role: v1::Role::Client.into(),
            name: name.to_owned(),
            size: content.len() as u64,
            sha256: Sha256::digest(content).to_vec().into(),
            path: format!("london-01/ping-london/2027/01/10/{COMPLETED}/{name}"),
            stored_at: at("2027-01-10T11:46:02Z"),
            expires_at: at("2027-04-10T11:46:02Z"),
            ..v1::Artifact::default()
        };
        Self { announced, content: content.to_vec() }
    }
}

/// A running reconciler.
#[derive(Clone)]
pub(crate) struct Reconciler {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Reconciler {
    /// Starts it on a free port and answers its address.
    pub(crate) async fn start(state: State) -> (Self, String) {
        let reconciler = Self { state: Arc::new(Mutex::new(state)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = TestbedServiceServer::new(reconciler.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (reconciler, address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Notes a question and whether it carries a token.
    fn ask<T: std::fmt::Debug>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut state = self.state.lock().unwrap();
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if !token.is_some_and(|token| token.starts_with("Bearer ey")) {
            return Err(Status::unauthenticated("the call carries no token"));
        }
        state.asked.push(format!("{:?}", request.get_ref()));
        state.refusal.clone().map_or(Ok(()), Err)
    }

    /// A run with its details.
    fn detailed(&self, run: v1::Run) -> v1::Run {
        if run.id != COMPLETED {
            return run;
        }
        let files = &self.state.lock().unwrap().files;
        v1::Run {
            artifacts: files.iter().map(|file| file.announced.clone()).collect(),
            image: "almanac/probe:1".to_owned(),
            start_skew_micros: Some(12_345),
            ..run
        }
    }

    /// A run that is kept, or not any more.
    async fn kept(&self, id: &str, kept: Option<v1::Keep>) -> Result<Option<v1::GetRunResponse>, Status> {
        let mut request = Request::new(v1::GetRunRequest { id: id.to_owned() });
        request.metadata_mut().insert("authorization", "Bearer ey".parse().unwrap());
        let mut answer = self.get_run(request).await?.into_inner();
        answer.run.as_mut().unwrap().kept = kept;
        Ok(Some(answer))
    }

    fn page<T>(&self, items: Vec<T>, size: i32, token: &str) -> (Vec<T>, String) {
        let State { empty, most, .. } = *self.state.lock().unwrap();
        if empty {
            return (vec![], String::new());
        }
        let start: usize = token.parse().unwrap_or(0);
        let size = usize::try_from(size).unwrap().min(most.unwrap_or(usize::MAX));
        let end = items.len().min(start + size);
        let next = if end < items.len() { end.to_string() } else { String::new() };
        (items.into_iter().skip(start).take(end - start).collect(), next)
    }
}

pub(crate) fn at(text: &str) -> Option<prost_types::Timestamp> {
    Some(timestamp(text.parse::<Instant>().unwrap().0))
}

/// `Ready`, `Stalled` and `Stale`, each with its status, reason and message.
fn conditions(told: [(bool, &str, &str); 3]) -> Vec<v1::Condition> {
    ["Ready", "Stalled", "Stale"]
        .into_iter()
        .zip(told)
        .map(|(name, (status, reason, message))| v1::Condition {
            r#type: name.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            since: at("2027-01-10T11:30:00Z"),
        })
        .collect()
}

/// Those of a node: with `ClockSkewed`.
fn with_clock(
    mut conditions: Vec<v1::Condition>,
    status: bool,
    reason: &str,
    message: &str,
) -> Vec<v1::Condition> {
    conditions.push(v1::Condition {
        r#type: "ClockSkewed".to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: at("2027-01-10T11:30:00Z"),
    });
    conditions
}

const WELL: [(bool, &str, &str); 3] =
    [(true, "AsDeclared", ""), (false, "Progressing", ""), (false, "Heard", "")];

const AHEAD: &str = "its clock is 3.2 s ahead of the reconciler's: set it by NTP";

const SILENT: &str = "silent: last heard of at 2027-01-10T11:55:00Z";

const BEHIND: &str = "it holds generation 6 of its state, and 7 is in force";

fn nodes() -> Vec<v1::Node> {
    let spec = |location: &str, cordoned: bool| {
        format!(r#"{{"owner":"alice","location":"{location}","guard":"5s","cordoned":{cordoned}}}"#)
    };
    vec![
        v1::Node {
            name: "london-01".to_owned(),
            labels: [("country".to_owned(), "gb".to_owned()), ("provider".to_owned(), "starlink".to_owned())]
                .into(),
            spec: spec("London, UK", false),
            liveness: v1::Liveness::Online.into(),
            last_seen: at("2027-01-10T11:59:48Z"),
            address: "203.0.113.7".to_owned(),
            agent_version: "0.1.0".to_owned(),
            engine: "docker 28.2.2".to_owned(),
            generation: 4,
            held_generation: 4,
            next_run: at("2027-01-10T12:15:00Z"),
            cordon: None,
            scavenging: None,
            conditions: with_clock(conditions(WELL), true, "OffsetTooLarge", AHEAD),
            clock: Some(v1::ClockOffset { offset_micros: -3_249_000, round_trip_micros: 48_100 }),
            host: Some(v1::HostMetrics {
                load_hundredths: Some(42),
                memory_total: Some(4 << 30),
                memory_available: Some(3 << 30),
                disk_total: Some(64 << 30),
                disk_free: Some(50 << 30),
                temperature_millidegrees: Some(48_250),
                uptime_seconds: Some(12 * 86_400),
            }),
        },
        v1::Node {
            name: "paris-01".to_owned(),
            spec: spec("Paris, France", true),
            liveness: v1::Liveness::Stale.into(),
            last_seen: at("2027-01-10T11:55:00Z"),
            agent_version: "0.1.0".to_owned(),
            generation: 7,
            held_generation: 6,
            conditions: with_clock(
                conditions([(false, "Silent", SILENT), (false, "Progressing", ""), (true, "Silent", SILENT)]),
                false,
                "InStep",
                "",
            ),
            clock: Some(v1::ClockOffset { offset_micros: 12_345, round_trip_micros: 48_000 }),
            ..v1::Node::default()
        },
        v1::Node {
            name: "tromso-01".to_owned(),
            spec: spec("Tromsø, Norway", false),
            liveness: v1::Liveness::Never.into(),
            generation: 1,
            next_run: at("2027-01-10T13:00:00Z"),
            conditions: with_clock(
                conditions([
                    (false, "NeverHeard", "its agent was never heard of"),
                    (false, "Progressing", ""),
                    (true, "NeverHeard", "its agent was never heard of"),
                ]),
                false,
                "NotMeasured",
                "",
            ),
            ..v1::Node::default()
        },
    ]
}

fn jobs() -> Vec<v1::Job> {
    let job = |name: &str, nodes: &[&str], schedule: &str| v1::Job {
        name: name.to_owned(),
        owner: "alice".to_owned(),
        spec: format!(
            r#"{{"owner":"alice","nodes":["london-01"],"schedule":{{{schedule},"length":"1m"}},"exclusive":true,"container":{{"image":"almanac/probe:1","command":["ping","-c","10","example.org"]}}}}"#
        ),
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        commit: APPLIED.to_owned(),
        created_at: at("2027-01-01T08:00:00Z"),
        updated_at: at("2027-01-09T12:00:00Z"),
        ..v1::Job::default()
    };
    vec![
        v1::Job {
            next_run: at("2027-01-10T12:15:00Z"),
            conditions: conditions(WELL),
            ..job("ping-london", &["london-01"], r#""cron":"*/15 * * * *""#)
        },
        v1::Job {
            next_run: at("2027-01-10T13:00:00Z"),
            conditions: conditions([
                (
                    false,
                    "NodesNotReady",
                    "2 of 3 nodes: `paris-01`: silent: last heard of at 2027-01-10T11:55:00Z; `tromso-01`: its agent was never heard of",
                ),
                (false, "Progressing", ""),
                (
                    true,
                    "Lagging",
                    "2 of 3 nodes: `paris-01`: silent: last heard of at 2027-01-10T11:55:00Z; `tromso-01`: its agent was never heard of",
                ),
            ]),
            ..job("congestion-control-bbr", &["london-01", "paris-01", "tromso-01"], r#""cron":"0 * * * *""#)
        },
        v1::Job {
            deleted_at: at("2027-01-09T12:00:00Z"),
            ..job("once", &["paris-01"], r#""at":"2027-01-05T12:00:00Z""#)
        },
    ]
}

fn occurrences() -> Vec<v1::Occurrence> {
    let occurrence = |job: &str, node: &str, start: &str, end: &str| v1::Occurrence {
        job: job.to_owned(),
        node: node.to_owned(),
        role: v1::Role::Client.into(),
        owner: "alice".to_owned(),
        start: at(start),
        end: at(end),
        exclusive: true,
        maintenance: false,
        moved_from: None,
    };
    vec![
        occurrence("ping-london", "london-01", "2027-01-10T12:15:00Z", "2027-01-10T12:16:00Z"),
        v1::Occurrence {
            moved_from: at("2027-01-10T11:30:00Z"),
            ..occurrence("survey", "london-01", "2027-01-10T12:16:00Z", "2027-01-10T12:17:00Z")
        },
        v1::Occurrence {
            role: v1::Role::Server.into(),
            ..occurrence("throughput", "paris-01", "2027-01-10T12:20:00Z", "2027-01-10T12:22:00Z")
        },
        v1::Occurrence {
            job: String::new(),
            owner: String::new(),
            role: v1::Role::Unspecified.into(),
            exclusive: false,
            maintenance: true,
            ..occurrence("", "tromso-01", "2027-01-11T03:00:00Z", "2027-01-11T04:00:00Z")
        },
    ]
}

fn runs() -> Vec<v1::Run> {
    let run = |id: &str, node: &str, scheduled: &str, phase: v1::Phase| v1::Run {
        id: id.to_owned(),
        job: "ping-london".to_owned(),
        node: node.to_owned(),
        owner: "alice".to_owned(),
        scheduled_at: at(scheduled),
        phase: phase.into(),
        commit: APPLIED.to_owned(),
        role: v1::Role::Client.into(),
        ..v1::Run::default()
    };
    vec![
        v1::Run {
            job: "congestion-control-bbr".to_owned(),
            started_at: at("2027-01-10T11:59:30Z"),
            image_digest: "sha256:0123456789abcdef".to_owned(),
            ..run(RUNNING, "london-01", "2027-01-10T11:59:30Z", v1::Phase::Running)
        },
        v1::Run {
            reason: v1::Reason::ExitCode.into(),
            started_at: at("2027-01-10T11:45:00Z"),
            ended_at: at("2027-01-10T11:46:00Z"),
            exit_code: Some(0),
            image_digest: "sha256:0123456789abcdef".to_owned(),
            kept: Some(v1::Keep {
                actor: "alice".to_owned(),
                reason: "for the paper".to_owned(),
                since: at("2027-01-10T11:50:00Z"),
            }),
            ..run(COMPLETED, "london-01", "2027-01-10T11:45:00Z", v1::Phase::Completed)
        },
        v1::Run {
            reason: v1::Reason::NodeOffline.into(),
            message: "the agent was not running".to_owned(),
            ..run(MISSED, "tromso-01", "2027-01-10T09:00:00Z", v1::Phase::Missed)
        },
        v1::Run {
            reason: v1::Reason::ExitCode.into(),
            started_at: at("2027-01-09T11:45:00Z"),
            ended_at: at("2027-01-09T11:45:03Z"),
            exit_code: Some(2),
            ..run(
                "9d5e7b11-0c5a-5a53-9c5a-5f0e2f4f3c1f",
                "paris-01",
                "2027-01-09T11:45:00Z",
                v1::Phase::Failed,
            )
        },
    ]
}

fn syncs() -> Vec<v1::Sync> {
    let sync = |id: u64, commit: &str, subject: &str, ended: &str| v1::Sync {
        id,
        commit: commit.to_owned(),
        author: "Alice Example <alice@example.org>".to_owned(),
        subject: subject.to_owned(),
        committed_at: at("2027-01-10T11:50:00Z"),
        started_at: at(ended).map(|end| prost_types::Timestamp { nanos: 0, seconds: end.seconds - 1 }),
        ended_at: at(ended),
        tree: "9c46159374d0568b8c18f207abd73bee43034eb9".to_owned(),
        cause: "commit".to_owned(),
        ..v1::Sync::default()
    };
    vec![
        v1::Sync {
            outcome: v1::SyncOutcome::Rejected.into(),
            message: "the commit has errors".to_owned(),
            findings: 2,
            ..sync(12, REJECTED, "Measure twice as often", "2027-01-10T11:51:00Z")
        },
        v1::Sync {
            outcome: v1::SyncOutcome::Applied.into(),
            added: 1,
            changed: 1,
            removed: 1,
            findings: 1,
            signer: "alice".to_owned(),
            approved_by: "carol".to_owned(),
            message: "1 added, 1 changed, 1 removed".to_owned(),
            ..sync(11, APPLIED, "Add the comparison of congestion controls", "2027-01-09T12:00:00Z")
        },
        v1::Sync {
            outcome: v1::SyncOutcome::Waiting.into(),
            changed: 1,
            removed: 11,
            message: REMOVAL.to_owned(),
            ..sync(10, WAITING, "Tidy up", "2027-01-09T11:00:00Z")
        },
    ]
}

fn finding(rule: &str, severity: &str, line: u32, message: &str, help: &str) -> v1::Finding {
    v1::Finding {
        rule: rule.to_owned(),
        severity: severity.to_owned(),
        message: message.to_owned(),
        file: "jobs/ping.yaml".to_owned(),
        line,
        column: line.min(5),
        end_line: line,
        end_column: line.min(9),
        help: help.to_owned(),
    }
}

fn findings() -> Vec<v1::Finding> {
    vec![
        finding(
            "schedule-conflict",
            "error",
            12,
            "`ping-london` and `throughput` overlap on `london-01`, first at 2027-01-11T00:00:00Z",
            "`cron: \"7-59/15 * * * *\"` is free",
        ),
        v1::Finding { column: 0, ..finding("empty-file", "warning", 0, "the file is empty", "") },
    ]
}

impl State {
    /// What comes of a look at the repository.
    fn look(&self) -> v1::Sync {
        let suspended = "suspended by alice until 2027-01-10T14:00:00Z: the dish is being moved";
        let recorded = |index: usize| syncs().remove(index);
        match self.outcome {
            v1::SyncOutcome::Unspecified | v1::SyncOutcome::Applied => recorded(1),
            v1::SyncOutcome::Rejected => recorded(0),
            v1::SyncOutcome::Waiting => v1::Sync {
                outcome: v1::SyncOutcome::Waiting.into(),
                message: REMOVAL.to_owned(),
                findings: 0,
                removed: 11,
                ..recorded(0)
            },
            v1::SyncOutcome::Failed | v1::SyncOutcome::Suspended => v1::Sync {
                outcome: self.outcome.into(),
                message: if self.outcome == v1::SyncOutcome::Suspended {
                    suspended
                } else {
                    "cannot look at the repository: there is no repository at /srv/testbed.git"
                }
                .to_owned(),
                started_at: at(NOW),
                ended_at: at(NOW),
                ..v1::Sync::default()
            },
        }
    }
}

fn suspension() -> v1::SyncHold {
    v1::SyncHold {
        actor: "alice".to_owned(),
        reason: "the dish in London is being moved to the other roof".to_owned(),
        since: at("2027-01-10T11:30:00Z"),
        until: at("2027-01-10T14:00:00Z"),
        commit: String::new(),
    }
}

fn pin() -> v1::SyncHold {
    v1::SyncHold {
        actor: "carol".to_owned(),
        reason: "compare with last week".to_owned(),
        since: at("2027-01-10T11:20:00Z"),
        until: None,
        commit: PINNED.to_owned(),
    }
}

fn actions() -> Vec<v1::SyncAction> {
    let action = |when: &str, actor: &str, action: &str| v1::SyncAction {
        at: at(when),
        actor: actor.to_owned(),
        action: action.to_owned(),
        ..v1::SyncAction::default()
    };
    vec![
        v1::SyncAction {
            reason: suspension().reason + ", and nobody is to start anything there until it is back",
            until: suspension().until,
            ..action("2027-01-10T11:30:00Z", "alice", "suspend")
        },
        v1::SyncAction {
            commit: PINNED.to_owned(),
            reason: pin().reason,
            ..action("2027-01-10T11:20:00Z", "carol", "pin")
        },
        v1::SyncAction { commit: APPLIED.to_owned(), ..action("2027-01-09T12:00:00Z", "carol", "approve") },
    ]
}

fn change(name: &str, action: v1::ChangeAction, before: &str, after: &str) -> v1::Change {
    v1::Change {
        kind: "Job".to_owned(),
        name: name.to_owned(),
        action: action.into(),
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

fn changes_of_a_user() -> Vec<v1::Change> {
    let spec = |role: &str, key: &str| {
        format!(r#"{{"spec":{{"role":"{role}","team":"surrey","keys":["ssh-ed25519 {key} alice@laptop"]}}}}"#)
    };
    let of_a_user = |action, before: &str, after: &str| v1::Change {
        kind: "User".to_owned(),
        ..change("alice", action, before, after)
    };
    vec![
        of_a_user(v1::ChangeAction::Changed, &spec("user", "AAAA"), &spec("privileged", "BBBB")),
        of_a_user(v1::ChangeAction::Added, "", &spec("user", "AAAA")),
    ]
}

/// What a commit that waits would change.
fn removal() -> Vec<v1::Change> {
    let spec = |cron: &str| format!(r#"{{"spec":{{"owner":"alice","schedule":{{"cron":"{cron}"}}}}}}"#);
    let removed =
        |number: u32| change(&format!("job-{number:02}"), v1::ChangeAction::Removed, &spec("0 * * * *"), "");
    let mut changes: Vec<_> = (1..=11).map(removed).collect();
    changes.push(change("job-12", v1::ChangeAction::Changed, &spec("0 * * * *"), &spec("5 * * * *")));
    changes
}

fn changes() -> Vec<v1::Change> {
    let old = r#"{"spec":{"owner":"alice","schedule":{"cron":"0 * * * *"},"container":{"image":"registry.example.org/probes/ping@sha256:0123456789"}}}"#;
    let new = r#"{"spec":{"owner":"alice","schedule":{"cron":"5 * * * *"},"exclusive":false,"container":{"image":"registry.example.org/probes/ping@sha256:abcdef"}}}"#;
    vec![
        change("congestion-control-bbr", v1::ChangeAction::Added, "", new),
        change("ping-london", v1::ChangeAction::Changed, old, new),
        change("once", v1::ChangeAction::Removed, old, ""),
    ]
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TestbedService for Reconciler {
    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let (nodes, next_page_token) = self.page(nodes(), question.page_size, &question.page_token);
        Ok(Response::new(v1::ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        self.ask(&request)?;
        let name = &request.get_ref().name;
        let node = nodes().into_iter().find(|node| node.name == *name);
        let missing = || Status::not_found(format!("node `{name}` not found (did you mean `paris-01`?)"));
        Ok(Response::new(v1::GetNodeResponse { node: Some(node.ok_or_else(missing)?) }))
    }

    async fn set_node_mode(
        &self,
        request: Request<v1::SetNodeModeRequest>,
    ) -> Answer<v1::SetNodeModeResponse> {
        self.ask(&request)?;
        let v1::SetNodeModeRequest { name, mode, reason, until, stop_at } = request.into_inner();
        let mut node = nodes().into_iter().find(|node| node.name == name).unwrap();
        let since = at(NOW);
        node.cordon = (mode != v1::NodeMode::Active as i32).then(|| v1::Cordon {
            actor: "alice".to_owned(),
            reason,
            since,
            until,
            stop_at,
        });
        Ok(Response::new(v1::SetNodeModeResponse { node: Some(node) }))
    }

    async fn set_scavenger(
        &self,
        request: Request<v1::SetScavengerRequest>,
    ) -> Answer<v1::SetScavengerResponse> {
        self.ask(&request)?;
        let v1::SetScavengerRequest { name, on, reason, until } = request.into_inner();
        let mut node = nodes().into_iter().find(|node| node.name == name).unwrap();
        let since = at(NOW);
        node.scavenging = on.then(|| v1::Scavenging { actor: "alice".to_owned(), reason, since, until });
        Ok(Response::new(v1::SetScavengerResponse { node: Some(node) }))
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Answer<v1::ListJobsResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let mut jobs = jobs();
        jobs.retain(|job| question.deleted || job.deleted_at.is_none());
        let (jobs, next_page_token) = self.page(jobs, question.page_size, &question.page_token);
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Answer<v1::GetJobResponse> {
        self.ask(&request)?;
        let name = &request.get_ref().name;
        let job = jobs().into_iter().find(|job| job.name == *name);
        let missing = || Status::not_found(format!("job `{name}` not found"));
        Ok(Response::new(v1::GetJobResponse { job: Some(job.ok_or_else(missing)?) }))
    }

    async fn list_occurrences(
        &self,
        request: Request<v1::ListOccurrencesRequest>,
    ) -> Answer<v1::ListOccurrencesResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let (occurrences, next_page_token) =
            self.page(occurrences(), question.page_size, &question.page_token);
        Ok(Response::new(v1::ListOccurrencesResponse { occurrences, next_page_token }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let mut runs = runs();
        if question.details {
            runs = runs.into_iter().map(|run| self.detailed(run)).collect();
        }
        runs.retain(|run| question.phases.is_empty() || question.phases.contains(&run.phase));
        let (runs, next_page_token) = self.page(runs, question.page_size, &question.page_token);
        Ok(Response::new(v1::ListRunsResponse { runs, next_page_token }))
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Answer<v1::CancelRunResponse> {
        self.ask(&request)?;
        let v1::CancelRunRequest { id, reason } = request.into_inner();
        self.state.lock().unwrap().asked.push(format!("cancel {id} because `{reason}`"));
        let run = runs().into_iter().find(|run| run.id.starts_with(&id)).unwrap();
        if run.id == COMPLETED {
            return Err(Status::failed_precondition("the run has ended"));
        }
        Ok(Response::new(v1::CancelRunResponse { run: Some(run), connected: false }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::GetRunResponse> {
        self.ask(&request)?;
        let id = &request.get_ref().id;
        let run = runs().into_iter().find(|run| run.id.starts_with(id));
        let run = run.ok_or_else(|| Status::not_found(format!("run `{id}` not found")))?;
        let step = |sequence, phase: v1::Phase, reason: v1::Reason, message: &str, when| v1::RunStep {
            sequence,
            phase: phase.into(),
            reason: reason.into(),
            message: message.to_owned(),
            at: at(when),
        };
        let none = v1::Reason::Unspecified;
        let (steps, artifacts) = match run.id.as_str() {
            COMPLETED => (
                vec![
                    step(1, v1::Phase::Deploying, none, "pulling almanac/probe:1", "2027-01-10T11:44:51Z"),
                    step(2, v1::Phase::Running, none, "", "2027-01-10T11:45:00.013Z"),
                    step(3, v1::Phase::Uploading, none, "", "2027-01-10T11:46:00.250Z"),
                    step(4, v1::Phase::Completed, v1::Reason::ExitCode, "", "2027-01-10T11:46:02.500Z"),
                ],
                self.state.lock().unwrap().files.iter().map(|file| file.announced.clone()).collect(),
            ),
            _ => (vec![], vec![]),
        };
        let parts = vec![self.detailed(run.clone())];
        let run = Some(v1::Run { artifacts: vec![], ..parts[0].clone() });
        Ok(Response::new(v1::GetRunResponse { run, steps, artifacts, parts }))
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Answer<v1::ListArtifactsResponse> {
        self.ask(&request)?;
        Err(Status::unimplemented("the command asks for runs as a whole"))
    }

    type DownloadArtifactStream =
        Pin<Box<dyn Stream<Item = Result<v1::DownloadArtifactResponse, Status>> + Send>>;

    async fn download_artifact(
        &self,
        request: Request<v1::DownloadArtifactRequest>,
    ) -> Answer<Self::DownloadArtifactStream> {
        self.ask(&request)?;
        let question = request.get_ref();
        let mut state = self.state.lock().unwrap();
        let breaks = state.breaks.pop_front();
        let file = state
            .files
            .iter()
            .find(|file| file.announced.name == question.name && file.announced.role == question.role);
        let file = file.ok_or_else(|| Status::not_found("no such file"))?;
        let rest = file.content[usize::try_from(question.offset).unwrap()..].to_vec();
        let length = breaks.unwrap_or(usize::MAX).min(rest.len());
        let rest = Bytes::from(rest).slice(..length);
        let parts: Vec<_> = rest.chunks(1_000).map(Bytes::copy_from_slice).collect();
        let parts = parts.into_iter().map(|data| Ok(v1::DownloadArtifactResponse { data }));
        let end = breaks.map(|_| Err(Status::unavailable("the reconciler is stopping")));
        Ok(Response::new(Box::pin(iter(parts.chain(end).collect::<Vec<_>>()))))
    }

    type WatchTelemetryStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchTelemetryResponse, Status>> + Send>>;

    async fn watch_telemetry(
        &self,
        request: Request<v1::WatchTelemetryRequest>,
    ) -> Answer<Self::WatchTelemetryStream> {
        self.ask(&request)?;
        let question = request.get_ref();
        let mut state = self.state.lock().unwrap();
        let value = |value| v1::MeasuredValue { value: Some(value) };
        let number = |number| value(v1::measured_value::Value::Number(number));
        let text = |text: &str| value(v1::measured_value::Value::Text(text.to_owned()));
        let reading = |provider: &str, when, sample: &[(&str, v1::MeasuredValue)]| v1::Reading {
            provider: provider.to_owned(),
            at: at(when),
            sample: sample.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let dish = [
            ("pop_ping_latency_ms", number(31.25)),
            ("currently_obstructed", value(v1::measured_value::Value::Truth(false))),
            ("software_version", text("2026.52.0")),
        ];
        let dish = reading("dish", "2027-01-10T11:59:59Z", &dish);
        let weather = reading(
            "weather",
            "2027-01-10T11:52:00Z",
            &[("temp", number(7.5)), ("main", text("Rain\u{1b}[2J"))],
        );
        let local = reading("local", "2027-01-10T11:59:58Z", &[("queue", number(3.0))]);
        let answer =
            |readings, problem: &str| v1::WatchTelemetryResponse { readings, problem: problem.to_owned() };
        if question.node == "paris-01" {
            let offline = "`paris-01` is not heard of since 2027-01-10T09:00:00Z";
            return Ok(Response::new(Box::pin(iter([Ok(answer(vec![weather], offline))]))));
        }
        let mut answers = vec![Ok(answer(vec![dish.clone(), weather, local.clone()], ""))];
        if question.follow {
            if let Some(after) = state.breaks.pop_front() {
                answers.truncate(after);
                answers.push(Err(Status::unavailable("the reconciler is stopping")));
            } else {
                let silent = v1::Reading { sample: [].into(), ..local };
                let later = v1::Reading { at: at("2027-01-10T12:00:01Z"), ..dish };
                answers.push(Ok(answer(vec![later, silent], "")));
                answers.push(Ok(answer(vec![], "`london-01` has not sent what it measures for 15 s")));
                answers.push(Err(Status::permission_denied("you may not watch it any more")));
            }
        }
        Ok(Response::new(Box::pin(iter(answers))))
    }

    type TailLogsStream = Pin<Box<dyn Stream<Item = Result<v1::TailLogsResponse, Status>> + Send>>;

    async fn tail_logs(&self, request: Request<v1::TailLogsRequest>) -> Answer<Self::TailLogsStream> {
        self.ask(&request)?;
        let question = request.get_ref();
        let run = runs().into_iter().find(|run| run.id.starts_with(&question.run_id));
        let run = run.ok_or_else(|| Status::not_found("no such run"))?;
        let mut state = self.state.lock().unwrap();
        if question.role() == v1::Role::Server {
            let id = run.id;
            return Err(Status::not_found(format!("run {id} has no server, and so no log of it")));
        }
        if run.id != COMPLETED {
            let why = if run.id == RUNNING { "it has not begun" } else { "it left no log" };
            return Err(Status::failed_precondition(format!("run {}: {why}", run.id)));
        }
        let breaks = state.breaks.pop_front();
        let log = state.files.iter().find(|file| file.announced.name == "run.log").unwrap();
        let plain = !almanac_proto::log::is_stamped(&log.content);
        let mut offset = 0;
        let lines = log.content.split_inclusive(|byte| *byte == b'\n').map(|line| {
            offset += line.len() as u64;
            let data = Bytes::copy_from_slice(line);
            v1::TailLogsResponse { data, offset, plain, ..Default::default() }
        });
        let begin = question.offset.unwrap_or_default();
        let lines = lines.filter(|part| part.offset > begin).take(breaks.unwrap_or(usize::MAX)).map(Ok);
        let end = match breaks {
            Some(_) => Err(Status::unavailable("the reconciler is stopping")),
            None => Ok(v1::TailLogsResponse { end: true, ..Default::default() }),
        };
        Ok(Response::new(Box::pin(iter(lines.chain([end]).collect::<Vec<_>>()))))
    }

    async fn grant_download(
        &self,
        request: Request<v1::GrantDownloadRequest>,
    ) -> Answer<v1::GrantDownloadResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let mut state = self.state.lock().unwrap();
        state.grants += 1;
        if state.expires_after == Some(state.grants - 1) {
            return Err(Status::failed_precondition(format!("`{}` expired", question.name)));
        }
        let missing = || Status::unimplemented("the store is a folder");
        let url =
            format!("{}/{}?grant={}", state.store.as_ref().ok_or_else(missing)?, question.name, state.grants);
        let headers = [("x-store".to_owned(), "yes".to_owned())].into();
        let request = v1::SignedRequest { method: "GET".to_owned(), url, headers, expires_at: at(NOW) };
        Ok(Response::new(v1::GrantDownloadResponse { request: Some(request), artifact: None }))
    }

    type DownloadFilesStream = Pin<Box<dyn Stream<Item = Result<v1::DownloadFilesResponse, Status>> + Send>>;

    async fn download_files(
        &self,
        request: Request<v1::DownloadFilesRequest>,
    ) -> Answer<Self::DownloadFilesStream> {
        self.ask(&request)?;
        let mut state = self.state.lock().unwrap();
        if state.too_many > 0 {
            state.too_many -= 1;
            let mut status = Status::resource_exhausted("you make more calls than 100 per second");
            status.metadata_mut().insert("grpc-retry-pushback-ms", 5_u64.into());
            return Err(status);
        }
        let answer = |(index, wanted): (usize, &v1::FileName)| {
            let found = state
                .files
                .iter()
                .find(|file| file.announced.name == wanted.name && file.announced.role == wanted.role);
            let outcome = match found {
                Some(file) if file.announced.run_id == wanted.run_id => {
                    v1::downloaded_file::Outcome::Content(file.content.clone().into())
                }
                _ => v1::downloaded_file::Outcome::Refusal(v1::FileRefusal {
                    code: tonic::Code::NotFound.into(),
                    message: format!("there is no file `{}`", wanted.name),
                }),
            };
            v1::DownloadedFile { index: u32::try_from(index).unwrap(), outcome: Some(outcome) }
        };
        let files: Vec<_> = request.get_ref().files.iter().enumerate().map(answer).collect();
        // A message for each two.
        let messages: Vec<_> =
            files.chunks(2).map(|files| Ok(v1::DownloadFilesResponse { files: files.to_vec() })).collect();
        Ok(Response::new(Box::pin(iter(messages))))
    }

    async fn keep_run(&self, request: Request<v1::KeepRunRequest>) -> Answer<v1::KeepRunResponse> {
        self.ask(&request)?;
        let v1::KeepRunRequest { id, reason } = request.into_inner();
        let keep = v1::Keep { actor: "alice".to_owned(), reason, since: at("2027-01-10T11:58:00Z") };
        Ok(Response::new(v1::KeepRunResponse { run: self.kept(&id, Some(keep)).await? }))
    }

    async fn unkeep_run(&self, request: Request<v1::UnkeepRunRequest>) -> Answer<v1::UnkeepRunResponse> {
        self.ask(&request)?;
        let run = self.kept(&request.get_ref().id, None).await?;
        Ok(Response::new(v1::UnkeepRunResponse { run }))
    }

    async fn sync_now(&self, request: Request<v1::SyncNowRequest>) -> Answer<v1::SyncNowResponse> {
        self.ask(&request)?;
        let sync = Some(self.state.lock().unwrap().look());
        Ok(Response::new(v1::SyncNowResponse { sync }))
    }

    async fn suspend_sync(
        &self,
        request: Request<v1::SuspendSyncRequest>,
    ) -> Answer<v1::SuspendSyncResponse> {
        self.ask(&request)?;
        let v1::SuspendSyncRequest { reason, until } = request.into_inner();
        let suspended = Some(v1::SyncHold { reason, until, since: at(NOW), ..suspension() });
        Ok(Response::new(v1::SuspendSyncResponse { suspended }))
    }

    async fn resume_sync(&self, request: Request<v1::ResumeSyncRequest>) -> Answer<v1::ResumeSyncResponse> {
        self.ask(&request)?;
        let sync = Some(self.state.lock().unwrap().look());
        Ok(Response::new(v1::ResumeSyncResponse { sync }))
    }

    async fn pin_sync(&self, request: Request<v1::PinSyncRequest>) -> Answer<v1::PinSyncResponse> {
        self.ask(&request)?;
        let v1::PinSyncRequest { reason, until, .. } = request.into_inner();
        let pinned = Some(v1::SyncHold { reason, until, since: at(NOW), ..pin() });
        let sync = Some(self.state.lock().unwrap().look());
        Ok(Response::new(v1::PinSyncResponse { pinned, sync }))
    }

    async fn unpin_sync(&self, request: Request<v1::UnpinSyncRequest>) -> Answer<v1::UnpinSyncResponse> {
        self.ask(&request)?;
        let sync = Some(self.state.lock().unwrap().look());
        Ok(Response::new(v1::UnpinSyncResponse { sync }))
    }

    async fn approve_sync(
        &self,
        request: Request<v1::ApproveSyncRequest>,
    ) -> Answer<v1::ApproveSyncResponse> {
        self.ask(&request)?;
        let sync = Some(self.state.lock().unwrap().look());
        Ok(Response::new(v1::ApproveSyncResponse { sync }))
    }

    async fn list_sync_actions(
        &self,
        request: Request<v1::ListSyncActionsRequest>,
    ) -> Answer<v1::ListSyncActionsResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let (actions, next_page_token) = self.page(actions(), question.page_size, &question.page_token);
        Ok(Response::new(v1::ListSyncActionsResponse { actions, next_page_token }))
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Answer<v1::ListChangesResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let kind = question.kind.to_lowercase();
        if question.name == "nothing" {
            return Err(Status::not_found(format!(
                "no commit that was put in force ever declared a {kind} `nothing`"
            )));
        }
        let sync = syncs().remove(1);
        let change = |change| v1::RecordedChange { sync: Some(sync.clone()), change: Some(change) };
        let all = if kind == "user" { changes_of_a_user() } else { changes() };
        let (changes, next_page_token) = self.page(all, question.page_size, &question.page_token);
        let changes = changes.into_iter().map(change).collect();
        Ok(Response::new(v1::ListChangesResponse { changes, next_page_token }))
    }

    async fn get_sync_status(
        &self,
        request: Request<v1::GetSyncStatusRequest>,
    ) -> Answer<v1::GetSyncStatusResponse> {
        self.ask(&request)?;
        let status = v1::GetSyncStatusResponse {
            repository: "/srv/testbed.git".to_owned(),
            branch: "main".to_owned(),
            applied_commit: APPLIED.to_owned(),
            applied_at: at("2027-01-09T12:00:00Z"),
            latest: syncs().into_iter().next(),
            last_look: at("2027-01-10T11:59:45Z"),
            look_error: "cannot reach the repository".to_owned(),
            nodes: 3,
            nodes_current: 1,
            conditions: conditions([
                (
                    false,
                    "Suspended",
                    "suspended by alice until 2027-01-10T14:00:00Z: the dish in London is being moved to the other roof",
                ),
                (true, "Suspended", "`almanac sync resume` goes on"),
                (false, "Suspended", "looks rest as long as the syncs do"),
            ]),
            suspended: Some(suspension()),
            pinned: Some(pin()),
            lagging: vec![v1::LaggingNode {
                name: "paris-01".to_owned(),
                reason: "Lagging".to_owned(),
                message: BEHIND.to_owned(),
                since: at("2027-01-10T11:58:00Z"),
            }],
            role: "leading (term 3)".to_owned(),
        };
        Ok(Response::new(status))
    }

    async fn list_syncs(&self, request: Request<v1::ListSyncsRequest>) -> Answer<v1::ListSyncsResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let (syncs, next_page_token) = self.page(syncs(), question.page_size, &question.page_token);
        Ok(Response::new(v1::ListSyncsResponse { syncs, next_page_token }))
    }

    async fn get_sync(&self, request: Request<v1::GetSyncRequest>) -> Answer<v1::GetSyncResponse> {
        self.ask(&request)?;
        let id = &request.get_ref().id;
        let sync = syncs().into_iter().find(|sync| sync.id.to_string() == *id || id.is_empty());
        let sync = sync.ok_or_else(|| Status::not_found(format!("sync `{id}` not found")))?;
        Ok(Response::new(v1::GetSyncResponse { sync: Some(sync) }))
    }

    async fn list_sync_findings(
        &self,
        request: Request<v1::ListSyncFindingsRequest>,
    ) -> Answer<v1::ListSyncFindingsResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let all = if question.sync_id == 12 { findings() } else { vec![] };
        let (findings, next_page_token) = self.page(all, question.page_size, &question.page_token);
        Ok(Response::new(v1::ListSyncFindingsResponse { findings, next_page_token }))
    }

    async fn list_sync_changes(
        &self,
        request: Request<v1::ListSyncChangesRequest>,
    ) -> Answer<v1::ListSyncChangesResponse> {
        self.ask(&request)?;
        let question = request.get_ref();
        let all = match question.sync_id {
            10 => removal(),
            11 => changes(),
            _ => vec![],
        };
        let (changes, next_page_token) = self.page(all, question.page_size, &question.page_token);
        Ok(Response::new(v1::ListSyncChangesResponse { changes, next_page_token }))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        self.ask(&request)?;
        Ok(Response::new(v1::WhoAmIResponse {
            name: "alice".to_owned(),
            role: "privileged".to_owned(),
            team: "surrey".to_owned(),
            key: "SHA256:0000000000000000000000000000000000000000000".to_owned(),
        }))
    }
}
