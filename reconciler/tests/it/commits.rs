//! What becomes of commits.

use almanac_proto::v1;

use crate::bed::{Bed, job, job_at_minute, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_commit_is_applied_and_reaches_the_node() {
    let mut bed = Bed::new();
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    let commit = bed.commit("a job");
    bed.start().await;
    let sync = bed.applied(&commit).await;
    let row = sync.sync.unwrap();
    assert_eq!((row.added, row.changed, row.removed, row.findings), (6, 0, 0, 0));
    assert_eq!((row.author.as_str(), row.subject.as_str()), ("Tester <tester@example.org>", "a job"));
    let ping = sync.changes.iter().find(|change| change.name == "ping").unwrap();
    assert_eq!((ping.kind.as_str(), ping.action()), ("Job", v1::ChangeAction::Added));
    assert!(ping.before.is_empty() && ping.after.contains("\"owner\":\"bob\""), "{ping:?}");

    let state = snapshot(&mut bed.watch("london-01").await).await;
    assert_eq!((state.commit.as_str(), state.generation), (commit.as_str(), 1));
    assert_eq!(state.network, "almanac");
    assert_eq!(state.assignments.len(), 1);
    assert_eq!(state.assignments[0].job, "ping");
    assert!(snapshot(&mut bed.watch("paris-01").await).await.assignments.is_empty());

    let status = bed.alice().get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.applied_commit, commit);
    assert_eq!((status.nodes, status.nodes_current, status.look_error.as_str()), (2, 0, ""));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_node_whose_job_changed_gets_a_new_generation() {
    let mut bed = Bed::new();
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.write("jobs/pong.yaml", job("pong", "paris-01"));
    let first = bed.commit("jobs");
    bed.start().await;
    bed.applied(&first).await;
    let (mut london, mut paris) = (bed.watch("london-01").await, bed.watch("paris-01").await);
    let before = (snapshot(&mut london).await, snapshot(&mut paris).await);

    bed.write("jobs/ping.yaml", job_at_minute("ping", "london-01", 5));
    let second = bed.commit("later");
    let after = snapshot(&mut london).await;
    assert_eq!((after.commit.as_str(), after.generation), (second.as_str(), before.0.generation + 1));
    assert!(after.assignments[0].since.unwrap().seconds >= before.0.assignments[0].since.unwrap().seconds);
    assert_ne!(after.assignments[0].since, before.0.assignments[0].since, "another schedule begins anew");

    // Another change of the job keeps its schedule, and since when it runs by it.
    let text = job_at_minute("ping", "london-01", 5).replace("image: probe", "image: probe:2");
    bed.write("jobs/ping.yaml", text);
    bed.commit("another image");
    let third = snapshot(&mut london).await;
    assert_eq!(third.assignments[0].since, after.assignments[0].since);

    // The next snapshot that Paris gets is for its own change, so it got none for London's.
    bed.write("jobs/pong.yaml", job_at_minute("pong", "paris-01", 5));
    let fourth = bed.commit("pong later");
    let paris_after = snapshot(&mut paris).await;
    assert_eq!((paris_after.commit, paris_after.generation), (fourth, before.1.generation + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_commit_changes_nothing_and_says_where() {
    let bed = Bed::serving().await;
    let good = bed.latest().await.unwrap().sync.unwrap();
    let mut london = bed.watch("london-01").await;
    let before = snapshot(&mut london).await;

    bed.write("jobs/ping.yaml", job("ping", "london-01").replace("owner:", "ownr:"));
    bed.write("jobs/pong.yaml", "apiVersion: almanac/v1\nkind: [\n");
    bed.remove("nodes/paris-01.yaml");
    let bad = bed.commit("bad");
    let sync = bed.looked_at(&bad).await;
    assert_eq!(sync.sync.as_ref().unwrap().outcome(), v1::SyncOutcome::Rejected);
    assert!(sync.changes.is_empty());
    let in_ping = sync.findings.iter().find(|finding| finding.file == "jobs/ping.yaml").unwrap();
    assert_eq!((in_ping.line, in_ping.severity.as_str()), (5, "error"));
    assert!(!in_ping.rule.is_empty() && in_ping.column > 0);
    assert!(sync.findings.iter().any(|finding| finding.file == "jobs/pong.yaml"));

    let status = bed.alice().get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.applied_commit, good.commit);
    assert_eq!(status.latest.unwrap().commit, bad);
    assert_eq!(status.nodes, 2);

    // The same commit again is no news.
    let again = bed.alice().sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!((again.id, again.outcome()), (sync.sync.unwrap().id, v1::SyncOutcome::Rejected));

    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.remove("jobs/pong.yaml");
    let mended = bed.commit("mended");
    assert_eq!(bed.applied(&mended).await.sync.unwrap().removed, 1);
    assert_eq!(snapshot(&mut london).await.generation, before.generation + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_is_followed_and_said() {
    let bed = Bed::serving().await;
    let first = bed.git(&["rev-parse", "HEAD"]);
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    let second = bed.commit("a job");
    bed.applied(&second).await;
    bed.git(&["reset", "--quiet", "--hard", &first]);
    let back = bed.applied(&first).await.sync.unwrap();
    assert!(back.message.contains("rewritten") && back.message.contains(&second[..12]), "{}", back.message);
    assert_eq!(back.removed, 1);
    let syncs = bed.alice().list_syncs(v1::ListSyncsRequest::default()).await.unwrap().into_inner().syncs;
    assert_eq!(syncs.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_twice_and_a_restart_changes_nothing() {
    let mut bed = Bed::serving().await;
    let before = snapshot(&mut bed.watch("london-01").await).await;
    bed.stop().await;
    bed.start().await;
    let sync = bed.alice().sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.id, 1);
    let after = snapshot(&mut bed.watch("london-01").await).await;
    assert_eq!(
        (after.epoch, after.generation, after.commit),
        (before.epoch, before.generation, before.commit)
    );

    // What was read back from the database is what the commit says: nothing changes.
    let commit = bed.commit("empty");
    let sync = bed.applied(&commit).await;
    assert!(sync.changes.is_empty(), "{:?}", sync.changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_fails_leaves_nothing() {
    let bed = Bed::serving().await;
    let store = almanac_reconciler::store::Store::open(&bed.settings().database).await.unwrap();
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON assignments BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(trigger).execute(store.pool()).await.unwrap();
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    let commit = bed.commit("a job");
    let failed = bed.alice().sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(failed.outcome(), v1::SyncOutcome::Failed, "{failed:?}");
    assert_ne!(bed.latest().await.unwrap().sync.unwrap().commit, commit);
    let jobs: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM jobs").fetch_one(store.pool()).await.unwrap();
    let changes: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM changes WHERE name = 'ping'")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!((jobs.0, changes.0), (0, 0));

    sqlx::query("DROP TRIGGER refuse").execute(store.pool()).await.unwrap();
    let sync = bed.alice().sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!((sync.outcome(), sync.added, sync.commit), (v1::SyncOutcome::Applied, 1, commit));
}
