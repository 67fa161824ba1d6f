//! Uploads under way and stored files.

use almanac_schemas::{RunId, RunRole};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError, instant, micros, testbed::word};

/// A file of a run that is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub id: Uuid,
    /// The run.
    pub run: RunId,
    /// Which of the job's containers.
    pub role: RunRole,
    /// The file's name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// When it was announced.
    pub begun_at: DateTime<Utc>,
}

/// A file of a run that is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRow {
    /// The run.
    pub run: RunId,
    /// Which of the job's containers.
    pub role: RunRole,
    /// The file's name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// The store that it is in.
    pub store: String,
    /// Its path there.
    pub path: String,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
}

type UploadColumns = (String, String, String, String, i64, String, i64);
type ArtifactColumns = (String, String, String, i64, String, String, String, i64);

impl TryFrom<UploadColumns> for UploadRow {
    type Error = StoreError;

    fn try_from(row: UploadColumns) -> Result<Self, StoreError> {
        let (id, run, role, name, size, sha256, begun_at) = row;
        Ok(Self {
            id: word("upload id", &id)?,
            run: word("run id", &run)?,
            role: word("role", &role)?,
            name,
            size: size.cast_unsigned(),
            sha256,
            begun_at: instant(begun_at),
        })
    }
}

impl TryFrom<ArtifactColumns> for ArtifactRow {
    type Error = StoreError;

    fn try_from(row: ArtifactColumns) -> Result<Self, StoreError> {
        let (run, role, name, size, sha256, store, path, stored_at) = row;
        Ok(Self {
            run: word("run id", &run)?,
            role: word("role", &role)?,
            name,
            size: size.cast_unsigned(),
            sha256,
            store,
            path,
            stored_at: instant(stored_at),
        })
    }
}

impl Store {
    /// Announces a file, in place of an earlier announcement of the same file.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn put_upload(&self, row: &UploadRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO uploads (id, run_id, role, name, size, sha256, begun_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (run_id, role, name) DO UPDATE
             SET id = excluded.id, size = excluded.size, sha256 = excluded.sha256,
                 begun_at = excluded.begun_at",
        )
        .bind(row.id.to_string())
        .bind(row.run.to_string())
        .bind(row.role.as_str())
        .bind(&row.name)
        .bind(row.size.cast_signed())
        .bind(&row.sha256)
        .bind(micros(row.begun_at))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// An announced file by its id.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn upload(&self, id: Uuid) -> Result<Option<UploadRow>, StoreError> {
        let row: Option<UploadColumns> = sqlx::query_as(
            "SELECT id, run_id, role, name, size, sha256, begun_at FROM uploads WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(UploadRow::try_from).transpose()
    }

    /// An announced file of a run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn upload_of(
        &self,
        run: RunId,
        role: RunRole,
        name: &str,
    ) -> Result<Option<UploadRow>, StoreError> {
        let row: Option<UploadColumns> = sqlx::query_as(
            "SELECT id, run_id, role, name, size, sha256, begun_at FROM uploads
             WHERE run_id = $1 AND role = $2 AND name = $3",
        )
        .bind(run.to_string())
        .bind(role.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.map(UploadRow::try_from).transpose()
    }

    /// Records that a file is stored. Recording it twice is recording it once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn put_artifact(&self, row: &ArtifactRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO artifacts (run_id, role, name, size, sha256, store, path, stored_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id, role, name) DO NOTHING",
        )
        .bind(row.run.to_string())
        .bind(row.role.as_str())
        .bind(&row.name)
        .bind(row.size.cast_signed())
        .bind(&row.sha256)
        .bind(&row.store)
        .bind(&row.path)
        .bind(micros(row.stored_at))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The stored files of a run, in the order of roles and names.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn artifacts(&self, run: RunId) -> Result<Vec<ArtifactRow>, StoreError> {
        let rows: Vec<ArtifactColumns> = sqlx::query_as(
            "SELECT run_id, role, name, size, sha256, store, path, stored_at FROM artifacts
             WHERE run_id = $1 ORDER BY role, name",
        )
        .bind(run.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(ArtifactRow::try_from).collect()
    }

    /// A stored file of a run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn artifact(
        &self,
        run: RunId,
        role: RunRole,
        name: &str,
    ) -> Result<Option<ArtifactRow>, StoreError> {
        let row: Option<ArtifactColumns> = sqlx::query_as(
            "SELECT run_id, role, name, size, sha256, store, path, stored_at FROM artifacts
             WHERE run_id = $1 AND role = $2 AND name = $3",
        )
        .bind(run.to_string())
        .bind(role.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.map(ArtifactRow::try_from).transpose()
    }
}
