//! What admins do to the syncs: suspend them, pin a commit, and take it back.

use std::fs;

use almanac_proto::{
    convert::timestamp,
    v1::{self, SyncOutcome},
};
use chrono::{DateTime, TimeDelta, Utc};
use tonic::{Code, Status};

use crate::harness::{Testbed, manifest};

const MOVING: &str = "the dish is being moved";

async fn suspend(testbed: &Testbed, until: Option<DateTime<Utc>>) -> v1::SyncHold {
    let request = v1::SuspendSyncRequest { reason: MOVING.to_owned(), until: until.map(timestamp) };
    testbed.ask("alice").suspend_sync(request).await.unwrap().into_inner().suspended.unwrap()
}

async fn resume(testbed: &Testbed) -> v1::Sync {
    testbed.ask("alice").resume_sync(v1::ResumeSyncRequest {}).await.unwrap().into_inner().sync.unwrap()
}

async fn pin(testbed: &Testbed, commit: &str) -> Result<v1::PinSyncResponse, Status> {
    let request = v1::PinSyncRequest { commit: commit.to_owned(), reason: "compare".to_owned(), until: None };
    testbed.ask("alice").pin_sync(request).await.map(tonic::Response::into_inner)
}

async fn unpin(testbed: &Testbed) -> v1::Sync {
    testbed.ask("alice").unpin_sync(v1::UnpinSyncRequest {}).await.unwrap().into_inner().sync.unwrap()
}

/// Adds a job and pushes, whatever comes of it.
fn push_job(testbed: &Testbed, name: &str) -> String {
    testbed.write_job(name, "bob", "london-01", manifest::HOURLY);
    testbed.repository.push(&format!("add {name}"))
}

/// What people did, without to which commit.
async fn deeds(testbed: &Testbed) -> Vec<String> {
    testbed.actions().await.into_iter().map(|(_, deed, _)| deed).collect()
}

#[tokio::test]
async fn a_suspension_rests_survives_a_crash_and_ends_with_resume() {
    let mut testbed = Testbed::with_jobs().await;
    let before = testbed.status().await.applied_commit;
    let hold = suspend(&testbed, None).await;
    assert_eq!((hold.actor.as_str(), hold.reason.as_str(), hold.until), ("alice", MOVING, None));

    let commit = push_job(&testbed, "dns");
    let looked = testbed.look().await;
    assert_eq!(looked.outcome(), SyncOutcome::Suspended);
    assert_eq!(looked.message, format!("suspended by alice: {MOVING}"));
    testbed.crash_and_serve().await;
    assert_eq!(testbed.look().await.outcome(), SyncOutcome::Suspended);
    let status = testbed.status().await;
    assert_eq!((status.applied_commit, status.suspended), (before, Some(hold)));
    assert_eq!(testbed.jobs().await, ["ping", "trace"]);
    // What was not looked at is no sync.
    let request = v1::GetSyncRequest { id: commit.clone() };
    assert_eq!(testbed.ask("bob").get_sync(request).await.unwrap_err().code(), Code::NotFound);

    let sync = resume(&testbed).await;
    assert_eq!((sync.outcome(), &sync.commit), (SyncOutcome::Applied, &commit));
    assert_eq!(testbed.status().await.suspended, None);
    assert_eq!(testbed.jobs().await, ["dns", "ping", "trace"]);
    assert_eq!(deeds(&testbed).await, ["resume", "suspend"]);
    let refused = testbed.ask("alice").resume_sync(v1::ResumeSyncRequest {}).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "the syncs are not suspended")
    );
}

#[tokio::test]
async fn a_suspension_ends_by_itself() {
    let testbed = Testbed::with_jobs().await;
    let until = Utc::now() + TimeDelta::seconds(6);
    suspend(&testbed, Some(until)).await;
    let commit = push_job(&testbed, "dns");
    let looked = testbed.look().await;
    assert_eq!(looked.outcome(), SyncOutcome::Suspended);
    assert!(looked.message.starts_with("suspended by alice until 20"), "{}", looked.message);
    // The next poll is an hour away, and nobody asks.
    let sync = testbed.wait_looked(&commit).await.sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Applied);
    assert!(sync.started_at.unwrap().seconds >= until.timestamp(), "{sync:?}");
    assert_eq!(testbed.status().await.suspended, None);
}

