//! The database is put right when somebody else changed it.

use std::{sync::Arc, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::{
    applied::Applied,
    clock,
    source::Repository,
    store::{Loaded, Store, SyncCause, SyncRow},
    sync::{News, Reconciler, Round, RoundError},
};
use almanac_validate::plan::Action;

use crate::bed::{Bed, job, snapshot};

/// What somebody did to the database, how, and what is recorded when it is put right.
type Tampered = (&'static str, &'static str, &'static [(&'static str, Action)]);

const TAMPERED: &[Tampered] = &[
    (
        "a job's spec",
        r#"UPDATE jobs SET spec = REPLACE(spec, '"length":"1m"', '"length":"2m"') WHERE name = 'ping'"#,
        &[("ping", Action::Changed)],
    ),
    ("a job's owner", "UPDATE jobs SET owner = 'carol' WHERE name = 'ping'", &[("ping", Action::Added)]),
    ("a job's row", "DELETE FROM jobs WHERE name = 'ping'", &[("ping", Action::Added)]),
    ("a job's deletion", "UPDATE jobs SET deleted_at = 1 WHERE name = 'ping'", &[("ping", Action::Added)]),
    ("an unreadable job", "UPDATE jobs SET spec = '{' WHERE name = 'ping'", &[("ping", Action::Added)]),
    (
        "a job from nowhere",
        "INSERT INTO jobs (name, owner, spec, commit_id, sync_id, created_at, updated_at)
         SELECT 'stray', owner, spec, commit_id, sync_id, 1, 1 FROM jobs WHERE name = 'ping'",
        &[("stray", Action::Removed)],
    ),
    ("a user's row", "DELETE FROM users WHERE name = 'carol'", &[("carol", Action::Added)]),
    (
        "a user's deletion",
        "UPDATE users SET deleted_at = 1 WHERE name = 'carol'",
        &[("carol", Action::Added)],
    ),
    (
        "a user's role",
        r#"UPDATE users SET spec = REPLACE(spec, '"user"', '"admin"') WHERE name = 'carol'"#,
        &[("carol", Action::Changed)],
    ),
    ("an unreadable user", "UPDATE users SET spec = '' WHERE name = 'carol'", &[("carol", Action::Added)]),
    ("a node's row", "DELETE FROM nodes WHERE name = 'paris-01'", &[("paris-01", Action::Added)]),
    (
        "a node's deletion",
        "UPDATE nodes SET deleted_at = 1 WHERE name = 'paris-01'",
        &[("paris-01", Action::Added)],
    ),
    (
        "a node's labels",
        r#"UPDATE nodes SET labels = '{"city":"rome"}' WHERE name = 'paris-01'"#,
        &[("paris-01", Action::Changed)],
    ),
    (
        "unreadable labels",
        "UPDATE nodes SET labels = '?' WHERE name = 'paris-01'",
        &[("paris-01", Action::Added)],
    ),
    ("a lower generation", "UPDATE nodes SET generation = 0 WHERE name = 'london-01'", &[]),
    ("an assignment's row", "DELETE FROM assignments WHERE job = 'ping'", &[]),
    ("an assignment's end", "UPDATE assignments SET removed_at = 1 WHERE job = 'ping'", &[]),
    (
        "an assignment from nowhere",
        "INSERT INTO assignments (job, node, role, since) VALUES ('ping', 'paris-01', 'client', 1)",
        &[],
    ),
    (
        "the settings",
        r#"UPDATE settings SET value = REPLACE(value, '"other"', '"another"') WHERE name = 'config'"#,
        &[("global", Action::Changed)],
    ),
    ("the settings' row", "DELETE FROM settings WHERE name = 'config'", &[("global", Action::Changed)]),
    (
        "unreadable settings",
        "UPDATE settings SET value = '{]' WHERE name = 'config'",
        &[("global", Action::Changed)],
    ),
    (
        "everything",
        "UPDATE nodes SET generation = 0, spec = '', deleted_at = 1",
        &[("london-01", Action::Added), ("paris-01", Action::Added)],
    ),
];

