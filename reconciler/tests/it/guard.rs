//! A commit that removes much waits for a human's word.

use std::time::Duration;

use almanac_proto::v1::{self, ChangeAction, SyncOutcome};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::harness::{Looked, Testbed, manifest};

fn name(number: u32) -> String {
    format!("job-{number:02}")
}

/// Twenty jobs on London.
async fn twenty() -> Testbed {
    let mut testbed = Testbed::prepare();
    for number in 1..=20 {
        testbed.write_job(&name(number), "bob", "london-01", manifest::HOURLY);
    }
    let commit = testbed.repository.push("twenty jobs");
    testbed.serve().await;
    testbed.wait_applied(&commit).await;
    testbed
}

fn remove(testbed: &Testbed, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        testbed.repository.remove(&format!("jobs/{}.yaml", name(number)));
    }
}

/// Pushes, and expects that the commit waits. Returns it and what is said of it.
async fn waits(testbed: &Testbed, message: &str) -> (String, v1::Sync) {
    let commit = testbed.repository.push(message);
    let sync = testbed.wait_looked(&commit).await.sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Waiting, "{sync:?}");
    (commit, sync)
}

async fn approve(testbed: &Testbed, user: &str, commit: &str) -> Result<v1::Sync, Status> {
    let request = v1::ApproveSyncRequest { commit: commit.to_owned() };
    testbed.ask(user).approve_sync(request).await.map(|answer| answer.into_inner().sync.unwrap())
}

async fn snapshot(watch: &mut Streaming<v1::WatchDesiredStateResponse>) -> v1::Snapshot {
    let message = timeout(Duration::from_secs(30), watch.message()).await.expect("a snapshot in time");
    message.unwrap().expect("the stream goes on").snapshot.unwrap()
}

#[tokio::test]
async fn a_large_removal_waits_until_an_admin_lets_it_pass() {
    let testbed = twenty().await;
    let before = testbed.status().await.applied_commit;
    let mut london = testbed.watch("london-01").await;
    let first = snapshot(&mut london).await;
    assert_eq!(first.assignments.len(), 20);

    remove(&testbed, 1..=11);
    let (commit, sync) = waits(&testbed, "tidy up").await;
    let start = "it removes 11 of 20 jobs (`job-01`, `job-02`, `job-03` and 8 more); ";
    assert!(sync.message.starts_with(start), "{}", sync.message);
    assert!(sync.message.contains("almanac sync approve"), "{}", sync.message);
    assert_eq!((sync.added, sync.changed, sync.removed), (0, 0, 11));
    // Looking again changes nothing, and records nothing.
    let again = testbed.look().await;
    assert_eq!((again.id, again.outcome()), (sync.id, SyncOutcome::Waiting));
    assert_eq!(testbed.status().await.applied_commit, before);
    assert_eq!(testbed.jobs().await.len(), 20);

    // Naming another commit approves nothing.
    let refused = approve(&testbed, "alice", &before).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains(&commit), "{}", refused.message());
    let refused = approve(&testbed, "bob", &commit).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "user `bob` may not approve a commit; admins may");
    assert_eq!(testbed.actions().await, []);

    let sync = approve(&testbed, "alice", &commit[..9]).await.unwrap();
    assert_eq!((sync.outcome(), sync.approved_by.as_str()), (SyncOutcome::Applied, "alice"));
    assert_eq!(sync.commit, commit);
    assert_eq!(testbed.jobs().await.len(), 9);
    let who = |action: &str| ("alice".to_owned(), action.to_owned(), commit.clone());
    assert_eq!(testbed.actions().await, [who("approve")]);
    // The next thing that the agent hears of is the commit that was approved: it heard nothing before.
    let next = snapshot(&mut london).await;
    assert_eq!((next.generation, next.commit.as_str()), (first.generation + 1, commit.as_str()));
    assert_eq!(next.assignments.len(), 9);

    let refused = approve(&testbed, "alice", "").await.unwrap_err();
    assert_eq!(refused.message(), "no commit waits for an approval");
}

/// What is recorded of a sync: each name with what is done to it.
async fn recorded(testbed: &Testbed, sync: &v1::Sync) -> Vec<(String, ChangeAction)> {
    let sync = Looked::at(&mut testbed.ask("bob"), &sync.id.to_string()).await.unwrap();
    sync.changes.into_iter().map(|change| (change.name.clone(), change.action())).collect()
}

/// What happened to a job, the latest first, and by which sync.
async fn history(testbed: &Testbed, job: &str) -> Result<Vec<(ChangeAction, u64)>, Code> {
    let request =
        v1::ListChangesRequest { kind: "Job".to_owned(), name: job.to_owned(), ..Default::default() };
    let answer = testbed.ask("bob").list_changes(request).await.map_err(|status| status.code())?;
    let happened = |change: v1::RecordedChange| (change.change.unwrap().action(), change.sync.unwrap().id);
    Ok(answer.into_inner().changes.into_iter().map(happened).collect())
}

