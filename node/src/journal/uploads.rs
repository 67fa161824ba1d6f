//! Files that the reconciler does not have yet.

use sqlx::{Sqlite, Transaction};

use crate::run::RunKey;

use super::{Journal, JournalError, runs};

/// A file of a run, as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFile {
    /// Its name, in the run's outbox folder and at the reconciler.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// A file that is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// Its place in the queue.
    pub id: i64,
    /// Whose file it is.
    pub key: RunKey,
    /// What it is.
    pub file: UploadFile,
}

impl Journal {
    /// The next file to upload: of a run whose events are all reported, so that the reconciler
    /// knows whose it is; those that failed least first, so that none holds up the others.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn next_upload(&self) -> Result<Option<PendingUpload>, JournalError> {
        let row: Option<(i64, String, String, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT id, run, role, name, size, sha256 FROM uploads u
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.run = u.run AND e.role = u.role)
             ORDER BY attempts, id LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some((id, run, role, name, size, sha256)) = row else { return Ok(None) };
        let sha256 = sha256
            .try_into()
            .map_err(|_| JournalError::row(format!("upload {id}"), "a SHA-256 has 32 bytes"))?;
        let file = UploadFile { name, size: size.cast_unsigned(), sha256 };
        Ok(Some(PendingUpload { id, key: runs::key(&run, &role)?, file }))
    }

    /// Removes a file from the queue: the reconciler has it, or will never take it.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then it is uploaded again, which does no harm.
    pub async fn end_upload(&self, id: i64) -> Result<(), JournalError> {
        sqlx::query("DELETE FROM uploads WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Moves a file back in the queue.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn postpone_upload(&self, id: i64) -> Result<(), JournalError> {
        sqlx::query("UPDATE uploads SET attempts = attempts + 1 WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Puts a file into the queue.
pub(super) async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    key: &RunKey,
    file: &UploadFile,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO uploads (run, role, name, size, sha256) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(key.id.to_string())
    .bind(key.role.as_str())
    .bind(&file.name)
    .bind(file.size.cast_signed())
    .bind(file.sha256.as_slice())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
