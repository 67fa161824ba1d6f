//! What was removed from the repository: it stops, and its past stays.

use almanac_proto::v1::{self, Phase};

use crate::harness::{Testbed, event, instant, manifest, run_id, whole_run};

async fn job(testbed: &Testbed, name: &str) -> v1::Job {
    let request = v1::GetJobRequest { name: name.to_owned() };
    testbed.ask("alice").get_job(request).await.unwrap().into_inner().job.unwrap()
}

async fn names(testbed: &Testbed, request: v1::ListJobsRequest) -> Vec<String> {
    let jobs = testbed.ask("dave").list_jobs(request).await.unwrap().into_inner().jobs;
    jobs.into_iter().map(|job| job.name).collect()
}

#[tokio::test]
async fn removing_a_job_keeps_its_runs_and_late_reports_are_accepted() {
    let testbed = Testbed::with_jobs().await;
    let at = instant("2030-01-01T01:00:00Z");
    let id = run_id("ping", "london-01", at);
    let mut steps = whole_run("ping", "london-01", at);
    let rest = steps.split_off(2);
    assert_eq!(testbed.report("london-01", steps).await, 2);

    testbed.repository.remove("jobs/ping.yaml");
    testbed.push("without ping").await;
    assert_eq!(testbed.run(&id).await.run.unwrap().phase(), Phase::Running);
    let removed = job(&testbed, "ping").await;
    assert!(removed.deleted_at.is_some());
    assert_eq!(removed.next_run, None);

    // The agent finishes what it has begun, and has its last word about it.
    assert_eq!(testbed.report("london-01", rest).await, 2);
    let run = testbed.run(&id).await;
    assert_eq!(run.run.unwrap().phase(), Phase::Completed);
    assert_eq!(run.steps.len(), 4);
    // Also a run that is reported for the first time.
    let earlier = instant("2030-01-01T00:00:00Z");
    testbed.report("london-01", vec![event("ping", "london-01", earlier, 1, Phase::Missed)]).await;
    assert_eq!(testbed.run(&run_id("ping", "london-01", earlier)).await.run.unwrap().phase(), Phase::Missed);
    // Its owner still sees them.
    let runs = testbed.ask("bob").list_runs(v1::ListRunsRequest::default()).await.unwrap().into_inner().runs;
    assert_eq!(runs.len(), 2);
}

#[tokio::test]
async fn removed_jobs_are_listed_when_they_are_asked_for() {
    let testbed = Testbed::with_jobs().await;
    let created = job(&testbed, "ping").await.created_at;
    testbed.repository.remove("jobs/ping.yaml");
    testbed.push("without ping").await;

    let all = v1::ListJobsRequest { deleted: true, ..Default::default() };
    assert_eq!(names(&testbed, v1::ListJobsRequest::default()).await, ["trace"]);
    assert_eq!(names(&testbed, all.clone()).await, ["ping", "trace"]);
    let of = |node: &str, user: &str| v1::ListJobsRequest {
        node: node.to_owned(),
        user: user.to_owned(),
        ..all.clone()
    };
    assert_eq!(names(&testbed, of("london-01", "")).await, ["ping"]);
    assert_eq!(names(&testbed, of("", "carol")).await, ["trace"]);
    assert_eq!(names(&testbed, of("london-01", "carol")).await, [""; 0]);

    // One that comes back is a new one.
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("with ping").await;
    let back = job(&testbed, "ping").await;
    assert_eq!(back.deleted_at, None);
    assert_ne!(back.created_at, created);
    assert_eq!(names(&testbed, all).await, ["ping", "trace"]);
}

