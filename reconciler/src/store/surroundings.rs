//! What was fetched for nodes from services outside.

use super::{Store, StoreError, count, instant, micros, rows::text, testbed::word};
use crate::{
    hear::Heard,
    surroundings::{FetchRow, Source},
};

type Columns = (String, String, Option<i64>, String, i64, i64, i64, Option<i64>, String);

impl Store {
    /// How fetching each source stands, without what was fetched.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn fetches(&self) -> Result<Vec<FetchRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT source, origin, fetched_at, validator, tried_at, again_at, failures, failing_since, problem
             FROM surroundings",
        )
        .fetch_all(&self.pool)
        .await?;
        let row = |columns: Columns| {
            let (source, origin, fetched_at, validator, tried_at, again_at, failures, failing_since, problem) =
                columns;
            Ok(FetchRow {
                source: word("source", &source)?,
                origin,
                fetched_at: fetched_at.map(instant),
                // What another version wrote differently is fetched in full.
                validator: serde_json::from_str(&validator).unwrap_or_default(),
                tried_at: instant(tried_at),
                again_at: instant(again_at),
                failures: count(failures),
                failing_since: failing_since.map(instant),
                problem,
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// What was fetched from a source; nothing when nothing was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn fetched(&self, source: Source) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT content FROM surroundings WHERE source = $1 AND fetched_at IS NOT NULL")
                .bind(source.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(content,)| content))
    }

    /// Keeps how an attempt ended, with what is new.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing is kept.
    pub async fn put_fetch(&self, row: &FetchRow, content: Option<&[u8]>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        let validator = serde_json::to_string(&row.validator).expect("texts and numbers have a form in JSON");
        // Without something new, what there is stays with the instant at which it came.
        let query = if content.is_some() {
            "INSERT INTO surroundings (source, origin, fetched_at, validator, tried_at, again_at, failures, failing_since,
                                       problem, content)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (source) DO UPDATE
             SET origin = excluded.origin, validator = excluded.validator, tried_at = excluded.tried_at,
                 again_at = excluded.again_at, failures = excluded.failures, failing_since = excluded.failing_since,
                 problem = excluded.problem, fetched_at = excluded.fetched_at, content = excluded.content"
        } else {
            "INSERT INTO surroundings (source, origin, fetched_at, validator, tried_at, again_at, failures, failing_since,
                                       problem, content)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (source) DO UPDATE
             SET origin = excluded.origin, validator = excluded.validator, tried_at = excluded.tried_at,
                 again_at = excluded.again_at, failures = excluded.failures, failing_since = excluded.failing_since,
                 problem = excluded.problem"
        };
        sqlx::query(query)
            .bind(row.source.to_string())
            .bind(&row.origin)
            .bind(row.fetched_at.filter(|_| content.is_some()).map(micros))
            .bind(validator)
            .bind(micros(row.tried_at))
            .bind(micros(row.again_at))
            .bind(i64::from(row.failures))
            .bind(row.failing_since.map(micros))
            .bind(text(&row.problem))
            .bind(content.unwrap_or_default())
            .execute(&mut *change)
            .await?;
        self.engine.say(&mut change, Heard::Fetched).await?;
        Ok(change.commit().await?)
    }

    /// Forgets what nobody wants any more.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn forget_fetch(&self, source: Source) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM surroundings WHERE source = $1")
            .bind(source.to_string())
            .execute(&mut *change)
            .await?;
        self.engine.say(&mut change, Heard::Fetched).await?;
        Ok(change.commit().await?)
    }
}
