//! The latest snapshot of the desired state.

use chrono::{DateTime, Utc};
use prost::Message;
use sqlx::{Sqlite, Transaction};

use almanac_proto::v1;

use super::{Journal, JournalError, to_micros};

impl Journal {
    /// The latest snapshot, if there ever was one.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn snapshot(&self) -> Result<Option<v1::Snapshot>, JournalError> {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT encoded FROM snapshot WHERE id = 1").fetch_optional(&self.pool).await?;
        row.map(|(encoded,)| v1::Snapshot::decode(encoded.as_slice()))
            .transpose()
            .map_err(|error| JournalError::row("the snapshot", error))
    }

    /// Replaces the snapshot.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn store_snapshot(
        &self,
        snapshot: &v1::Snapshot,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await?;
        store(&mut transaction, snapshot, now).await?;
        transaction.commit().await?;
        self.notes.note_snapshot(snapshot)
    }

    /// Stores for how long the snapshot is valid, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub async fn renew_snapshot(
        &self,
        renewal: &v1::Renewal,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let Some(snapshot) = self.snapshot().await? else { return Ok(()) };
        let v1::Renewal { valid_until, server_time } = *renewal;
        self.store_snapshot(&v1::Snapshot { valid_until, server_time, ..snapshot }, now).await
    }
}

/// Replaces the snapshot.
pub(super) async fn store(
    transaction: &mut Transaction<'_, Sqlite>,
    snapshot: &v1::Snapshot,
    received_at: DateTime<Utc>,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO snapshot (id, epoch, generation, received_at, encoded) VALUES (1, $1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, generation = excluded.generation,
         received_at = excluded.received_at, encoded = excluded.encoded",
    )
    .bind(&snapshot.epoch)
    .bind(snapshot.generation.cast_signed())
    .bind(to_micros(received_at))
    .bind(snapshot.encode_to_vec())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