#[tokio::test]
async fn a_pinned_commit_stays_whatever_the_branch_does() {
    let mut testbed = Testbed::with_jobs().await;
    let old = testbed.status().await.applied_commit;
    let newer = push_job(&testbed, "dns");
    testbed.wait_applied(&newer).await;

    let answer = pin(&testbed, &old[..7]).await.unwrap();
    let hold = answer.pinned.unwrap();
    assert_eq!((hold.actor.as_str(), hold.reason.as_str(), &hold.commit), ("alice", "compare", &old));
    let sync = answer.sync.unwrap();
    assert_eq!((sync.outcome(), &sync.commit, sync.removed), (SyncOutcome::Applied, &old, 1));
    assert!(sync.message.ends_with("; pinned by alice: compare"), "{}", sync.message);
    assert_eq!(testbed.jobs().await, ["ping", "trace"]);

    push_job(&testbed, "mtr");
    assert_eq!(testbed.look().await.id, sync.id, "a push does nothing");
    testbed.crash_and_serve().await;
    assert_eq!(testbed.look().await.id, sync.id, "nor does a restart");
    // The branch loses the commit.
    testbed.repository.git(&["checkout", "--quiet", "--orphan", "other"]);
    testbed.repository.git(&["branch", "--quiet", "-D", "main"]);
    testbed.repository.git(&["branch", "--quiet", "-m", "main"]);
    let head = testbed.repository.push("another history");
    assert_eq!(testbed.look().await.id, sync.id, "nor a force-push");
    let status = testbed.status().await;
    assert_eq!((&status.applied_commit, status.pinned), (&old, Some(hold)));
    assert_eq!(testbed.jobs().await, ["ping", "trace"]);

    let sync = unpin(&testbed).await;
    assert_eq!((sync.outcome(), &sync.commit), (SyncOutcome::Applied, &head));
    let lost = format!("the branch was rewritten and no longer contains {}", &old[..12]);
    assert!(sync.message.starts_with(&lost), "{}", sync.message);
    assert_eq!(testbed.status().await.pinned, None);
    assert_eq!(testbed.jobs().await, ["dns", "mtr", "ping", "trace"]);
    assert_eq!(deeds(&testbed).await, ["unpin", "pin"]);
    let refused = testbed.ask("alice").unpin_sync(v1::UnpinSyncRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "no commit is pinned"));
}

#[tokio::test]
async fn a_pin_ends_by_itself() {
    let testbed = Testbed::with_jobs().await;
    let old = testbed.status().await.applied_commit;
    let newer = push_job(&testbed, "dns");
    testbed.wait_applied(&newer).await;
    let request = v1::PinSyncRequest {
        commit: old.clone(),
        reason: "compare".to_owned(),
        until: Some(timestamp(Utc::now() + TimeDelta::seconds(6))),
    };
    let answer = testbed.ask("alice").pin_sync(request).await.unwrap().into_inner();
    assert_eq!(answer.sync.unwrap().commit, old);
    testbed.wait_applied(&newer).await;
    assert_eq!(testbed.status().await.pinned, None);
}