/// Everything that a commit decides, without instants, generations and where it came from.
fn declared(loaded: &Loaded) -> impl PartialEq + std::fmt::Debug + use<> {
    assert!(loaded.strays.is_empty() && loaded.unreadable.is_empty(), "{loaded:?}");
    let Applied { testbed, assignments, placements, .. } = &loaded.applied;
    let parts = |node: &Vec<almanac_reconciler::applied::Assigned>| {
        node.iter().map(|part| (part.job.clone(), part.role)).collect::<Vec<_>>()
    };
    let assignments: Vec<_> = assignments.iter().map(|(node, all)| (node.clone(), parts(all))).collect();
    (Arc::clone(testbed), assignments, placements.clone())
}

async fn reconciler(bed: &Bed, store: &Store) -> Reconciler {
    let settings = bed.settings();
    let repository = Repository::new(settings.location, "main", "", bed.path().join("mirror.git"));
    Reconciler::new(repository, store.clone()).await.unwrap()
}

fn written() -> Bed {
    let bed = Bed::new();
    bed.write("jobs/ping.yaml", job("ping", "london-01"));
    bed.write("jobs/dns.yaml", job("dns", "paris-01"));
    bed.write(
        "config.yaml",
        "apiVersion: almanac/v1\nkind: Config\nmetadata: { name: global }\nspec: { network: { docker: other } }\n",
    );
    bed
}

async fn count_syncs(store: &Store) -> usize {
    store.syncs(None, 1_000).await.unwrap().len()
}

#[tokio::test]
async fn whatever_was_changed_is_put_right_and_recorded() {
    let bed = written();
    let commit = bed.commit("everything");
    let store = Store::open(&bed.settings().database).await.unwrap();
    let mut reconciler = reconciler(&bed, &store).await;
    reconciler.round(clock::now()).await.unwrap();
    let right = declared(&store.load().await.unwrap());
    assert!(reconciler.put_right(clock::now()).await.unwrap().is_none(), "nothing differs");
    assert_eq!(count_syncs(&store).await, 1);

    for (what, statement, changes) in TAMPERED {
        let published = Arc::clone(&reconciler.applied().borrow());
        let changed = sqlx::query(*statement).execute(store.pool()).await.unwrap();
        assert!(changed.rows_affected() > 0, "{what}: nothing was changed");
        let count = count_syncs(&store).await;

        let sync: SyncRow = reconciler.put_right(clock::now()).await.unwrap().expect(what);
        assert_eq!((sync.cause, &sync.commit.id), (SyncCause::Drift, &commit), "{what}");
        let (recorded, _) = store.changes_from(sync.id, 0, 1_000).await.unwrap();
        let recorded: Vec<_> = recorded.iter().map(|change| (change.name.as_str(), change.action)).collect();
        assert_eq!(&recorded[..], *changes, "{what}");

        let loaded = store.load().await.unwrap();
        assert!(declared(&loaded) == right, "{what}: {:#?}", loaded.applied);
        for (node, generation) in &published.generations {
            assert!(loaded.applied.generation(node) >= *generation, "{what}: {node} went back");
        }
        assert_eq!(loaded.applied.generations, reconciler.applied().borrow().generations, "{what}");
        assert!(reconciler.put_right(clock::now()).await.unwrap().is_none(), "{what}: it is right now");
        assert_eq!(count_syncs(&store).await, count + 1, "{what}");
    }
    // The commit is still the one that was followed.
    reconciler.round(clock::now()).await.unwrap();
    assert_eq!(store.latest_commit_sync().await.unwrap().unwrap().id, 1);
}

