//! Who may do what, over the wire: every call of both services by every kind of caller.

use almanac_proto::{
    convert::timestamp,
    limits,
    v1::{self, node_service_client::NodeServiceClient, testbed_service_client::TestbedServiceClient},
};
use chrono::{DateTime, TimeDelta, Utc};
use tonic::{Code, Request, transport::Channel};

use crate::harness::{Testbed, beat, instant, manifest, run_id, whole_run};

/// What is called. Runs and uploads are those that [`Wire::prepare`] makes.
#[derive(Debug, Clone, Copy)]
enum Call {
    WhoAmI,
    ListNodes,
    GetNode,
    ListJobs,
    GetJob,
    ListOccurrences,
    ListRuns,
    ListRunsOfBob,
    ListRunsOfCarol,
    ListRunsOfLondon,
    GetRunOfBob,
    GetRunOfCarol,
    ListArtifacts,
    Download,
    TailLogs,
    GrantDownload,
    DownloadFiles,
    KeepRun,
    UnkeepRun,
    CancelRun,
    CordonNode,
    UncordonNode,
    Scavenge,
    SyncNow,
    GetSyncStatus,
    ListSyncs,
    GetSync,
    ListSyncFindings,
    ListSyncChanges,
    ListChanges,
    ListSyncActions,
    Suspend,
    Resume,
    Pin,
    Unpin,
    Approve,
    Watch,
    Heartbeat,
    Report,
    BeginUpload,
    Upload,
    StreamLogs,
    GrantPart,
    AuthorizeKernel,
    CommitUpload,
}

/// A connection that signs nothing by itself, and what calls are about.
struct Wire {
    people: TestbedServiceClient<Channel>,
    agents: NodeServiceClient<Channel>,
    runs: [String; 2],
    upload: String,
}

const FILE: &[u8] = b"all is well\n";

fn at() -> DateTime<Utc> {
    instant("2030-01-01T12:00:00Z")
}

fn signed<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

fn announcement(run: &str) -> v1::BeginUploadRequest {
    use sha2::Digest;
    v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run.to_owned(),
        role: v1::Role::Client.into(),
        name: "run.log".to_owned(),
        size: FILE.len() as u64,
        sha256: sha2::Sha256::digest(FILE).to_vec().into(),
        content: None,
        direct: false,
    }
}

impl Wire {
    /// A run of `bob`'s job on London with a stored file, and one of `carol`'s in Paris.
    async fn prepare(testbed: &Testbed) -> Self {
        testbed.report("london-01", whole_run("ping", "london-01", at())).await;
        testbed.report("paris-01", whole_run("trace", "paris-01", at())).await;
        let runs = [run_id("ping", "london-01", at()), run_id("trace", "paris-01", at())];
        let mut london = testbed.agent("london-01");
        let upload_id = london.begin_upload(announcement(&runs[0])).await.unwrap().into_inner().upload_id;
        let part =
            v1::UploadRequest { upload_id: upload_id.clone(), offset: 0, data: FILE.into(), crc32: None };
        london.upload(tokio_stream::iter([part])).await.unwrap();
        london
            .commit_upload(v1::CommitUploadRequest { upload_id: upload_id.clone(), sent: None })
            .await
            .unwrap();
        let channel = Channel::from_shared(testbed.address().to_owned()).unwrap().connect_lazy();
        Self {
            people: TestbedServiceClient::new(channel.clone()),
            agents: NodeServiceClient::new(channel),
            runs,
            upload: upload_id,
        }
    }

