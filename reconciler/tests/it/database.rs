//! Databases that cannot be used.

use almanac_reconciler::{
    config::Settings,
    once::sync_once,
    store::{OpenError, Store},
};

use crate::bed::Bed;

/// Adds a migration that no program knows.
pub(crate) async fn add_migration(store: &Store) {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         SELECT 9999, 'later', installed_on, success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .execute(store.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let bed = Bed::new();
    let address = bed.settings().database;
    let store = Store::open(&address).await.unwrap();
    add_migration(&store).await;
    store.close().await;
    let error = Store::open(&address).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { version: 9999, .. }), "{error}");
    assert!(error.to_string().contains("almanac"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_said_to_be_read_only() {
    let bed = Bed::new_on_sqlite();
    bed.commit("users and nodes");
    sync_once(&bed.settings()).await.unwrap();
    let database = format!("{}?mode=ro", bed.settings().database);
    let error = sync_once(&Settings { database: database.into(), ..bed.settings() }).await.unwrap_err();
    assert!(error.to_string().contains("is read-only"), "{error}");
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let bed = Bed::new();
    let path = bed.path().join("note.txt");
    std::fs::write(&path, "this is not a database, and it is longer than its header").unwrap();
    let error = Store::open(&format!("sqlite://{}", path.display())).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase(_)), "{error}");
    let error =
        Store::open(&format!("sqlite://{}", bed.path().join("no/such.db").display())).await.unwrap_err();
    assert!(matches!(error, OpenError::Open(..)), "{error}");
    for address in ["mysql://localhost/a", "sqlite://:memory:", "sqlite://", "almanac.db"] {
        assert!(matches!(Store::open(address).await, Err(OpenError::Address(_))), "{address}");
    }
}

/// Each database is its own epoch, for as long as it lives.
#[tokio::test]
async fn an_epoch_is_made_once() {
    let (one, other) = (Bed::new(), Bed::new());
    let epoch = async |bed: &Bed| {
        Store::open(&bed.settings().database).await.unwrap().load().await.unwrap().applied.epoch
    };
    assert_eq!(epoch(&one).await, epoch(&one).await);
    assert_ne!(epoch(&one).await, epoch(&other).await);
}
