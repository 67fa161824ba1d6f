//! A commit is judged once with the same eyes, and again with others.

use almanac_reconciler::{
    clock,
    intent::Deed,
    source::Repository,
    store::{ActionRow, Store, SyncOutcome, SyncRow},
    sync::{Reconciler, Round, RoundError},
};

use crate::bed::{Bed, job};

const SIGNED: &str = "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { commits: { requireSigned: true } }\n";

async fn reconciler(bed: &Bed) -> (Reconciler, Store) {
    let settings = bed.settings();
    let store = Store::open(&settings.database).await.unwrap();
    let repository = Repository::new(settings.location, "main", "", bed.path().join("mirror.git"));
    (Reconciler::new(repository, store.clone()).await.unwrap(), store)
}

/// What is recorded about the commit that a round looks at, and whether that is new.
async fn look(reconciler: &mut Reconciler) -> (SyncRow, bool) {
    match reconciler.round(clock::now()).await.unwrap() {
        Round::Recorded(sync, _) => (sync, true),
        Round::Unchanged(sync) => (sync, false),
        Round::Suspended(hold) => panic!("suspended {hold}"),
    }
}

async fn act(store: &Store, deed: Deed, commit: &str, sync: Option<i64>) {
    let action = ActionRow {
        id: 0,
        at: clock::now(),
        actor: "alice".to_owned(),
        deed,
        commit: commit.to_owned(),
        reason: "to try it".to_owned(),
        until: None,
        sync,
    };
    store.act(&action).await.unwrap();
}

/// A testbed that asks for signatures, and a commit without one.
async fn unsigned() -> (Bed, String, Reconciler, Store) {
    let bed = Bed::new();
    bed.write("config.yaml", SIGNED);
    bed.commit("in force");
    let (mut reconciler, store) = reconciler(&bed).await;
    look(&mut reconciler).await;
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    let commit = bed.commit("not signed");
    (bed, commit, reconciler, store)
}

#[tokio::test]
async fn an_admin_who_pins_a_rejected_commit_vouches_for_it() {
    let (_bed, commit, mut reconciler, store) = unsigned().await;
    let (sync, _) = look(&mut reconciler).await;
    assert_eq!((sync.outcome, sync.commit.id.as_str()), (SyncOutcome::Rejected, commit.as_str()));
    act(&store, Deed::Pin, &commit, None).await;
    let (sync, new) = look(&mut reconciler).await;
    assert_eq!((sync.outcome, new), (SyncOutcome::Applied, true), "{}", sync.message);
    act(&store, Deed::Unpin, "", None).await;
    assert!(!look(&mut reconciler).await.1, "it is in force already");
}

#[tokio::test]
async fn what_is_found_out_again_is_recorded_once() {
    let (bed, _, mut before, store) = unsigned().await;
    let (rejected, _) = look(&mut before).await;
    for _ in 0..3 {
        let (mut restarted, _) = reconciler(&bed).await;
        for _ in 0..2 {
            assert_eq!(look(&mut restarted).await, (rejected.clone(), false));
        }
    }
    // A pin for which the commit is still no good.
    bed.write("jobs/dns.yaml", "kind: Job\n");
    let bad = bed.commit("bad");
    let (rejected, _) = look(&mut before).await;
    assert_eq!(rejected.outcome, SyncOutcome::Rejected);
    act(&store, Deed::Pin, &bad, None).await;
    let (pinned, _) = look(&mut before).await;
    assert_eq!(pinned.outcome, SyncOutcome::Rejected);
    assert_eq!(look(&mut before).await, (pinned, false));
}

#[tokio::test]
async fn what_another_version_rejected_is_judged_by_this_one() {
    let bed = Bed::new();
    bed.commit("in force");
    let (mut before, store) = reconciler(&bed).await;
    look(&mut before).await;
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    let commit = bed.commit("good");
    let columns = "tree_id, author, subject, committed_at, started_at, ended_at, cause, signer, approved_by, added, changed, removed, findings";
    let insert = format!(
        "INSERT INTO syncs (commit_id, outcome, message, {columns})
         SELECT '{commit}', 'rejected', 'by an older rule', {columns} FROM syncs WHERE id = 1"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert)).execute(store.pool()).await.unwrap();
    let (mut after, _) = reconciler(&bed).await;
    let (sync, new) = look(&mut after).await;
    assert_eq!((sync.outcome, new), (SyncOutcome::Applied, true));
}

#[tokio::test]
async fn an_approval_is_for_one_time() {
    let bed = Bed::new();
    for number in 0..20 {
        bed.write(&format!("jobs/job-{number}.yaml"), job(&format!("job-{number}"), "london-01"));
    }
    let full = bed.commit("twenty jobs");
    let (mut reconciler, store) = reconciler(&bed).await;
    look(&mut reconciler).await;
    std::fs::remove_dir_all(bed.repo().join("jobs")).unwrap();
    let empty = bed.commit("no jobs");
    let (waiting, _) = look(&mut reconciler).await;
    assert_eq!(waiting.outcome, SyncOutcome::Waiting);
    act(&store, Deed::Approve, &empty, Some(waiting.id)).await;
    assert_eq!(look(&mut reconciler).await.0.outcome, SyncOutcome::Applied);

    // Months later, somebody pushes the old commit over what is there by then.
    bed.git(&["reset", "--quiet", "--hard", &full]);
    assert_eq!(look(&mut reconciler).await.0.outcome, SyncOutcome::Applied);
    bed.git(&["reset", "--quiet", "--hard", &empty]);
    let (again, new) = look(&mut reconciler).await;
    assert_eq!((again.outcome, new), (SyncOutcome::Waiting, true), "{}", again.message);
    assert_eq!(store.load().await.unwrap().applied.testbed.jobs.len(), 20);
}

/// By the settings of a new testbed, no commit would need a signature.
#[tokio::test]
async fn settings_that_cannot_be_read_do_not_stand_for_none() {
    let (bed, _, _, store) = unsigned().await;
    let spoil = "UPDATE settings SET value = '{\"newer\": true}' WHERE name = 'config'";
    sqlx::query(spoil).execute(store.pool()).await.unwrap();
    let (mut restarted, _) = reconciler(&bed).await;
    assert_eq!(look(&mut restarted).await.0.outcome, SyncOutcome::Rejected, "they are put right first");

    // And where they cannot be put right, nothing is judged by others.
    sqlx::query(spoil).execute(store.pool()).await.unwrap();
    sqlx::query(
        "UPDATE syncs SET commit_id = '0123456789012345678901234567890123456789' WHERE outcome = 'applied'",
    )
    .execute(store.pool())
    .await
    .unwrap();
    let (mut restarted, _) = reconciler(&bed).await;
    let error = restarted.round(clock::now()).await.unwrap_err();
    assert!(matches!(error, RoundError::Look(_) | RoundError::Unreadable), "{error:?}");
    assert!(store.load().await.unwrap().applied.testbed.jobs.is_empty());
}
