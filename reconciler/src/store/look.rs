//! How the last look at the repository went, and the conditions of the repository.

use chrono::{DateTime, Utc};

use super::{Change, Store, StoreError, instant, lead, micros, outbox, put_setting, rows::text};
use crate::{conditions::Condition, hear::Heard, notify::Notice};

/// How the last look at the repository went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookRow {
    /// When it was; none before the first.
    pub at: Option<DateTime<Utc>>,
    /// When the last one was that went well.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
    /// The last question of another reconciler that it answers.
    pub answers: i64,
}

/// A condition of the repository, as it was recorded at its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionRow {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub status: bool,
    /// Why, in one word.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Store {
    /// How the last look went, by whichever reconciler.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn look(&self) -> Result<LookRow, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT value FROM settings WHERE name = 'look'")
            .fetch_optional(&self.pool)
            .await?;
        let Some((text,)) = row else { return Ok(LookRow::default()) };
        let (at, succeeded_at, error, answers): (Option<i64>, Option<i64>, Option<String>, i64) =
            serde_json::from_str(&text).map_err(StoreError::value("look", &text))?;
        Ok(LookRow { at: at.map(instant), succeeded_at: succeeded_at.map(instant), error, answers })
    }

    /// Records how a look went, and the conditions that changed by it with what is to be told about them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Deposed`] when another one leads since, and when the database fails; then nothing is recorded.
    pub async fn put_look(
        &self,
        look: &LookRow,
        changed: &[Condition],
        notices: &[Notice],
        term: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        lead::hold(&mut change, term).await?;
        let row = (look.at.map(micros), look.succeeded_at.map(micros), look.error.as_deref(), look.answers);
        let json = serde_json::to_string(&row).expect("numbers and text have a form in JSON");
        put_setting(&mut change, "look", json).await?;
        for condition in changed {
            put_condition(&mut change, condition).await?;
        }
        outbox::put(&mut change, notices, now).await?;
        self.engine.say(&mut change, Heard::Looked).await?;
        Ok(change.commit().await?)
    }

    /// The conditions of the repository as they were recorded.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn conditions(&self) -> Result<Vec<ConditionRow>, StoreError> {
        let rows: Vec<(String, i64, String, i64)> =
            sqlx::query_as("SELECT name, status, reason, since FROM conditions")
                .fetch_all(&self.pool)
                .await?;
        let row = |(name, status, reason, since)| ConditionRow {
            name,
            status: status != 0,
            reason,
            since: instant(since),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Asks whoever leads to look at the repository. Returns the number of the question, which a later
    /// [`LookRow::answers`] reaches.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn ask(&self) -> Result<i64, StoreError> {
        let mut change = self.write().await?;
        let (asked,): (String,) = sqlx::query_as(
            "INSERT INTO settings (name, value) VALUES ('asked', '1') ON CONFLICT (name) DO UPDATE
             SET value = CAST(CAST(settings.value AS BIGINT) + 1 AS TEXT) RETURNING value",
        )
        .fetch_one(&mut *change)
        .await?;
        self.engine.say(&mut change, Heard::Nudge).await?;
        change.commit().await?;
        asked.parse().map_err(StoreError::value("number of a question", &asked))
    }

    /// The number of the last question.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn asked(&self) -> Result<i64, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT value FROM settings WHERE name = 'asked'")
            .fetch_optional(&self.pool)
            .await?;
        let asked =
            row.map(|(asked,)| asked.parse().map_err(StoreError::value("number of a question", &asked)));
        Ok(asked.transpose()?.unwrap_or_default())
    }
}

async fn put_condition(change: &mut Change, condition: &Condition) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO conditions (name, status, reason, message, since) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE
         SET status = excluded.status, reason = excluded.reason, message = excluded.message,
             since = excluded.since",
    )
    .bind(condition.kind.as_str())
    .bind(i64::from(condition.status))
    .bind(condition.reason.as_str())
    .bind(text(&condition.message))
    .bind(micros(condition.since))
    .execute(&mut **change)
    .await?;
    Ok(())
}
