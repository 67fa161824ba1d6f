//! Events that the reconciler has not acknowledged, in the order in which they happened.

use prost::Message;

use almanac_proto::v1;

use super::{Journal, JournalError};

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
        rows.into_iter()
            .map(|(id, encoded)| match v1::RunEvent::decode(encoded.as_slice()) {
                Ok(event) => Ok(PendingEvent { id, event }),
                Err(error) => Err(JournalError::row(format!("event {id}"), error)),
            })
            .collect()
    }

    /// Removes the events up to one that the reconciler has recorded: files that waited for them may go.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then they are reported again, which does no harm.
    pub async fn acknowledge(&self, last: i64) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("DELETE FROM events WHERE id <= $1").bind(last).execute(&mut *transaction).await?;
        super::uploads::release(&mut transaction, last).await?;
        transaction.commit().await?;
        Ok(())
    }
}