#[tokio::test]
async fn another_folder_of_the_commit_is_no_drift() {
    let bed = written();
    for number in 0..12 {
        bed.write(&format!("jobs/{number}.yaml"), job(&format!("job-{number}"), "london-01"));
    }
    bed.write(
        "other/carol.yaml",
        format!(
            "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: dora }}\nspec: {{ keys: [{}] }}\n",
            bed.key("dora")
        ),
    );
    bed.commit("everything");
    let store = Store::open(&bed.settings().database).await.unwrap();
    let below = async |folder| {
        let location = bed.settings().location;
        let repository = Repository::new(location, "main", folder, bed.path().join("mirror.git"));
        Reconciler::new(repository, store.clone()).await.unwrap()
    };
    below("").await.round(clock::now()).await.unwrap();
    let right = declared(&store.load().await.unwrap());

    let mut misled = below("other").await;
    assert!(misled.put_right(clock::now()).await.unwrap().is_none());
    let Round::Recorded(sync, News::Waiting(_)) = misled.round(clock::now()).await.unwrap() else {
        panic!("fourteen jobs would be gone");
    };
    assert!(sync.message.contains("of 14 jobs"), "{}", sync.message);
    assert!(misled.put_right(clock::now()).await.unwrap().is_none());
    assert!(matches!(below("nowhere").await.round(clock::now()).await, Err(RoundError::Look(_))));
    assert!(declared(&store.load().await.unwrap()) == right);

    let mut mended = below("").await;
    assert!(matches!(mended.round(clock::now()).await.unwrap(), Round::Recorded(_, News::Applied(_))));
    assert!(matches!(mended.round(clock::now()).await.unwrap(), Round::Unchanged(_)));
}

#[tokio::test]
async fn what_another_process_rejected_is_judged_anew_and_recorded_only_where_that_differs() {
    let bed = Bed::new();
    for name in ["ping", "dns"] {
        bed.write(
            &format!("jobs/{name}.yaml"),
            format!(
                "apiVersion: almanac/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n  owner: bob\n  \
                 nodes: [london-01]\n  schedule: {{ at: 2027-01-10T12:00:00Z, length: 1m }}\n  \
                 container: {{ image: probe }}\n"
            ),
        );
    }
    bed.commit("two at one time");
    let store = Store::open(&bed.settings().database).await.unwrap();
    let [before, after] = ["2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"].map(|at| at.parse().unwrap());
    let mut first = reconciler(&bed, &store).await;
    assert!(matches!(first.round(before).await.unwrap(), Round::Recorded(_, News::Rejected(_))));
    assert!(matches!(first.round(after).await.unwrap(), Round::Unchanged(_)), "it was judged already");

    let mut second = reconciler(&bed, &store).await;
    assert!(matches!(second.round(before).await.unwrap(), Round::Unchanged(_)), "it is as wrong as it was");
    assert_eq!(count_syncs(&store).await, 1);
    let mut third = reconciler(&bed, &store).await;
    assert!(matches!(third.round(after).await.unwrap(), Round::Recorded(_, News::Applied(_))));
}

#[tokio::test]
async fn nothing_is_put_right_while_the_syncs_rest() {
    use almanac_reconciler::{intent::Deed, store::ActionRow};
    let bed = written();
    bed.commit("everything");
    let store = Store::open(&bed.settings().database).await.unwrap();
    let mut reconciler = reconciler(&bed, &store).await;
    reconciler.round(clock::now()).await.unwrap();
    let act = async |deed| {
        let action = ActionRow {
            id: 0,
            at: clock::now(),
            actor: "alice".to_owned(),
            deed,
            commit: String::new(),
            reason: "by hand".to_owned(),
            until: None,
            sync: None,
        };
        store.act(&action).await.unwrap();
    };
    act(Deed::Suspend).await;
    sqlx::query("DELETE FROM jobs WHERE name = 'ping'").execute(store.pool()).await.unwrap();
    assert!(reconciler.put_right(clock::now()).await.unwrap().is_none());
    act(Deed::Resume).await;
    assert!(reconciler.put_right(clock::now()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_when_the_database_was_put_right() {
    let mut bed = written();
    let commit = bed.commit("everything");
    let mut settings = bed.serve_settings();
    settings.intervals.drift = Duration::from_millis(100);
    bed.start_with(settings).await;
    bed.applied(&commit).await;
    let mut london = bed.watch("london-01").await;
    let before = snapshot(&mut london).await;
    let store = Store::open(&bed.settings().database).await.unwrap();
    sqlx::query("UPDATE jobs SET deleted_at = 1 WHERE name = 'ping'").execute(store.pool()).await.unwrap();
    let after = snapshot(&mut london).await;
    assert!(after.generation > before.generation);
    assert_eq!(after.assignments[0].job_spec, before.assignments[0].job_spec);
    let latest: v1::Sync = bed.latest().await.unwrap().sync.unwrap();
    assert_eq!((latest.cause.as_str(), latest.commit), ("drift", commit));
}