#[tokio::test]
async fn jobs_and_nodes_are_paged_and_filtered() {
    let testbed = Testbed::start().await;
    for (name, owner, node) in [
        ("a", "bob", "london-01"),
        ("b", "dave", "paris-01"),
        ("c", "bob", "paris-01"),
        ("d", "bob", "london-01"),
    ] {
        testbed.write_job(name, owner, node, manifest::HOURLY);
    }
    testbed.push("four jobs").await;
    testbed.repository.remove("jobs/b.yaml");
    testbed.push("three jobs").await;
    let mut seen = vec![];
    let mut request = v1::ListJobsRequest { page_size: 1, deleted: true, ..Default::default() };
    loop {
        let page = testbed.ask("bob").list_jobs(request.clone()).await.unwrap().into_inner();
        assert!(page.jobs.len() <= 1);
        seen.extend(page.jobs.into_iter().map(|job| job.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    let of = |node: &str, user: &str| v1::ListJobsRequest {
        node: node.to_owned(),
        user: user.to_owned(),
        ..Default::default()
    };
    assert_eq!(names(&testbed, of("paris-01", "")).await, ["c"]);
    assert_eq!(names(&testbed, of("london-01", "bob")).await, ["a", "d"]);

    let page = v1::ListNodesRequest { page_size: 1, ..Default::default() };
    let page = testbed.ask("bob").list_nodes(page).await.unwrap().into_inner();
    assert_eq!(page.nodes[0].name, "london-01");
    let next = v1::ListNodesRequest { page_size: 1, page_token: page.next_page_token };
    let page = testbed.ask("bob").list_nodes(next).await.unwrap().into_inner();
    assert_eq!((page.nodes[0].name.as_str(), page.next_page_token.as_str()), ("paris-01", ""));

    for request in [of("not a name", ""), v1::ListJobsRequest { page_size: -1, ..Default::default() }] {
        let refused = testbed.ask("bob").list_jobs(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    let request = v1::GetJobRequest { name: "never".to_owned() };
    assert_eq!(testbed.ask("bob").get_job(request).await.unwrap_err().code(), tonic::Code::NotFound);
    let request = v1::GetNodeRequest { name: "never".to_owned() };
    assert_eq!(testbed.ask("bob").get_node(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

/// Commits and pushes as somebody.
fn push_as(testbed: &Testbed, author: &str, message: &str) -> String {
    testbed.repository.git(&["add", "--all"]);
    testbed.repository.git(&["commit", "--quiet", "--author", author, "-m", message]);
    testbed.repository.git(&["push", "--quiet", "origin", "main"]);
    testbed.repository.git(&["rev-parse", "HEAD"])
}

#[tokio::test]
async fn whoever_changed_a_job_is_named() {
    const BOB: &str = "Bob <bob@example.org>";
    const CAROL: &str = "Carol <carol@example.org>";
    let testbed = Testbed::with_jobs().await;
    let mut commits = vec![];
    for (author, schedule) in [(BOB, manifest::HOURLY), (CAROL, manifest::DAILY)] {
        testbed.write_job("dns", "bob", "london-01", schedule);
        commits.push(push_as(&testbed, author, "dns"));
        testbed.wait_applied(commits.last().unwrap()).await;
    }
    // A commit about something else is no part of its history, nor is one that came to nothing.
    testbed.write_job("mtr", "bob", "london-01", manifest::HOURLY);
    testbed.push("mtr").await;
    testbed.write_job("dns", "mallory", "london-01", manifest::HOURLY);
    testbed.push_and_look("bad").await;
    testbed.repository.remove("jobs/dns.yaml");
    commits.push(push_as(&testbed, BOB, "no dns"));
    testbed.wait_applied(commits.last().unwrap()).await;
    testbed.write_job("dns", "bob", "paris-01", manifest::HOURLY);
    commits.push(push_as(&testbed, CAROL, "dns again"));
    testbed.wait_applied(commits.last().unwrap()).await;
    commits.reverse();

    let mut seen = vec![];
    let mut request = v1::ListChangesRequest {
        kind: "Job".to_owned(),
        name: "dns".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    loop {
        let page = testbed.ask("dave").list_changes(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.changes.len(), 1);
        seen.extend(page.changes);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let sync = |change: &v1::RecordedChange| change.sync.clone().unwrap();
    assert_eq!(seen.iter().map(|change| sync(change).commit).collect::<Vec<_>>(), commits);
    assert_eq!(
        seen.iter().map(|change| sync(change).author).collect::<Vec<_>>(),
        [CAROL, BOB, CAROL, BOB].map(str::to_owned)
    );
    let changes: Vec<_> = seen.into_iter().map(|change| change.change.unwrap()).collect();
    let actions: Vec<_> = changes.iter().map(v1::Change::action).collect();
    use v1::ChangeAction::{Added, Changed, Removed};
    assert_eq!(actions, [Added, Removed, Changed, Added]);
    let cron = |json: &str| {
        let manifest: serde_json::Value = serde_json::from_str(json).ok()?;
        Some(manifest["spec"]["schedule"]["cron"].as_str()?.to_owned())
    };
    let (hourly, daily) = (Some("0 * * * *".to_owned()), Some("0 12 * * *".to_owned()));
    let crons: Vec<_> = changes.iter().map(|change| (cron(&change.before), cron(&change.after))).collect();
    assert_eq!(
        crons,
        [(None, hourly.clone()), (daily.clone(), None), (hourly.clone(), daily), (None, hourly)]
    );

    for (kind, name, code) in [
        ("Job", "never", tonic::Code::NotFound),
        ("Node", "dns", tonic::Code::NotFound),
        ("Config", "global", tonic::Code::InvalidArgument),
        ("", "dns", tonic::Code::InvalidArgument),
    ] {
        let request =
            v1::ListChangesRequest { kind: kind.to_owned(), name: name.to_owned(), ..Default::default() };
        assert_eq!(
            testbed.ask("dave").list_changes(request).await.unwrap_err().code(),
            code,
            "{kind} {name}"
        );
    }
    for (kind, name) in [("Node", "london-01"), ("User", "bob")] {
        let request =
            v1::ListChangesRequest { kind: kind.to_owned(), name: name.to_owned(), ..Default::default() };
        let changes = testbed.ask("dave").list_changes(request).await.unwrap().into_inner().changes;
        assert_eq!(changes.len(), 1, "{kind} {name}");
    }
}
