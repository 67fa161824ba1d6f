//! Lists: pages and filters.

use almanac_proto::{convert::timestamp, v1};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use tonic::Code;

use crate::{
    bed::{Bed, job, job_at_minute, past},
    reports::{event, report},
};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_say_what_they_are_and_how_they_are() {
    let bed = Bed::serving().await;
    let mut alice = bed.alice();
    let first = v1::ListNodesRequest { page_size: 1, page_token: String::new() };
    let first = alice.list_nodes(first).await.unwrap().into_inner();
    assert_eq!((first.nodes.len(), first.nodes[0].name.as_str()), (1, "london-01"));
    assert_eq!(first.nodes[0].liveness(), v1::Liveness::Never);
    let second = v1::ListNodesRequest { page_size: 1, page_token: first.next_page_token };
    let second = alice.list_nodes(second).await.unwrap().into_inner();
    assert_eq!((second.nodes[0].name.as_str(), second.next_page_token.as_str()), ("paris-01", ""));

    let state = crate::bed::snapshot(&mut bed.watch("london-01").await).await;
    let beat = v1::HeartbeatRequest {
        node: "london-01".to_owned(),
        agent_version: "0.1.0".to_owned(),
        boot_id: "b".to_owned(),
        address: "203.0.113.7".to_owned(),
        engine: "docker 28".to_owned(),
        epoch: state.epoch,
        generation: state.generation,
    };
    let answer = bed.connect("london-01").node().heartbeat(beat).await.unwrap().into_inner();
    assert_eq!(answer.interval.unwrap().seconds, 30);
    let node = v1::GetNodeRequest { name: "london-01".to_owned() };
    let node = alice.get_node(node).await.unwrap().into_inner().node.unwrap();
    assert_eq!((node.liveness(), node.address.as_str()), (v1::Liveness::Online, "203.0.113.7"));
    assert_eq!((node.generation, node.held_generation), (1, 1));
    assert_eq!(node.labels["city"], "london-01");
    let status = alice.get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.nodes, status.nodes_current), (2, 1));
    let missing = alice.get_node(v1::GetNodeRequest { name: "lundon".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_survive_a_restart() {
    let mut bed = Bed::serving().await;
    let beat = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
    bed.connect("london-01").node().heartbeat(beat).await.unwrap();
    bed.stop().await;
    bed.start().await;
    let node = v1::GetNodeRequest { name: "london-01".to_owned() };
    let node = bed.alice().get_node(node).await.unwrap().into_inner().node.unwrap();
    assert_eq!(node.liveness(), v1::Liveness::Online);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_filtered_and_paged() {
    let bed = Bed::serving().await;
    bed.write("a.yaml", job("a", "london-01"));
    bed.write("b.yaml", job("b", "paris-01").replace("owner: bob", "owner: carol"));
    bed.write("c.yaml", job("c", "london-01, paris-01"));
    bed.applied(&bed.commit("jobs")).await;
    let names = async |request: v1::ListJobsRequest| {
        let jobs = bed.connect("bob").testbed().list_jobs(request).await.unwrap().into_inner().jobs;
        jobs.into_iter().map(|job| job.name).collect::<Vec<_>>()
    };
    assert_eq!(names(v1::ListJobsRequest::default()).await, ["a", "b", "c"]);
    let on = |node: &str| v1::ListJobsRequest { node: node.to_owned(), ..Default::default() };
    assert_eq!(names(on("paris-01")).await, ["b", "c"]);
    let of = |user: &str| v1::ListJobsRequest { user: user.to_owned(), ..Default::default() };
    assert_eq!(names(of("carol")).await, ["b"]);
    let mut request = v1::ListJobsRequest { page_size: 2, ..Default::default() };
    let page = bed.alice().list_jobs(request.clone()).await.unwrap().into_inner();
    assert_eq!(page.jobs[0].nodes, ["london-01"]);
    assert!(page.jobs[0].next_run.is_some() && page.jobs[0].deleted_at.is_none());
    request.page_token = page.next_page_token;
    assert_eq!(names(request).await, ["c"]);
    let bad = v1::ListJobsRequest { page_token: "zz".to_owned(), ..Default::default() };
    assert_eq!(bed.alice().list_jobs(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_come_in_the_order_of_time_page_by_page() {
    let bed = Bed::serving().await;
    bed.write("a.yaml", job_at_minute("a", "london-01, paris-01", 10));
    bed.write("b.yaml", job_at_minute("b", "paris-01", 5));
    bed.write("c.yaml", job_at_minute("c", "paris-01", 10));
    let key = bed.git(&["show", "HEAD:nodes/paris-01.yaml"]);
    let window = "maintenance: [{ cron: \"20 * * * *\", length: 5m }], owner:";
    bed.write("nodes/paris-01.yaml", key.replace("owner:", window));
    bed.applied(&bed.commit("jobs")).await;

    let from: DateTime<Utc> = (Utc::now() + TimeDelta::hours(2))
        .with_minute(0)
        .unwrap()
        .with_second(0)
        .unwrap()
        .with_nanosecond(0)
        .unwrap();
    let mut request = v1::ListOccurrencesRequest {
        from: Some(timestamp(from)),
        to: Some(timestamp(from + TimeDelta::hours(1))),
        page_size: 2,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page = bed.alice().list_occurrences(request.clone()).await.unwrap().into_inner();
        assert!(page.occurrences.len() <= 2);
        all.extend(page.occurrences.into_iter().map(|one| {
            let minute = (one.start.unwrap().seconds - from.timestamp()) / 60;
            (minute, one.job, one.node, one.maintenance)
        }));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected = [
        (5, "b", "paris-01", false),
        (10, "a", "london-01", false),
        (10, "a", "paris-01", false),
        (10, "c", "paris-01", false),
        (20, "", "paris-01", true),
    ];
    let expected =
        expected.map(|(minute, job, node, window)| (minute, job.to_owned(), node.to_owned(), window));
    assert_eq!(all, expected);

    request.page_token.clear();
    request.job = "a".to_owned();
    request.node = "paris-01".to_owned();
    let page = bed.alice().list_occurrences(request.clone()).await.unwrap().into_inner();
    assert_eq!((page.occurrences.len(), page.occurrences[0].owner.as_str()), (1, "bob"));
    request.to = Some(timestamp(from + TimeDelta::days(93)));
    let long = bed.alice().list_occurrences(request).await.unwrap_err();
    assert!(long.code() == Code::InvalidArgument && long.message().contains("92 days"), "{long}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_filtered_and_paged_back_in_time() {
    let bed = Bed::serving().await;
    bed.write("a.yaml", job("a", "london-01"));
    bed.write("b.yaml", job("b", "london-01"));
    bed.applied(&bed.commit("jobs")).await;
    let at = past();
    let mut events = Vec::new();
    for (hours, job, phase) in
        [(3, "a", v1::Phase::Missed), (2, "b", v1::Phase::Failed), (1, "a", v1::Phase::Skipped)]
    {
        events.push(event(job, "london-01", at - TimeDelta::hours(hours), 1, phase));
    }
    report(&bed, "london-01", events).await;
    let list =
        async |request: v1::ListRunsRequest| bed.alice().list_runs(request).await.unwrap().into_inner();
    let phases = |runs: Vec<v1::Run>| runs.iter().map(v1::Run::phase).collect::<Vec<_>>();
    let mut request = v1::ListRunsRequest { page_size: 2, ..Default::default() };
    let page = list(request.clone()).await;
    assert_eq!(phases(page.runs), [v1::Phase::Skipped, v1::Phase::Failed]);
    request.page_token = page.next_page_token;
    let page = list(request).await;
    assert_eq!((phases(page.runs), page.next_page_token.as_str()), (vec![v1::Phase::Missed], ""));

    let request = v1::ListRunsRequest {
        phases: vec![v1::Phase::Missed.into(), v1::Phase::Failed.into()],
        ..Default::default()
    };
    assert_eq!(list(request).await.runs.len(), 2);
    let request = v1::ListRunsRequest { job: "b".to_owned(), ..Default::default() };
    assert_eq!(phases(list(request).await.runs), [v1::Phase::Failed]);
    let request = v1::ListRunsRequest {
        since: Some(timestamp(at - TimeDelta::hours(2))),
        until: Some(timestamp(at - TimeDelta::hours(1))),
        ..Default::default()
    };
    assert_eq!(phases(list(request).await.runs), [v1::Phase::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_found_by_id_and_by_commit() {
    let bed = Bed::serving().await;
    let commit = bed.git(&["rev-parse", "HEAD"]);
    let get = async |id: &str| bed.alice().get_sync(v1::GetSyncRequest { id: id.to_owned() }).await;
    for id in ["", "1", &commit, &commit[..8]] {
        assert_eq!(get(id).await.unwrap().into_inner().sync.unwrap().commit, commit, "{id}");
    }
    for id in ["2", "0000000", "nonsense"] {
        assert_eq!(get(id).await.unwrap_err().code(), Code::NotFound, "{id}");
    }
}
