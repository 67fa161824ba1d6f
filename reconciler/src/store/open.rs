//! Opening the database, and bringing it to this program's version.

use std::{io, sync::Arc, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection,
    any::{AnyPoolOptions, install_default_drivers},
    migrate::MigrateError,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Engine, OpenError, Store, StoreError,
    error::{Kind, kind},
    presence::Presence,
};

/// How long a call waits for a free connection. All may be taken by those who wait for a lock, which they do for up to
/// 10 s; a database that is away is not waited for as long ([`Store::unless_lost`]).
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take to say that it stands. One whose other end went away without a word never does,
/// and would be waited for as long as the operating system has patience, which is a quarter of an hour.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Store {
    /// Opens a database, such as `sqlite:///var/lib/almanac/almanac.db` or `postgres://host/almanac`. A
    /// file that does not exist is made; an older database is migrated.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, written or understood.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        let engine: Engine = address.parse()?;
        install_default_drivers();
        let options = engine.options().map_err(|error| OpenError::Open(engine.clone(), error))?;
        let cannot = |error: sqlx::Error| match kind(&error) {
            Kind::ReadOnly => OpenError::ReadOnly(engine.clone()),
            Kind::NotADatabase => OpenError::NotADatabase(engine.clone()),
            _ => OpenError::Open(engine.clone(), error),
        };
        // A pool would try again and again, and then say no more than that it took too long.
        let first = async {
            let mut connection = options.connect().await?;
            engine.prepare(&mut connection).await?;
            connection.close().await
        };
        first.await.map_err(cannot)?;
        let prepared = Arc::new(engine.clone());
        let pool = AnyPoolOptions::new()
            .max_connections(engine.connections())
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(stands(connection)))
            .after_release(|connection, _| Box::pin(stands(connection)))
            .after_connect(move |connection, _| {
                let engine = Arc::clone(&prepared);
                Box::pin(async move { engine.prepare(connection).await })
            })
            .connect_with(options)
            .await
            .map_err(cannot)?;
        engine.migrations().run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => OpenError::Newer { database: engine.clone(), version },
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
                if kind(&error) == Kind::ReadOnly =>
            {
                OpenError::ReadOnly(engine.clone())
            }
            error => OpenError::Migrate(engine.clone(), error),
        })?;
        let store = Self { pool, engine, presence: Presence::default() };
        store.create_epoch().await.map_err(|error| match error {
            StoreError::ReadOnly(_) => OpenError::ReadOnly(store.engine.clone()),
            error => OpenError::Use(store.engine.clone(), error),
        })?;
        Ok(store)
    }

    /// The connections, for tests that look at the tables themselves.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// An agent never compares generations of two databases: each has its own epoch, made once.
    async fn create_epoch(&self) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query("INSERT INTO settings (name, value) VALUES ('epoch', $1) ON CONFLICT (name) DO NOTHING")
            .bind(Uuid::new_v4().to_string())
            .execute(&mut *change)
            .await?;
        Ok(change.commit().await?)
    }
}

/// Whether a connection still stands. An error closes it for good.
async fn stands(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::from(io::Error::from(io::ErrorKind::TimedOut));
    timeout(PING_TIMEOUT, connection.ping()).await.map_err(late)??;
    Ok(true)
}
