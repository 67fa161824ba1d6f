//! Files that the reconciler does not have yet.

use chrono::{DateTime, Utc};
use sqlx::{Sqlite, Transaction};

use almanac_proto::limits;

use crate::run::{Order, RunKey, Transition};

use super::{Journal, JournalError, runs, to_micros};

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

/// Which files go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Those that come with their announcement.
    Small,
    /// All others.
    Large,
}

impl Lane {
    /// The lane of a file.
    pub const fn of(size: u64) -> Self {
        if size <= limits::MAX_CONTENT as u64 { Self::Small } else { Self::Large }
    }

    /// The condition of the lane's index, word for word; otherwise SQLite does not use it.
    const fn condition(self) -> &'static str {
        const { assert!(limits::MAX_CONTENT == 65536, "the indices of the migration say so") };
        match self {
            Self::Small => "awaits IS NULL AND size <= 65536",
            Self::Large => "awaits IS NULL AND size > 65536",
        }
    }
}

/// Why a file is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It is not one that the reconciler takes, or it is not there any more.
    Refused,
    /// There was no more room for it. That is remembered.
    Dropped,
}

type Columns = (i64, String, String, String, i64, Vec<u8>);

impl Journal {
    /// The next files to upload, at most so many: of runs whose events are all reported, so that the
    /// reconciler knows whose they are; those that failed least first, so that none holds up the others.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn next_uploads(&self, lane: Lane, most: usize) -> Result<Vec<PendingUpload>, JournalError> {
        let query = format!(
            "SELECT id, run, role, name, size, sha256 FROM uploads WHERE {} ORDER BY attempts, id LIMIT $1",
            lane.condition()
        );
        let rows: Vec<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(pending).collect()
    }

    /// All files that wait, those of the oldest runs first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn waiting_uploads(&self) -> Result<Vec<PendingUpload>, JournalError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT u.id, u.run, u.role, u.name, u.size, u.sha256 FROM uploads u
             JOIN runs r ON r.run = u.run AND r.role = u.role ORDER BY r.scheduled_at, u.id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(pending).collect()
    }

    /// How many bytes wait.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn waiting_bytes(&self) -> Result<u64, JournalError> {
        let (bytes,): (i64,) =
            sqlx::query_as("SELECT coalesce(sum(size), 0) FROM uploads").fetch_one(&self.pool).await?;
        Ok(bytes.cast_unsigned())
    }

    /// Removes a file from the queue that the reconciler has. Returns whether its run has no other.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then it is uploaded again, which does no harm.
    pub async fn end_upload(&self, upload: &PendingUpload) -> Result<bool, JournalError> {
        let mut transaction = self.pool.begin().await?;
        remove(&mut transaction, upload.id).await?;
        let (others,): (i64,) = sqlx::query_as("SELECT count(*) FROM uploads WHERE run = $1 AND role = $2")
            .bind(upload.key.id.to_string())
            .bind(upload.key.role.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(others == 0)
    }

    /// Removes a file from the queue that the reconciler will never have, and records what that makes of its run.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then nothing is recorded.
    pub async fn give_up_upload(
        &self,
        upload: &PendingUpload,
        why: GivenUp,
        run: Option<(&Order, &Transition)>,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let (run_id, role) = (upload.key.id.to_string(), upload.key.role.as_str());
        let mut transaction = self.pool.begin().await?;
        remove(&mut transaction, upload.id).await?;
        if let Some((order, transition)) = run {
            runs::put(&mut transaction, order, transition, now).await?;
        }
        if why == GivenUp::Dropped {
            sqlx::query(
                "INSERT INTO losses (run, role, name, size, lost_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
            )
            .bind(run_id)
            .bind(role)
            .bind(&upload.file.name)
            .bind(upload.file.size.cast_signed())
            .bind(to_micros(now))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
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
        "INSERT INTO uploads (run, role, name, size, sha256, awaits)
         VALUES ($1, $2, $3, $4, $5, (SELECT max(id) FROM events WHERE run = $1 AND role = $2))
         ON CONFLICT DO NOTHING",
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

/// Lets those files go that waited for no event after this one.
pub(super) async fn release(
    transaction: &mut Transaction<'_, Sqlite>,
    last: i64,
) -> Result<(), JournalError> {
    sqlx::query("UPDATE uploads SET awaits = NULL WHERE awaits <= $1")
        .bind(last)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn remove(transaction: &mut Transaction<'_, Sqlite>, id: i64) -> Result<(), JournalError> {
    sqlx::query("DELETE FROM uploads WHERE id = $1").bind(id).execute(&mut **transaction).await?;
    Ok(())
}

fn pending((id, run, role, name, size, sha256): Columns) -> Result<PendingUpload, JournalError> {
    let sha256 =
        sha256.try_into().map_err(|_| JournalError::row(format!("upload {id}"), "a SHA-256 has 32 bytes"))?;
    let file = UploadFile { name, size: size.cast_unsigned(), sha256 };
    Ok(PendingUpload { id, key: runs::key(&run, &role)?, file })
}