    async fn call(&self, call: Call, token: Option<&str>) -> Code {
        let (mut people, mut agents) = (self.people.clone(), self.agents.clone());
        let name = |name: &str| name.to_owned();
        let [bobs, carols] = self.runs.clone();
        let every = v1::ListRunsRequest::default();
        macro_rules! ask {
            ($client:ident.$method:ident($message:expr)) => {
                $client.$method(signed($message, token)).await.map(|_| ())
            };
        }
        let answer = match call {
            Call::WhoAmI => ask!(people.who_am_i(v1::WhoAmIRequest {})),
            Call::ListNodes => ask!(people.list_nodes(v1::ListNodesRequest::default())),
            Call::GetNode => ask!(people.get_node(v1::GetNodeRequest { name: name("london-01") })),
            Call::ListJobs => ask!(people.list_jobs(v1::ListJobsRequest::default())),
            Call::GetJob => ask!(people.get_job(v1::GetJobRequest { name: name("ping") })),
            Call::ListOccurrences => ask!(people.list_occurrences(v1::ListOccurrencesRequest {
                from: Some(timestamp(at())),
                to: Some(timestamp(at() + TimeDelta::hours(1))),
                ..Default::default()
            })),
            Call::ListRuns => ask!(people.list_runs(every)),
            Call::ListRunsOfBob => ask!(people.list_runs(v1::ListRunsRequest { user: name("bob"), ..every })),
            Call::ListRunsOfCarol => {
                ask!(people.list_runs(v1::ListRunsRequest { user: name("carol"), ..every }))
            }
            Call::ListRunsOfLondon => {
                ask!(people.list_runs(v1::ListRunsRequest { node: name("london-01"), ..every }))
            }
            Call::GetRunOfBob => ask!(people.get_run(v1::GetRunRequest { id: bobs })),
            Call::GetRunOfCarol => ask!(people.get_run(v1::GetRunRequest { id: carols })),
            Call::ListArtifacts => ask!(people.list_artifacts(v1::ListArtifactsRequest { run_id: bobs })),
            Call::Download => ask!(people.download_artifact(v1::DownloadArtifactRequest {
                run_id: bobs,
                role: v1::Role::Client.into(),
                name: name("run.log"),
                offset: 0,
            })),
            Call::TailLogs => {
                ask!(people.tail_logs(v1::TailLogsRequest { run_id: bobs, ..Default::default() }))
            }
            Call::GrantDownload => ask!(people.grant_download(v1::GrantDownloadRequest {
                run_id: bobs,
                role: v1::Role::Client.into(),
                name: name("run.log"),
            })),
            // Each file is answered by itself: what is asked here is whether the call is.
            Call::DownloadFiles => {
                ask!(people.download_files(v1::DownloadFilesRequest { files: vec![] }))
            }
            Call::KeepRun => {
                ask!(people.keep_run(v1::KeepRunRequest { id: bobs, reason: String::new() }))
            }
            Call::UnkeepRun => ask!(people.unkeep_run(v1::UnkeepRunRequest { id: bobs })),
            Call::CancelRun => {
                ask!(people.cancel_run(v1::CancelRunRequest { id: bobs, reason: String::new() }))
            }
            // Without a reason: of whoever may, nothing comes either.
            Call::CordonNode => ask!(people.set_node_mode(v1::SetNodeModeRequest {
                name: name("london-01"),
                mode: v1::NodeMode::Cordoned.into(),
                ..Default::default()
            })),
            Call::UncordonNode => ask!(people.set_node_mode(v1::SetNodeModeRequest {
                name: name("london-01"),
                mode: v1::NodeMode::Active.into(),
                ..Default::default()
            })),
            Call::Scavenge => ask!(
                people
                    .set_scavenger(v1::SetScavengerRequest { name: name("london-01"), ..Default::default() })
            ),
            Call::SyncNow => ask!(people.sync_now(v1::SyncNowRequest {})),
            Call::GetSyncStatus => ask!(people.get_sync_status(v1::GetSyncStatusRequest {})),
            Call::ListSyncs => ask!(people.list_syncs(v1::ListSyncsRequest::default())),
            Call::GetSync => ask!(people.get_sync(v1::GetSyncRequest::default())),
            Call::ListSyncFindings => ask!(
                people.list_sync_findings(v1::ListSyncFindingsRequest { sync_id: 1, ..Default::default() })
            ),
            Call::ListSyncChanges => {
                ask!(
                    people.list_sync_changes(v1::ListSyncChangesRequest { sync_id: 1, ..Default::default() })
                )
            }
            Call::ListChanges => ask!(people.list_changes(v1::ListChangesRequest {
                kind: name("Job"),
                name: name("ping"),
                ..Default::default()
            })),
            Call::ListSyncActions => ask!(people.list_sync_actions(v1::ListSyncActionsRequest::default())),
            // Without a reason, and with nothing to take back: of whoever may, nothing comes either.
            Call::Suspend => ask!(people.suspend_sync(v1::SuspendSyncRequest::default())),
            Call::Resume => ask!(people.resume_sync(v1::ResumeSyncRequest {})),
            Call::Pin => ask!(people.pin_sync(v1::PinSyncRequest::default())),
            Call::Unpin => ask!(people.unpin_sync(v1::UnpinSyncRequest {})),
            Call::Approve => ask!(people.approve_sync(v1::ApproveSyncRequest::default())),
            Call::Watch => ask!(agents.watch_desired_state(v1::WatchDesiredStateRequest {
                node: name("london-01"),
                ..Default::default()
            })),
            Call::Heartbeat => {
                let beat = v1::HeartbeatRequest { node: name("london-01"), ..Default::default() };
                ask!(agents.heartbeat(tokio_stream::iter([beat])))
            }
            Call::Report => {
                ask!(agents.report_runs(v1::ReportRunsRequest { node: name("london-01"), events: vec![] }))
            }
            Call::BeginUpload => ask!(agents.begin_upload(announcement(&bobs))),
            // The file is there already: adding nothing at its end changes nothing.
            Call::Upload => ask!(agents.upload(tokio_stream::iter([v1::UploadRequest {
                upload_id: self.upload.clone(),
                offset: 0,
                data: Default::default(),
                crc32: None,
            }]))),
            Call::StreamLogs => ask!(agents.stream_logs(tokio_stream::iter([v1::StreamLogsRequest {
                node: name("london-01"),
                run_id: bobs,
                role: v1::Role::Client.into(),
                piece: None,
            }]))),
            Call::GrantPart => {
                ask!(agents.grant_part(v1::GrantPartRequest {
                    upload_id: self.upload.clone(),
                    md5: vec![0; 16].into(),
                    ..Default::default()
                }))
            }
            Call::AuthorizeKernel => {
                ask!(agents.authorize_kernel(v1::AuthorizeKernelRequest {
                    node: name("london-01"),
                    run_id: bobs,
                    role: v1::Role::Client.into(),
                    ..Default::default()
                }))
            }
            Call::CommitUpload => {
                ask!(
                    agents.commit_upload(v1::CommitUploadRequest {
                        upload_id: self.upload.clone(),
                        sent: None
                    })
                )
            }
        };
        answer.map_or_else(|status| status.code(), |()| Code::Ok)
    }
}

