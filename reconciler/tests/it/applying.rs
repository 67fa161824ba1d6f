//! A good commit is put in force: once, whole, and for good.

use almanac_proto::v1::{self, ChangeAction, SyncOutcome};
use serde_json::Value;

use crate::harness::{Looked, Testbed, manifest};

fn changes(sync: &Looked) -> Vec<(&str, &str, ChangeAction)> {
    sync.changes.iter().map(|change| (change.kind.as_str(), change.name.as_str(), change.action())).collect()
}

async fn syncs(testbed: &Testbed) -> Vec<v1::Sync> {
    testbed.ask("alice").list_syncs(v1::ListSyncsRequest::default()).await.unwrap().into_inner().syncs
}

#[tokio::test]
async fn a_good_commit_is_applied_and_every_list_says_so() {
    let testbed = Testbed::with_jobs().await;
    let mut alice = testbed.ask("alice");

    let nodes = alice.list_nodes(v1::ListNodesRequest::default()).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["london-01", "paris-01"]);
    assert_eq!(nodes[0].labels["city"], "london-01");
    assert_eq!(nodes[0].liveness(), v1::Liveness::Never);
    assert_eq!((nodes[0].generation, nodes[0].held_generation), (1, 0));
    let spec: Value = serde_json::from_str(&nodes[0].spec).unwrap();
    assert_eq!(spec["owner"], "alice");

    let jobs = alice.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    let named: Vec<_> =
        jobs.iter().map(|job| (job.name.as_str(), job.owner.as_str(), &job.nodes[..])).collect();
    let (london, paris) = (["london-01".to_owned()], ["paris-01".to_owned()]);
    assert_eq!(named, [("ping", "bob", &london[..]), ("trace", "carol", &paris[..])]);
    assert_eq!(jobs[0].next_run.unwrap().seconds, 1_893_456_000, "2030-01-01T00:00:00Z");
    assert_eq!(jobs[0].deleted_at, None);

    let sync = Looked::at(&mut alice, "").await.unwrap();
    let summary = sync.sync.as_ref().unwrap();
    assert_eq!(summary.outcome(), SyncOutcome::Applied);
    assert_eq!(summary.commit, jobs[0].commit);
    assert_eq!(summary.subject, "users, nodes and jobs");
    assert_eq!(summary.author, "Alice Example <alice@example.org>");
    assert_eq!((summary.added, summary.changed, summary.removed, summary.findings), (8, 0, 0, 0));
    use ChangeAction::Added;
    assert_eq!(
        changes(&sync),
        [
            ("User", "alice", Added),
            ("User", "bob", Added),
            ("User", "carol", Added),
            ("User", "dave", Added),
            ("Node", "london-01", Added),
            ("Node", "paris-01", Added),
            ("Job", "ping", Added),
            ("Job", "trace", Added),
        ]
    );
    assert!(sync.changes.iter().all(|change| change.before.is_empty() && !change.after.is_empty()));
}

#[tokio::test]
async fn changes_say_what_was_before_and_after() {
    let testbed = Testbed::with_jobs().await;
    testbed.write_job("ping", "bob", "london-01", manifest::DAILY);
    testbed.write_job("dns", "dave", "london-01", manifest::HOURLY);
    testbed.repository.remove("jobs/trace.yaml");
    testbed.repository.write(
        "config.yaml",
        "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { schedule: { minLength: 5s } }\n",
    );
    let sync = testbed.push_and_look("one of each").await;
    let summary = sync.sync.as_ref().unwrap();
    assert_eq!((summary.added, summary.changed, summary.removed), (1, 2, 1));
    use ChangeAction::{Added, Changed, Removed};
    assert_eq!(
        changes(&sync),
        [
            ("Job", "dns", Added),
            ("Job", "ping", Changed),
            ("Job", "trace", Removed),
            ("Config", "global", Changed)
        ]
    );
    let [_, ping, trace, config] = &sync.changes[..] else { unreachable!("counted above") };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(&ping.before)["spec"]["schedule"]["cron"], "0 * * * *");
    assert_eq!(json(&ping.after)["spec"]["schedule"]["cron"], "0 12 * * *");
    assert_eq!((json(&trace.before)["spec"]["owner"].as_str(), trace.after.as_str()), (Some("carol"), ""));
    assert_eq!(json(&config.after)["spec"]["schedule"]["minLength"], "5s");
}