#[tokio::test]
async fn what_waits_is_recorded_in_full_and_did_not_happen() {
    use ChangeAction::{Added, Changed, Removed};
    let mut testbed = twenty().await;
    remove(&testbed, 1..=11);
    testbed.write_job(&name(12), "bob", "london-01", manifest::DAILY);
    testbed.write_job("job-21", "bob", "london-01", manifest::HOURLY);
    let (commit, waiting) = waits(&testbed, "tidy up").await;
    assert_eq!((waiting.added, waiting.changed, waiting.removed), (1, 1, 11));
    let mut expected: Vec<_> = (1..=11).map(|number| (name(number), Removed)).collect();
    expected.extend([(name(12), Changed), (name(21), Added)]);
    assert_eq!(recorded(&testbed, &waiting).await, expected);

    // Nothing of it is anybody's history, in force, or drift.
    let added = |history: Vec<(ChangeAction, u64)>| history.into_iter().map(|(action, _)| action).collect();
    let happened = async |job: &str| history(&testbed, job).await.map(added);
    assert_eq!(happened(&name(1)).await, Ok(vec![Added]));
    assert_eq!(happened(&name(12)).await, Ok(vec![Added]));
    assert_eq!(happened(&name(21)).await, Err(Code::NotFound));
    testbed.crash_and_serve().await;
    let again = testbed.look().await;
    assert_eq!((again.id, again.outcome()), (waiting.id, SyncOutcome::Waiting));
    assert_eq!(testbed.jobs().await, (1..=20).map(name).collect::<Vec<_>>());

    // Approved, it is a sync of its own, which made the changes; the one that waited stays as it was.
    let applied = approve(&testbed, "alice", &commit).await.unwrap();
    assert!(applied.id > waiting.id, "{applied:?}");
    for sync in [&waiting, &applied] {
        assert_eq!(recorded(&testbed, sync).await, expected, "{sync:?}");
    }
    let latest = async |job: &str| history(&testbed, job).await.unwrap()[0];
    assert_eq!(latest(&name(1)).await, (Removed, applied.id));
    assert_eq!(latest(&name(12)).await, (Changed, applied.id));
    assert_eq!(history(&testbed, &name(21)).await, Ok(vec![(Added, applied.id)]));
}

#[tokio::test]
async fn an_approval_is_of_the_commit_that_waits_and_of_none_that_came_since() {
    let testbed = twenty().await;
    remove(&testbed, 1..=11);
    let (first, _) = waits(&testbed, "tidy up").await;
    testbed.repository.remove("jobs/job-12.yaml");
    let (second, sync) = waits(&testbed, "tidy up more").await;
    assert_eq!(sync.removed, 12);
    assert_eq!(approve(&testbed, "alice", &first).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(testbed.jobs().await.len(), 20);
    // Without a name it is the one that waits now.
    assert_eq!(approve(&testbed, "alice", "").await.unwrap().commit, second);
    assert_eq!(testbed.jobs().await.len(), 8);
}

#[tokio::test]
async fn a_trailer_lets_a_large_removal_pass() {
    let testbed = twenty().await;
    remove(&testbed, 1..=11);
    let (waiting, _) = waits(&testbed, "tidy up\n\nAlmanac-Prune: no").await;
    // Also that of a later commit: then the whole of it is meant.
    let commit = testbed.repository.push("they were in the way\n\nAlmanac-Prune: yes");
    let sync = testbed.wait_looked(&commit).await.sync.unwrap();
    assert_eq!((sync.outcome(), sync.approved_by.as_str()), (SyncOutcome::Applied, ""));
    assert!(sync.message.contains("Almanac-Prune"), "{}", sync.message);
    assert_eq!(testbed.jobs().await.len(), 9);
    assert_ne!(waiting, commit);
}

#[tokio::test]
async fn a_waiting_commit_is_superseded_by_a_good_one() {
    let testbed = twenty().await;
    remove(&testbed, 1..=11);
    let (waiting, _) = waits(&testbed, "an accident").await;
    testbed.repository.git(&["revert", "--no-edit", &waiting]);
    testbed.push("mended").await;
    assert_eq!(testbed.jobs().await.len(), 20);
    assert_eq!(approve(&testbed, "alice", "").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_removal_of_half_or_of_few_does_not_wait() {
    let testbed = twenty().await;
    remove(&testbed, 1..=10);
    testbed.push("ten of twenty").await;
    remove(&testbed, 11..=19);
    testbed.push("nine of ten").await;
    assert_eq!(testbed.jobs().await, ["job-20"]);
}

#[tokio::test]
async fn an_empty_tree_waits_and_survives_a_crash() {
    let mut testbed = Testbed::with_jobs().await;
    testbed.repository.git(&["rm", "-r", "--quiet", "."]);
    let (_, sync) = waits(&testbed, "nothing").await;
    assert!(sync.message.starts_with("it leaves nothing: it removes 4 of 4 users (`alice`, "), "{sync:?}");
    testbed.crash_and_serve().await;
    assert_eq!(testbed.look().await.outcome(), SyncOutcome::Waiting);
    assert_eq!(testbed.jobs().await, ["ping", "trace"]);
}

#[tokio::test]
async fn a_commit_does_not_lift_the_guard_for_itself() {
    let testbed = twenty().await;
    remove(&testbed, 1..=11);
    let config = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { prune: { maxFraction: 1 } }\n";
    testbed.repository.write("config.yaml", config);
    waits(&testbed, "tidy up, and let me").await;
    assert_eq!(testbed.jobs().await.len(), 20);
}