/// Expected codes, short enough for a table.
mod code {
    use tonic::Code;

    pub(super) const OK: Code = Code::Ok;
    pub(super) const NO: Code = Code::PermissionDenied;
    /// What one may not see is answered like what is not there, so that ids cannot be probed.
    pub(super) const HI: Code = Code::NotFound;
    /// They may, and the question is not complete.
    pub(super) const IN: Code = Code::InvalidArgument;
    /// They may, and there is nothing to do it to.
    pub(super) const NF: Code = Code::FailedPrecondition;
    /// They may, and a folder has none.
    pub(super) const UN: Code = Code::Unimplemented;
}

#[tokio::test]
async fn every_call_by_every_caller() {
    use code::{HI, IN, NF, NO, OK, UN};
    let testbed = Testbed::with_jobs().await;
    let wire = Wire::prepare(&testbed).await;
    let callers = ["bob", "dave", "carol", "alice", "london-01", "paris-01"];
    #[rustfmt::skip]
    let table = [
        //                        bob: owner  dave   carol: privileged  alice: admin  London  Paris
        (Call::WhoAmI,           [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::ListNodes,        [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::GetNode,          [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::ListJobs,         [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::GetJob,           [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::ListOccurrences,  [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::ListRuns,         [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::ListRunsOfBob,    [OK,         NO,    NO,                OK,           NO,     NO]),
        (Call::ListRunsOfCarol,  [NO,         NO,    OK,                OK,           NO,     NO]),
        (Call::ListRunsOfLondon, [OK,         OK,    OK,                OK,           OK,     NO]),
        (Call::GetRunOfBob,      [OK,         HI,    HI,                OK,           OK,     HI]),
        (Call::GetRunOfCarol,    [HI,         HI,    OK,                OK,           HI,     OK]),
        (Call::ListArtifacts,    [OK,         HI,    HI,                OK,           OK,     HI]),
        (Call::Download,         [OK,         HI,    HI,                OK,           NO,     HI]),
        (Call::TailLogs,         [OK,         HI,    HI,                OK,           NO,     HI]),
        (Call::GrantDownload,    [UN,         HI,    HI,                UN,           NO,     HI]),
        (Call::DownloadFiles,    [OK,         OK,    OK,                OK,           OK,     OK]),
        (Call::KeepRun,          [OK,         HI,    HI,                OK,           NO,     HI]),
        (Call::UnkeepRun,        [OK,         HI,    HI,                OK,           NO,     HI]),
        (Call::CancelRun,        [NF,         HI,    HI,                NF,           NO,     HI]),
        (Call::CordonNode,       [NO,         NO,    NO,                IN,           IN,     NO]),
        (Call::UncordonNode,     [NO,         NO,    NO,                OK,           OK,     NO]),
        (Call::Scavenge,         [NO,         NO,    NO,                OK,           OK,     NO]),
        (Call::SyncNow,          [NO,         NO,    NO,                OK,           NO,     NO]),
        (Call::GetSyncStatus,    [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::ListSyncs,        [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::GetSync,          [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::ListSyncFindings, [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::ListSyncChanges,  [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::ListChanges,      [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::ListSyncActions,  [OK,         OK,    OK,                OK,           NO,     NO]),
        (Call::Suspend,          [NO,         NO,    NO,                IN,           NO,     NO]),
        (Call::Resume,           [NO,         NO,    NO,                NF,           NO,     NO]),
        (Call::Pin,              [NO,         NO,    NO,                IN,           NO,     NO]),
        (Call::Unpin,            [NO,         NO,    NO,                NF,           NO,     NO]),
        (Call::Approve,          [NO,         NO,    NO,                NF,           NO,     NO]),
        (Call::Watch,            [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::Heartbeat,        [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::Report,           [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::BeginUpload,      [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::Upload,           [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::StreamLogs,       [NO,         NO,    NO,                NO,           OK,     NO]),
        (Call::GrantPart,        [NO,         NO,    NO,                NO,           NF,     NO]),
        (Call::AuthorizeKernel,  [NO,         NO,    NO,                NO,           IN,     NO]),
        (Call::CommitUpload,     [NO,         NO,    NO,                NO,           OK,     NO]),
    ];
    let audience = limits::DEFAULT_AUDIENCE;
    testbed.make_key("nobody");
    let now = Utc::now();
    let token = |principal: &str, key: &str, audience: &str, at| {
        testbed.identity(principal, key, audience).token(at).unwrap()
    };
    // Each would be allowed everything that people or London are, were it not for what is wrong with it.
    let strangers = |principal: &str| {
        [
            ("no token", None),
            ("an empty token", Some(String::new())),
            ("no JWT", Some("abc.def.ghi".to_owned())),
            ("expired", Some(token(principal, principal, audience, now - TimeDelta::minutes(10)))),
            ("from the future", Some(token(principal, principal, audience, now + TimeDelta::minutes(10)))),
            ("of another audience", Some(token(principal, principal, "another", now))),
            ("of a key that nobody declares", Some(token(principal, "nobody", audience, now))),
            ("of another's key", Some(token(principal, "dave", audience, now))),
            ("of somebody who is not declared", Some(token("mallory", principal, audience, now))),
        ]
    };
    let mut wrong = vec![];
    for (call, row) in table {
        for (caller, expected) in callers.into_iter().zip(row) {
            let token = token(caller, caller, audience, now);
            let found = wire.call(call, Some(&token)).await;
            if found != expected {
                wrong.push(format!("{call:?} by {caller}: {found:?}, expected {expected:?}"));
            }
        }
        // Of the two, the one that may: there is a bound on how many wrong tokens come from one place.
        let principal = if row[3] == NO { "london-01" } else { "alice" };
        for (what, token) in strangers(principal) {
            let found = wire.call(call, token.as_deref()).await;
            if found != Code::Unauthenticated {
                wrong.push(format!("{call:?} with a token of {principal}, {what}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_key_that_is_removed_from_the_repository_is_revoked() {
    let testbed = Testbed::with_jobs().await;
    let who = async |key: &str| {
        let identity = testbed.identity("bob", key, limits::DEFAULT_AUDIENCE);
        let endpoint = almanac_proto::Endpoint::new(testbed.address(), false).unwrap();
        let mut client = endpoint.connect(Some(identity)).unwrap().testbed();
        client.who_am_i(v1::WhoAmIRequest {}).await.map(tonic::Response::into_inner)
    };
    let before = who("bob").await.unwrap();
    assert_eq!((before.name.as_str(), before.role.as_str(), before.team.as_str()), ("bob", "user", "surrey"));
    assert!(before.key.starts_with("SHA256:"), "{}", before.key);

    let key = testbed.make_key("bob-new");
    testbed.repository.write("users/bob.yaml", manifest::user("bob", "privileged", &key));
    testbed.push("another key and role").await;
    let refused = who("bob").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains(&before.key), "{}", refused.message());
    assert_eq!(who("bob-new").await.unwrap().role, "privileged");
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong() {
    let testbed = Testbed::with_jobs().await;
    let endpoint = almanac_proto::Endpoint::new(testbed.address(), false).unwrap();
    let refused = endpoint.connect(None).unwrap().testbed().who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert!(refused.message().contains("Bearer"), "{}", refused.message());
    let identity = testbed.identity("alice", "alice", "another");
    let refused = endpoint.connect(Some(identity)).unwrap().testbed().who_am_i(v1::WhoAmIRequest {}).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.message().contains("`another`") && refused.message().contains("`almanac`"),
        "{refused:?}"
    );
    let of_london = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    let refused = beat(&mut testbed.agent("paris-01"), of_london).await.unwrap_err();
    assert!(refused.message().contains("paris-01") && refused.message().contains("london-01"), "{refused:?}");
}

#[tokio::test]
async fn another_name_is_another_audience() {
    let mut testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--name", "leo"]).await;
    let endpoint = almanac_proto::Endpoint::new(testbed.address(), false).unwrap();
    let who = async |audience: &str| {
        let identity = testbed.identity("alice", "alice", audience);
        endpoint.connect(Some(identity)).unwrap().testbed().who_am_i(v1::WhoAmIRequest {}).await
    };
    testbed.wait_for("the first commit", async || who("leo").await.ok()).await;
    assert_eq!(who("almanac").await.unwrap_err().code(), Code::Unauthenticated);
}
