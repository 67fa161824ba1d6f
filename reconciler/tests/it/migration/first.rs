//! The first version, which had SQLite alone: everything in it is kept, and the reconciler goes on with it.

use std::fs;

use crate::{bed::Bed, harness::Version};
use almanac_reconciler::{
    clock,
    source::Repository,
    store::{RunFilter, Store, SyncCause, SyncOutcome},
    sync::{Reconciler, Round},
};
use almanac_schemas::{Phase, RunRole};
use chrono::DateTime;

/// What the first version wrote for [`MANIFESTS`], with the commit's hash to be filled in.
const ROWS: &str = include_str!("../data/versions/first.sql");

/// What its repository declared.
const MANIFESTS: &str = include_str!("../data/versions/first.yaml");

#[tokio::test]
async fn a_database_of_the_first_version_is_migrated_and_gone_on_with() {
    let bed = Bed::new_on_sqlite();
    bed.git(&["rm", "-rfq", "--ignore-unmatch", "."]);
    for folder in ["users", "nodes"] {
        fs::remove_dir_all(bed.repo().join(folder)).unwrap();
    }
    bed.write("testbed.yaml", MANIFESTS);
    let commit = bed.commit("everything");
    // PostgreSQL came later.
    let first = &Version::all(&bed.settings().database)[..1];
    Version::write(&bed.settings().database, first, |_| Some(ROWS.replace("COMMIT", &commit))).await;

    let store = Store::open(&bed.settings().database).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert!(loaded.unreadable.is_empty() && loaded.strays.is_empty(), "{loaded:?}");
    assert_eq!(loaded.applied.epoch.as_ref(), "7c1e5f0a-0000-4000-8000-000000000001");
    let london = "london-01".parse().unwrap();
    assert_eq!(loaded.applied.generation(&london), 7);
    let written = DateTime::from_timestamp_micros(1_790_000_012_000_000).unwrap();
    assert_eq!(loaded.applied.generation_since(&london), written);
    assert_eq!(loaded.applied.declared_since(&london), written);
    let syncs = store.syncs(None, 10).await.unwrap();
    let kept: Vec<_> = syncs.iter().map(|sync| (sync.id, sync.outcome, sync.cause)).collect();
    assert_eq!(
        kept,
        [(2, SyncOutcome::Applied, SyncCause::Commit), (1, SyncOutcome::Rejected, SyncCause::Commit)]
    );
    assert_eq!(store.findings(1).await.unwrap().len(), 1);
    assert_eq!(store.changes_from(2, 0, 1_000).await.unwrap().0.len(), 1);
    let runs = store.runs(&RunFilter::default(), 10).await.unwrap();
    assert_eq!((runs.len(), runs[0].state.phase), (1, Phase::Completed));
    assert_eq!(store.steps(runs[0].id, RunRole::Client).await.unwrap().len(), 2);
    assert_eq!(store.artifacts(runs[0].id).await.unwrap()[0].name, "run.log");
    assert_eq!(runs[0].moved_to, None);
    assert!(store.scavengings().await.unwrap().is_empty() && store.reservations().await.unwrap().is_empty());
    let heartbeats = store.heartbeats().await.unwrap();
    assert_eq!((heartbeats.len(), heartbeats[0].held_generation), (1, 7));
    assert!(store.fetches().await.unwrap().is_empty(), "nothing was ever fetched for it");

    let settings = bed.settings();
    let repository = Repository::new(settings.location, "main", "", bed.path().join("mirror.git"));
    let mut reconciler = Reconciler::new(repository, store.clone()).await.unwrap();
    let round = reconciler.round(clock::now()).await.unwrap();
    assert!(matches!(round, Round::Unchanged(ref sync) if sync.id == 2), "applied before: {round:?}");
    let drift = reconciler.put_right(clock::now()).await.unwrap();
    assert!(drift.is_none(), "what the version before wrote is what this one would: {drift:?}");

    bed.write(
        "more.yaml",
        "apiVersion: almanac/v1\nkind: User\nmetadata: { name: erin }\nspec: { role: user, keys: [] }\n",
    );
    bed.commit("one more");
    let round = reconciler.round(clock::now()).await.unwrap();
    assert!(matches!(round, Round::Recorded(ref sync, _) if sync.id == 3 && sync.added == 1), "{round:?}");
    store.close().await;
    // It is a database of this version now.
    Store::open(&bed.settings().database).await.unwrap();
}