#[tokio::test]
async fn what_is_in_force_survives_a_restart_and_is_not_applied_twice() {
    let mut testbed = Testbed::with_jobs().await;
    let before = syncs(&testbed).await;
    let look = |testbed: &Testbed| {
        let mut alice = testbed.ask("alice");
        async move {
            let nodes = alice.list_nodes(v1::ListNodesRequest::default()).await.unwrap().into_inner();
            let jobs = alice.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner();
            (nodes, jobs)
        }
    };
    let seen = look(&testbed).await;

    testbed.crash_and_serve().await;
    assert_eq!(look(&testbed).await, seen);
    // Whatever nudges: the same commit is the same sync.
    for _ in 0..3 {
        let sync = testbed.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync;
        assert_eq!(sync.as_ref(), before.first());
    }
    assert_eq!(syncs(&testbed).await, before);
    assert_eq!(look(&testbed).await, seen);
}

#[tokio::test]
async fn a_push_is_noticed_without_waiting_for_the_poll() {
    let testbed = Testbed::start().await;
    // The poll is an hour away, and nobody asks for a sync.
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("a job").await;
    // A branch that lies packed is replaced by another file than a loose one.
    let packed = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(testbed.repository.path())
        .args(["pack-refs", "--all"])
        .status();
    assert!(packed.unwrap().success());
    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    testbed.push("another one").await;
    assert_eq!(syncs(&testbed).await.len(), 3);
}

#[tokio::test]
async fn a_sync_that_is_asked_for_answers_with_what_came_of_it() {
    let testbed = Testbed::start().await;
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("a job");
    let sync = testbed.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!((sync.commit.as_str(), sync.outcome()), (commit.as_str(), SyncOutcome::Applied));
    let status =
        testbed.ask("alice").get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.repository, testbed.repository.path().to_str().unwrap());
    assert_eq!((status.branch.as_str(), status.applied_commit), ("main", commit));
    assert_eq!((status.nodes, status.nodes_current, status.look_error.as_str()), (2, 0, ""));
    assert!(status.last_look.is_some() && status.applied_at.is_some());
}

#[tokio::test]
async fn syncs_are_found_by_id_and_by_commit_and_are_paged() {
    let testbed = Testbed::start().await;
    let mut commits = vec![];
    for name in ["one", "two", "three"] {
        testbed.write_job(name, "bob", "london-01", manifest::HOURLY);
        commits.push(testbed.push(name).await);
    }
    let mut alice = testbed.ask("alice");
    let mut subjects = vec![];
    let mut page_token = String::new();
    loop {
        let request = v1::ListSyncsRequest { page_size: 3, page_token };
        let page = alice.list_syncs(request).await.unwrap().into_inner();
        subjects.extend(page.syncs.into_iter().map(|sync| sync.subject));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(subjects, ["three", "two", "one", "users and nodes"]);
    for id in ["3", &commits[1], &commits[1][..10]] {
        let request = v1::GetSyncRequest { id: id.to_owned() };
        assert_eq!(alice.get_sync(request).await.unwrap().into_inner().sync.unwrap().subject, "two", "{id}");
    }
    for id in ["99", "abc", "not a commit", "0000000000"] {
        let request = v1::GetSyncRequest { id: id.to_owned() };
        assert_eq!(alice.get_sync(request).await.unwrap_err().code(), tonic::Code::NotFound, "{id}");
    }
}

#[tokio::test]
async fn only_what_lies_below_the_folder_counts() {
    let mut testbed = Testbed::prepare();
    testbed.repository.write("docs/broken.yaml", "this: is no manifest\n");
    let folder = testbed.repository.clone_path().to_owned();
    std::fs::create_dir(folder.join("testbed")).unwrap();
    for part in ["users", "nodes"] {
        std::fs::rename(folder.join(part), folder.join("testbed").join(part)).unwrap();
    }
    let commit = testbed.repository.push("below a folder");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--subdir", "testbed"]).await;
    testbed.wait_applied(&commit).await;
}

#[tokio::test]
async fn a_rewritten_branch_is_followed_and_recorded_as_such() {
    let testbed = Testbed::with_jobs().await;
    testbed.write_job("dns", "dave", "london-01", manifest::HOURLY);
    let lost = testbed.push("to be lost").await;
    testbed.repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    testbed.write_job("other", "dave", "london-01", manifest::HOURLY);
    let sync = testbed.push_and_look("instead").await;
    let summary = sync.sync.as_ref().unwrap();
    assert_eq!(summary.outcome(), SyncOutcome::Applied);
    assert!(
        summary.message.contains("rewritten") && summary.message.contains(&lost[..12]),
        "{}",
        summary.message
    );
    use ChangeAction::{Added, Removed};
    assert_eq!(changes(&sync), [("Job", "dns", Removed), ("Job", "other", Added)]);
}
