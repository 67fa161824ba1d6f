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
    /// Where it goes by itself; absent for one that goes through the reconciler.
    pub direct: Option<DirectRow>,
}

/// Where a file goes that a node sends to the store itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectRow {
    /// The store.
    pub store: String,
    /// Where the file is to lie in it.
    pub path: String,
    /// What the store calls the upload; empty where it does not.
    pub multipart: String,
}

/// A part of such a file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// What the store calls its content; empty where it does not say.
    pub etag: String,
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

type UploadColumns = (String, String, String, String, i64, String, i64, String, String, String);
type ArtifactColumns = (String, String, String, i64, String, String, String, i64);

impl TryFrom<UploadColumns> for UploadRow {
    type Error = StoreError;

    fn try_from(row: UploadColumns) -> Result<Self, StoreError> {
        let (id, run, role, name, size, sha256, begun_at, store, path, multipart) = row;
        Ok(Self {
            id: word("upload id", &id)?,
            run: word("run id", &run)?,
            role: word("role", &role)?,
            name,
            size: size.cast_unsigned(),
            sha256,
            begun_at: instant(begun_at),
            direct: (!store.is_empty()).then_some(DirectRow { store, path, multipart }),
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
        let DirectRow { store, path, multipart } = match &row.direct {
            Some(direct) => direct,
            None => &DirectRow { store: String::new(), path: String::new(), multipart: String::new() },
        };
        let mut change = self.write().await?;
        sqlx::query(
            "DELETE FROM upload_parts WHERE upload_id IN
             (SELECT id FROM uploads WHERE run_id = $1 AND role = $2 AND name = $3)",
        )
        .bind(row.run.to_string())
        .bind(row.role.as_str())
        .bind(&row.name)
        .execute(&mut *change)
        .await?;
        sqlx::query(
            "INSERT INTO uploads (id, run_id, role, name, size, sha256, begun_at, store, path, multipart)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (run_id, role, name) DO UPDATE
             SET id = excluded.id, size = excluded.size, sha256 = excluded.sha256,
                 begun_at = excluded.begun_at, store = excluded.store, path = excluded.path,
                 multipart = excluded.multipart",
        )
        .bind(row.id.to_string())
        .bind(row.run.to_string())
        .bind(row.role.as_str())
        .bind(&row.name)
        .bind(row.size.cast_signed())
        .bind(&row.sha256)
        .bind(micros(row.begun_at))
        .bind(store)
        .bind(path)
        .bind(multipart)
        .execute(&mut *change)
        .await?;
        Ok(change.commit().await?)
    }

    /// An announced file by its id.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn upload(&self, id: Uuid) -> Result<Option<UploadRow>, StoreError> {
        let row: Option<UploadColumns> = sqlx::query_as(
            "SELECT id, run_id, role, name, size, sha256, begun_at, store, path, multipart FROM uploads
             WHERE id = $1",
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
            "SELECT id, run_id, role, name, size, sha256, begun_at, store, path, multipart FROM uploads
             WHERE run_id = $1 AND role = $2 AND name = $3",
        )
        .bind(run.to_string())
        .bind(role.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.map(UploadRow::try_from).transpose()
    }

    /// Forgets an announced file, with its parts.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn forget_upload(&self, id: Uuid) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        for statement in
            ["DELETE FROM upload_parts WHERE upload_id = $1", "DELETE FROM uploads WHERE id = $1"]
        {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *change).await?;
        }
        Ok(change.commit().await?)
    }

    /// Forgets the parts of a file that is stored.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn forget_parts(&self, id: Uuid) -> Result<(), StoreError> {
        let forget = sqlx::query("DELETE FROM upload_parts WHERE upload_id = $1").bind(id.to_string());
        forget.execute(&self.pool).await?;
        Ok(())
    }

    /// Records a part that is there, unless it does not follow those that are. Recording it twice is recording it once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn put_part(&self, id: Uuid, part: &PartRow) -> Result<(), StoreError> {
        // Two calls with the same part, at two replicas, have the same number.
        sqlx::query(
            "INSERT INTO upload_parts (upload_id, number, start, length, etag)
             SELECT id, (SELECT COUNT(*) FROM upload_parts WHERE upload_id = $1) + 1, $2, $3, $4 FROM uploads
             WHERE id = $1 AND $2 =
             (SELECT COALESCE(MAX(start + length), 0) FROM upload_parts WHERE upload_id = $1)
             ON CONFLICT (upload_id, number) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(part.start.cast_signed())
        .bind(part.length.cast_signed())
        .bind(&part.etag)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many parts of a file are there, and how many bytes they have together.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn arrived(&self, id: Uuid) -> Result<(u64, u64), StoreError> {
        let (count, bytes): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), COALESCE(MAX(start + length), 0) FROM upload_parts WHERE upload_id = $1",
        )
        .bind(id.to_string())
        .fetch_one(&self.pool)
        .await?;
        Ok((count.cast_unsigned(), bytes.cast_unsigned()))
    }

    /// The parts of a file that are there, in their order: 50,000 at most.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn parts(&self, id: Uuid) -> Result<Vec<PartRow>, StoreError> {
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT start, length, etag FROM upload_parts WHERE upload_id = $1 ORDER BY number",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await?;
        let row = |(start, length, etag): (i64, i64, String)| PartRow {
            start: start.cast_unsigned(),
            length: length.cast_unsigned(),
            etag,
        };
        Ok(rows.into_iter().map(row).collect())
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