#[tokio::test]
async fn a_pinned_commit_with_errors_is_rejected_and_what_was_in_force_stays() {
    let testbed = Testbed::with_jobs().await;
    testbed.write_job("dns", "mallory", "london-01", manifest::HOURLY);
    let bad = testbed.push_and_look("bad").await.sync.unwrap();
    assert_eq!(bad.outcome(), SyncOutcome::Rejected);
    let good = push_job(&testbed, "dns");
    testbed.wait_applied(&good).await;

    let sync = pin(&testbed, &bad.commit).await.unwrap().sync.unwrap();
    assert_eq!((sync.outcome(), &sync.commit), (SyncOutcome::Rejected, &bad.commit));
    let status = testbed.status().await;
    assert_eq!(status.applied_commit, good);
    assert_eq!(testbed.jobs().await, ["dns", "ping", "trace"]);
    let stalled = status.conditions.iter().find(|condition| condition.r#type == "Stalled").unwrap();
    assert_eq!((stalled.status, stalled.reason.as_str()), (true, "Rejected"));
    assert!(stalled.message.contains("almanac sync unpin"), "{}", stalled.message);
    assert_eq!(unpin(&testbed).await.outcome(), SyncOutcome::Applied);
}

#[tokio::test]
async fn a_suspension_outweighs_a_pin() {
    let testbed = Testbed::with_jobs().await;
    let old = testbed.status().await.applied_commit;
    let newer = push_job(&testbed, "dns");
    testbed.wait_applied(&newer).await;
    suspend(&testbed, None).await;
    let answer = pin(&testbed, &old).await.unwrap();
    assert_eq!(answer.sync.unwrap().outcome(), SyncOutcome::Suspended);
    assert_eq!(testbed.status().await.applied_commit, newer);
    assert_eq!(resume(&testbed).await.commit, old);
}

#[tokio::test]
async fn hashes_that_name_no_commit_are_refused() {
    let testbed = Testbed::with_jobs().await;
    // Two commits whose hashes begin with the same seven digits. They hold nothing.
    let tree = testbed.repository.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
    let commits = [
        (19_255, "7d2ae25"),
        (26_570, "7d2ae258b80080bd21b908332b8206e92a76bd92"),
        // A file begins like this one.
        (40_268, "d995b75"),
    ];
    for (number, hash) in commits {
        let who = "A <a@example.org> 1800000000 +0000";
        let commit = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{number}\n");
        testbed.repository.write("commit", commit);
        let made = testbed.repository.git(&["hash-object", "-t", "commit", "-w", "commit"]);
        assert!(made.starts_with(hash), "{made}");
        testbed.repository.git(&["push", "--quiet", "origin", &format!("{made}:refs/heads/b{number}")]);
    }
    testbed.repository.remove("commit");
    let before = testbed.status().await.applied_commit;
    for (commit, code, said) in [
        ("", Code::InvalidArgument, "at least 7 digits"),
        ("HEAD", Code::InvalidArgument, "at least 7 digits"),
        (&before[..6], Code::InvalidArgument, "at least 7 digits"),
        ("main~1", Code::InvalidArgument, "at least 7 digits"),
        ("0123456", Code::NotFound, "has no commit 0123456"),
        (tree.as_str(), Code::NotFound, "has no commit"),
        ("7d2ae25", Code::InvalidArgument, "several commits"),
        ("7d2ae25", Code::InvalidArgument, "7d2ae258b80080bd21b908332b8206e92a76bd92 (26570)"),
    ] {
        let refused = pin(&testbed, commit).await.unwrap_err();
        assert_eq!(refused.code(), code, "{commit}: {refused:?}");
        assert!(refused.message().contains(said), "{commit}: {refused:?}");
    }
    assert_eq!(testbed.actions().await, [], "what is refused is not recorded");
    assert_eq!(testbed.status().await.applied_commit, before);
    // Capital letters are as good.
    assert!(pin(&testbed, &before.to_uppercase()).await.is_ok());

    testbed.repository.write("number", "714\n");
    testbed.repository.push("a file");
    assert!(testbed.repository.git(&["rev-parse", "HEAD:number"]).starts_with("d995b75"));
    let pinned = pin(&testbed, "d995b75").await.unwrap().pinned.unwrap();
    assert!(pinned.commit.starts_with("d995b75"));

    // Where nothing can be looked up, nothing is known not to be there.
    fs::rename(testbed.repository.path(), testbed.folder().join("away")).unwrap();
    let refused = pin(&testbed, "0123456").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("there is no Git repository at"), "{refused:?}");
}

#[tokio::test]
async fn a_wish_has_a_reason_and_ends_after_now() {
    let testbed = Testbed::with_jobs().await;
    let long = "x".repeat(1_001);
    let past = Some(timestamp(Utc::now() - TimeDelta::seconds(1)));
    for (reason, until, said) in
        [("", None, "say why"), ("  ", None, "say why"), (long.as_str(), None, "1,000"), ("x", past, "over")]
    {
        let request = v1::SuspendSyncRequest { reason: reason.to_owned(), until };
        let refused = testbed.ask("alice").suspend_sync(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(said), "{refused:?}");
    }
    assert_eq!(testbed.actions().await, []);
}
