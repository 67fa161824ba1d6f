//! Opening the database, and bringing it to this program's version.

use std::{str::FromStr, time::Duration};

use sqlx::{
    SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

use super::{
    OpenError, Store, StoreError,
    error::{code, primary_code},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// One writes at a time, and reading is quick: more would only wait for each other.
const CONNECTIONS: u32 = 4;

/// How long a writer waits for another one, be it another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Store {
    /// Opens a database, such as `sqlite:///var/lib/almanac/almanac.db`. A file that does not exist
    /// is made; an older one is migrated.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, written or understood.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        let options = options(address)?;
        let path = options.get_filename().to_owned();
        let cannot = |error: sqlx::Error| match primary_code(&error) {
            Some(code::READ_ONLY) => OpenError::ReadOnly(path.clone()),
            Some(code::NOT_A_DATABASE) => OpenError::NotADatabase(path.clone()),
            _ => OpenError::Open(path.clone(), error),
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(cannot)?;
        MIGRATIONS.run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => OpenError::Newer { path: path.clone(), version },
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
                if primary_code(&error) == Some(code::READ_ONLY) =>
            {
                OpenError::ReadOnly(path.clone())
            }
            error => OpenError::Migrate(path.clone(), error),
        })?;
        let store = Self { pool, path };
        store.create_epoch().await.map_err(|error| match error {
            StoreError::ReadOnly(_) => OpenError::ReadOnly(store.path.clone()),
            error => OpenError::Use(store.path.clone(), error),
        })?;
        Ok(store)
    }

    /// The connections, for tests that look at the tables themselves.
    pub fn pool(&self) -> &SqlitePool {
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

fn options(address: &str) -> Result<SqliteConnectOptions, OpenError> {
    let wrong = || OpenError::Address(address.to_owned());
    if !address.starts_with("sqlite:") || address.contains(":memory:") {
        return Err(wrong());
    }
    let options = SqliteConnectOptions::from_str(address).map_err(|_| wrong())?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(wrong());
    }
    // Who says `?mode=ro` or `?mode=rw` does not want a file to be made.
    let create = !address.contains("mode=");
    Ok(if create { options.create_if_missing(true) } else { options }
        .journal_mode(SqliteJournalMode::Wal)
        // What an agent was told to be recorded must be there after a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT))
}
