//! Who may call what, over the wire. The whole table is tested where it stands.

use almanac_proto::{Endpoint, v1};
use chrono::{TimeDelta, Utc};
use tonic::{Code, Request, Status};

use crate::bed::{Bed, snapshot};

async fn whoami(bed: &Bed, token: Option<&str>) -> Result<v1::WhoAmIResponse, Status> {
    let connection = Endpoint::new(&bed.address(), false).unwrap().connect(None).unwrap();
    let mut request = Request::new(v1::WhoAmIRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    connection.testbed().who_am_i(request).await.map(tonic::Response::into_inner)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, says: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(says), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_known_by_a_declared_key_and_nothing_else() {
    let bed = Bed::serving().await;
    let me = bed.connect("bob").testbed().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.name.as_str(), me.role.as_str(), me.team.as_str()), ("bob", "user", "surrey"));
    assert!(me.key.starts_with("SHA256:"));
    let node = bed.connect("london-01").testbed().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(node.role, "node");

    let unauthenticated = Code::Unauthenticated;
    refused(whoami(&bed, None).await, unauthenticated, "no token");
    refused(whoami(&bed, Some("Basic abc")).await, unauthenticated, "Bearer");
    refused(whoami(&bed, Some("Bearer abc")).await, unauthenticated, "not a JWT");
    let ask = async |connection: almanac_proto::Connection| {
        connection.testbed().who_am_i(v1::WhoAmIRequest {}).await
    };
    refused(ask(bed.connect_to("bob", "bob", "elsewhere")).await, unauthenticated, "`elsewhere`");
    refused(ask(bed.connect_to("bob", "carol", "almanac")).await, unauthenticated, "not one of `bob`'s");
    bed.key("stranger");
    refused(ask(bed.connect_to("bob", "stranger", "almanac")).await, unauthenticated, "not declared");

    let old = almanac_proto::Identity::read(&bed.path().join("bob"), "bob".parse().unwrap(), "almanac");
    let token = old.unwrap().token(Utc::now() - TimeDelta::minutes(10)).unwrap();
    refused(whoami(&bed, Some(&format!("Bearer {token}"))).await, unauthenticated, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_key_revokes_it() {
    let bed = Bed::serving().await;
    let bob = bed.connect("bob");
    bob.testbed().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let mut london = bed.watch("london-01").await;
    snapshot(&mut london).await;
    bed.write("users/bob.yaml", "apiVersion: almanac/v1\nkind: User\nmetadata: { name: bob }\nspec: {}\n");
    let node = "apiVersion: almanac/v1\nkind: Node\nmetadata: { name: london-01 }\nspec: { owner: alice }\n";
    bed.write("nodes/london-01.yaml", node);
    bed.applied(&bed.commit("without keys")).await;
    refused(bob.testbed().who_am_i(v1::WhoAmIRequest {}).await, Code::Unauthenticated, "not declared");
    // A stream that was opened before ends too.
    refused(london.message().await, Code::Unauthenticated, "not declared any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_itself_and_nobody_else_is() {
    let bed = Bed::serving().await;
    let denied = Code::PermissionDenied;
    let node = || "london-01".to_owned();
    for caller in ["paris-01", "bob", "alice"] {
        let mut client = bed.connect(caller).node();
        let watch = v1::WatchDesiredStateRequest { node: node(), ..Default::default() };
        refused(client.watch_desired_state(watch).await.map(|_| ()), denied, "`london-01`");
        let beat = v1::HeartbeatRequest { node: node(), ..Default::default() };
        refused(client.heartbeat(beat).await, denied, "`london-01`");
        let report = v1::ReportRunsRequest { node: node(), events: vec![] };
        refused(client.report_runs(report).await, denied, "`london-01`");
        let begin = v1::BeginUploadRequest { node: node(), ..Default::default() };
        refused(client.begin_upload(begin).await, denied, "`london-01`");
    }
    let mut client = Endpoint::new(&bed.address(), false).unwrap().connect(None).unwrap().node();
    let watch = v1::WatchDesiredStateRequest { node: node(), ..Default::default() };
    refused(client.watch_desired_state(watch).await.map(|_| ()), Code::Unauthenticated, "no token");
    let parts = tokio_stream::iter([v1::UploadRequest::default()]);
    refused(client.upload(parts).await, Code::Unauthenticated, "no token");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_start_syncs_and_nodes_do_not_read_them() {
    let bed = Bed::serving().await;
    refused(
        bed.connect("bob").testbed().sync_now(v1::SyncNowRequest {}).await,
        Code::PermissionDenied,
        "admins",
    );
    let status = v1::GetSyncStatusRequest {};
    bed.connect("bob").testbed().get_sync_status(status).await.unwrap();
    let mut node = bed.connect("london-01").testbed();
    refused(node.get_sync_status(status).await, Code::PermissionDenied, "read syncs");
    refused(
        node.get_sync(v1::GetSyncRequest { id: String::new() }).await,
        Code::PermissionDenied,
        "read syncs",
    );
    node.list_jobs(v1::ListJobsRequest::default()).await.unwrap();
}
