//! What was decided on something that is no more is not put in force.

use std::{sync::Arc, time::Duration};

use almanac_reconciler::{
    clock,
    follow::{self, Follow, Intervals},
    hear::Ears,
    intent::Deed,
    lead::Leadership,
    metrics::Metrics,
    notify::Announcer,
    source::Repository,
    step::{Step, Steps},
    store::{ActionRow, LookRow, Store, StoreError, SyncOutcome},
    surroundings::Surroundings,
    sync::{Reconciler, Round, RoundError},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::block_in_place,
};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, job};

async fn reconciler(bed: &Bed) -> (Reconciler, Store) {
    let settings = bed.settings();
    let store = Store::open(&settings.database).await.unwrap();
    let repository = Repository::new(settings.location, "main", "", bed.path().join("mirror.git"));
    (Reconciler::new(repository, store.clone()).await.unwrap(), store)
}

#[tokio::test]
async fn a_leader_of_an_earlier_term_changes_nothing() {
    let bed = Bed::new();
    bed.commit("users and nodes");
    let (mut old, store) = reconciler(&bed).await;
    let first = store.begin_term().await.unwrap();
    old.lead(Some(first));
    old.round(clock::now()).await.unwrap();
    let before = store.look().await.unwrap();

    let second = store.begin_term().await.unwrap();
    assert_eq!((first, second), (1, 2));
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.commit("a job");
    let error = old.round(clock::now()).await.unwrap_err();
    assert!(matches!(error, RoundError::Store(StoreError::Deposed)), "{error:?}");
    let look = LookRow { error: Some("another one leads".to_owned()), ..LookRow::default() };
    let error = store.put_look(&look, &[], &[], Some(first), clock::now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Deposed), "{error:?}");
    assert_eq!(store.look().await.unwrap(), before);
    assert_eq!(store.syncs(None, 10).await.unwrap().len(), 1);
    let loaded = store.load().await.unwrap();
    assert!(loaded.applied.testbed.jobs.is_empty());

    old.lead(Some(second));
    old.round(clock::now()).await.unwrap();
    assert_eq!(store.syncs(None, 10).await.unwrap().len(), 2);
}

/// Two that decide on the same at one time, whether the commit is good or bad: one of them records it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_rounds_at_a_time_one_is_recorded() {
    let bed = Bed::new();
    bed.commit("users and nodes");
    reconciler(&bed).await.0.round(clock::now()).await.unwrap();
    for (node, outcome) in [("london-01", SyncOutcome::Applied), ("nowhere", SyncOutcome::Rejected)] {
        let (slow, store) = reconciler(&bed).await;
        let (quick, _) = reconciler(&bed).await;
        bed.write("jobs/ping.yaml", job("ping", node));
        bed.commit(node);
        let count = store.syncs(None, 10).await.unwrap().len();
        let quick = std::sync::Mutex::new(quick);
        let mut slow = slow.with_steps(Steps::new(move |step| {
            if step == Step::Checked {
                let mut quick = quick.lock().unwrap();
                let round = quick.round(clock::now());
                block_in_place(|| Handle::current().block_on(round)).unwrap();
            }
        }));
        let error = slow.round(clock::now()).await.unwrap_err();
        assert!(matches!(error, RoundError::Store(StoreError::Outrun)), "{error:?}");
        let syncs = store.syncs(None, 10).await.unwrap();
        assert_eq!((syncs.len(), syncs[0].outcome), (count + 1, outcome));
    }
}

fn action(deed: Deed) -> ActionRow {
    ActionRow {
        id: 0,
        at: clock::now(),
        actor: "alice".to_owned(),
        deed,
        commit: String::new(),
        reason: "to try it".to_owned(),
        until: None,
        sync: None,
    }
}

/// Whoever was told that the syncs rest can rely on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_counts_for_a_round_that_is_under_way() {
    let bed = Bed::new();
    bed.commit("users and nodes");
    let (round, store) = reconciler(&bed).await;
    let suspending = store.clone();
    let mut round = round.with_steps(Steps::new(move |step| {
        if step == Step::Planned {
            let suspend = action(Deed::Suspend);
            block_in_place(|| Handle::current().block_on(suspending.act(&suspend))).unwrap();
        }
    }));
    let error = round.round(clock::now()).await.unwrap_err();
    assert!(matches!(error, RoundError::Store(StoreError::Outrun)), "{error:?}");
    assert!(store.syncs(None, 10).await.unwrap().is_empty());
    let rests = round.round(clock::now()).await.unwrap();
    assert!(matches!(rests, Round::Suspended(_)), "{rests:?}");
}

/// A round that goes on while the program stops is not cut short by those who have stopped already.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_under_way_ends_before_the_task_does() {
    let bed = Bed::new();
    let commit = bed.commit("users and nodes");
    let (reconciler, store) = reconciler(&bed).await;
    let (begun, seen) = std::sync::mpsc::channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let reconciler = reconciler.with_steps(Steps::new(move |step| {
        if step == Step::Planned {
            begun.send(()).unwrap();
            block_in_place(|| wait.lock().unwrap().recv()).unwrap();
        }
    }));
    let (leads, leadership) = watch::channel(Leadership::Alone);
    let stop = CancellationToken::new();
    let hour = Duration::from_secs(3_600);
    let (follow, _follower) = Follow::new(follow::Parts {
        reconciler,
        store: store.clone(),
        announcer: Announcer::default(),
        surroundings: Surroundings::load(&store).await.unwrap(),
        watched: None,
        intervals: Intervals { poll: hour, drift: hour },
        leadership,
        ears: Arc::new(Ears::new(mpsc::channel(1).0)),
        metrics: Metrics::default(),
        stop: stop.clone(),
    });
    let following = tokio::spawn(follow.run());
    block_in_place(|| seen.recv()).unwrap();
    stop.cancel();
    drop(leads);
    go_on.send(()).unwrap();
    following.await.unwrap();
    assert_eq!(store.applied_sync().await.unwrap().unwrap().commit.id, commit);
    assert_eq!(store.look().await.unwrap().error, None);
}

#[test]
fn a_password_is_never_shown() {
    use almanac_reconciler::store::{Engine, OpenError};
    let address = "postgres://almanac:s3cr%40t@127.0.0.1:1/almanac";
    let engine: Engine = address.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Store::open(address)).unwrap_err();
    assert!(matches!(error, OpenError::Open(..)), "{error}");
    let wrong = "postgres://almanac:s3cr%40t@127.0.0.1:port/almanac".parse::<Engine>().unwrap_err();
    let settings =
        almanac_reconciler::config::Settings { database: address.to_owned().into(), ..Bed::new().settings() };
    let shown = [
        format!("{engine} {engine:?}"),
        format!("{error:?}"),
        almanac_reconciler::causes::chain(&error),
        format!("{wrong:?}"),
        almanac_reconciler::causes::chain(&wrong),
        format!("{settings:?}"),
    ];
    for text in shown {
        assert!(!text.contains("s3cr"), "{text}");
    }
    assert_eq!(engine.to_string(), "`almanac` on 127.0.0.1:1");
}
