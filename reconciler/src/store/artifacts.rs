//! Uploads under way and stored files.

use almanac_schemas::{Duration, RunId, RunRole};
use chrono::{DateTime, Utc};
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};
use uuid::Uuid;

use super::{Change, Store, StoreError, instant, micros, testbed::word};

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
    /// When it was announced, or a part of it was last sent to the store itself.
    pub active_at: DateTime<Utc>,
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
    /// Set when its retention was over; then it is not in the store any more, or will soon not be.
    pub expired: Option<Expired>,
}

/// The end of a file's retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// How long the file was to be kept then.
    pub kept_for: Duration,
}

/// The columns of a file, in the order in which they are read.
pub(super) const ARTIFACT: &str =
    "run_id, role, name, size, sha256, store, path, stored_at, expired_at, kept_for";

/// The columns of an upload, in the order in which they are read.
const UPLOAD: &str = "id, run_id, role, name, size, sha256, active_at, store, path, multipart";

type UploadColumns = (String, String, String, String, i64, String, i64, String, String, String);
pub(super) type ArtifactColumns =
    (String, String, String, i64, String, String, String, i64, Option<i64>, Option<i64>);

impl TryFrom<UploadColumns> for UploadRow {
    type Error = StoreError;

    fn try_from(row: UploadColumns) -> Result<Self, StoreError> {
        let (id, run, role, name, size, sha256, active_at, store, path, multipart) = row;
        Ok(Self {
            id: word("upload id", &id)?,
            run: word("run id", &run)?,
            role: word("role", &role)?,
            name,
            size: size.cast_unsigned(),
            sha256,
            active_at: instant(active_at),
            direct: (!store.is_empty()).then_some(DirectRow { store, path, multipart }),
        })
    }
}

impl TryFrom<ArtifactColumns> for ArtifactRow {
    type Error = StoreError;

    fn try_from(row: ArtifactColumns) -> Result<Self, StoreError> {
        let (run, role, name, size, sha256, store, path, stored_at, expired_at, kept_for) = row;
        let kept_for = Duration::from_secs(kept_for.unwrap_or_default().cast_unsigned());
        Ok(Self {
            run: word("run id", &run)?,
            role: word("role", &role)?,
            name,
            size: size.cast_unsigned(),
            sha256,
            store,
            path,
            stored_at: instant(stored_at),
            expired: expired_at.map(|at| Expired { at: instant(at), kept_for }),
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
            "INSERT INTO uploads (id, run_id, role, name, size, sha256, active_at, store, path, multipart)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (run_id, role, name) DO UPDATE
             SET id = excluded.id, size = excluded.size, sha256 = excluded.sha256,
                 active_at = excluded.active_at, store = excluded.store, path = excluded.path,
                 multipart = excluded.multipart",
        )
        .bind(row.id.to_string())
        .bind(row.run.to_string())
        .bind(row.role.as_str())
        .bind(&row.name)
        .bind(row.size.cast_signed())
        .bind(&row.sha256)
        .bind(micros(row.active_at))
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
        let row: Option<UploadColumns> =
            sqlx::query_as(AssertSqlSafe(format!("SELECT {UPLOAD} FROM uploads WHERE id = $1")))
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
        let row: Option<UploadColumns> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {UPLOAD} FROM uploads WHERE run_id = $1 AND role = $2 AND name = $3"
        )))
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
        forget(&mut change, id).await?;
        Ok(change.commit().await?)
    }

    /// Forgets an announced file that nobody has gone on with since an instant, with its parts. Says whether it did.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn forget_resting_upload(&self, id: Uuid, since: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut change = self.write().await?;
        let forgotten = sqlx::query("DELETE FROM uploads WHERE id = $1 AND active_at < $2")
            .bind(id.to_string())
            .bind(micros(since))
            .execute(&mut *change)
            .await?
            .rows_affected()
            > 0;
        if forgotten {
            let forget = sqlx::query("DELETE FROM upload_parts WHERE upload_id = $1").bind(id.to_string());
            forget.execute(&mut *change).await?;
        }
        change.commit().await?;
        Ok(forgotten)
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
    pub async fn put_part(&self, id: Uuid, part: &PartRow, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE uploads SET active_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(micros(now))
            .execute(&mut *change)
            .await?;
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
        .execute(&mut *change)
        .await?;
        Ok(change.commit().await?)
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
        insert(row).execute(&self.pool).await?;
        Ok(())
    }

    /// Records that an announced file is stored, unless its announcement is forgotten. Says whether it did. Of this and
    /// [`Store::forget_unless_stored`], at whichever replicas, one comes first, and the other one does nothing.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing has changed.
    pub async fn put_uploaded(&self, upload: Uuid, row: &ArtifactRow) -> Result<bool, StoreError> {
        let mut change = self.write().await?;
        if !hold(&mut change, upload).await? {
            return Ok(false);
        }
        insert(row).execute(&mut *change).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Forgets an announced file with its parts, unless it is stored. Says whether it did.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing has changed.
    pub async fn forget_unless_stored(&self, upload: &UploadRow) -> Result<bool, StoreError> {
        let mut change = self.write().await?;
        let held = hold(&mut change, upload.id).await?;
        let (stored,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM artifacts WHERE run_id = $1 AND role = $2 AND name = $3")
                .bind(upload.run.to_string())
                .bind(upload.role.as_str())
                .bind(&upload.name)
                .fetch_one(&mut *change)
                .await?;
        if !held || stored > 0 {
            return Ok(false);
        }
        forget(&mut change, upload.id).await?;
        change.commit().await?;
        Ok(true)
    }

    /// The stored files of a run, in the order of roles and names.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn artifacts(&self, run: RunId) -> Result<Vec<ArtifactRow>, StoreError> {
        let rows: Vec<ArtifactColumns> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {ARTIFACT} FROM artifacts WHERE run_id = $1 ORDER BY role, name"
        )))
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
        let row: Option<ArtifactColumns> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {ARTIFACT} FROM artifacts WHERE run_id = $1 AND role = $2 AND name = $3"
        )))
        .bind(run.to_string())
        .bind(role.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.map(ArtifactRow::try_from).transpose()
    }
}

/// Holds an announced file to the end of a change: of two that are about it, the later one sees what the other did. `false`
/// where it is forgotten.
async fn hold(change: &mut Change, upload: Uuid) -> Result<bool, StoreError> {
    let held = sqlx::query("UPDATE uploads SET active_at = active_at WHERE id = $1").bind(upload.to_string());
    Ok(held.execute(&mut **change).await?.rows_affected() > 0)
}

async fn forget(change: &mut Change, upload: Uuid) -> Result<(), StoreError> {
    for statement in ["DELETE FROM upload_parts WHERE upload_id = $1", "DELETE FROM uploads WHERE id = $1"] {
        sqlx::query(statement).bind(upload.to_string()).execute(&mut **change).await?;
    }
    Ok(())
}

fn insert(row: &ArtifactRow) -> Query<'_, Any, AnyArguments> {
    sqlx::query(
        "INSERT INTO artifacts (run_id, role, name, size, sha256, store, path, stored_at, job)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
                 COALESCE((SELECT job FROM runs WHERE id = $1 AND role = $2), ''))
         ON CONFLICT (run_id, role, name) DO NOTHING",
    )
    .bind(row.run.to_string())
    .bind(row.role.as_str())
    .bind(&row.name)
    .bind(row.size.cast_signed())
    .bind(&row.sha256)
    .bind(&row.store)
    .bind(&row.path)
    .bind(micros(row.stored_at))
}
