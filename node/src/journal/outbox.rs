//! Events that the reconciler has not acknowledged, in the order in which they happened.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use prost::Message;

use almanac_proto::v1;

use crate::run::RunKey;

use super::{Journal, JournalError};

/// How often it is noted up to where everything is reported. What lies after that is recorded as missed when the journal
/// is lost, which changes nothing where the reconciler knows better.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// An event of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingEvent {
    /// Its place in the outbox.
    pub id: i64,
    /// What is reported.
    pub event: v1::RunEvent,
}

impl Journal {
    /// The oldest events, at most so many.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn pending_events(&self, most: u32) -> Result<Vec<PendingEvent>, JournalError> {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT id, encoded FROM events ORDER BY id LIMIT $1")
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|(id, encoded)| Ok(PendingEvent { id, event: decode(id, &encoded)? })).collect()
    }

    /// Removes the events up to one that the reconciler has recorded: files that waited for them may go.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then they are reported again, which does no harm.
    pub async fn acknowledge(&self, last: i64) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await?;
        let reported: Vec<(String, String)> =
            sqlx::query_as("DELETE FROM events WHERE id <= $1 RETURNING run, role")
                .bind(last)
                .fetch_all(&mut *transaction)
                .await?;
        super::uploads::release(&mut transaction, last).await?;
        transaction.commit().await?;
        self.forget_notes(reported).await
    }

    /// Removes the notes of finished runs that are reported, and notes up to where everything is.
    async fn forget_notes(&self, reported: Vec<(String, String)>) -> Result<(), JournalError> {
        for (run, role) in BTreeSet::from_iter(reported) {
            let done: Option<(i64,)> = sqlx::query_as(
                "SELECT 1 FROM runs r WHERE run = $1 AND role = $2 AND stage = 'finished'
                 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.run = r.run AND e.role = r.role)",
            )
            .bind(&run)
            .bind(&role)
            .fetch_optional(&self.pool)
            .await?;
            if done.is_some() {
                self.notes.forget(&super::runs::key(&run, &role)?);
            }
        }
        let is_due = self
            .accounts_noted
            .lock()
            .is_ok_and(|noted| noted.is_none_or(|noted| noted.elapsed() >= NOTED_EVERY));
        if !is_due {
            return Ok(());
        }
        // In this order: what is settled in between is not counted as reported.
        let accounts = self.accounts().await?;
        let (waiting,): (i64,) = sqlx::query_as("SELECT count(*) FROM events").fetch_one(&self.pool).await?;
        if waiting == 0 && !accounts.is_empty() {
            self.notes.note_accounts(&accounts)?;
            if let Ok(mut noted) = self.accounts_noted.lock() {
                *noted = Some(Instant::now());
            }
        }
        Ok(())
    }

    pub(super) async fn has_events(&self, key: &RunKey) -> Result<bool, JournalError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM events WHERE run = $1 AND role = $2 LIMIT 1")
            .bind(key.id.to_string())
            .bind(key.role.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

/// Reads an event.
pub(super) fn decode(id: i64, encoded: &[u8]) -> Result<v1::RunEvent, JournalError> {
    v1::RunEvent::decode(encoded).map_err(|error| JournalError::row(format!("event {id}"), error))
}
