//! Syncs with their findings and changes.

use almanac_schemas::Kind;
use almanac_validate::{Finding, plan::Action};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, Sqlite, Transaction};

use super::{Store, StoreError, instant, micros};
use crate::source::Commit;

/// A recorded sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRow {
    /// Its number; it grows.
    pub id: i64,
    /// The commit that was looked at.
    pub commit: Commit,
    /// When looking began.
    pub started_at: DateTime<Utc>,
    /// When it was decided.
    pub ended_at: DateTime<Utc>,
    /// What came of it.
    pub outcome: SyncOutcome,
    /// The same for people.
    pub message: String,
    /// How many users, nodes, jobs and settings it added.
    pub added: u32,
    /// How many it changed.
    pub changed: u32,
    /// How many it removed.
    pub removed: u32,
    /// How many findings there are.
    pub findings: u32,
}

/// What came of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncOutcome {
    /// The commit is in force.
    Applied,
    /// The commit has errors; what was in force before still is.
    Rejected,
}

impl SyncOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
        }
    }
}

/// A recorded finding.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
#[expect(missing_docs, reason = "as in `almanac_validate::Finding`")]
pub struct FindingRow {
    pub rule: String,
    pub severity: String,
    pub message: String,
    pub file: String,
    pub line: u32,
    #[sqlx(rename = "col")]
    pub column: u32,
    pub end_line: u32,
    #[sqlx(rename = "end_col")]
    pub end_column: u32,
    pub help: String,
}

/// A recorded change of a user, node, job or of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Of what.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What was done.
    pub action: Action,
    /// Labels and spec in JSON before; empty where there was nothing.
    pub before: String,
    /// Labels and spec in JSON after; empty where there is nothing any more.
    pub after: String,
}

#[derive(FromRow)]
struct Columns {
    id: i64,
    commit_id: String,
    author: String,
    subject: String,
    committed_at: i64,
    started_at: i64,
    ended_at: i64,
    outcome: String,
    message: String,
    added: u32,
    changed: u32,
    removed: u32,
    findings: u32,
}

impl From<Columns> for SyncRow {
    fn from(row: Columns) -> Self {
        Self {
            id: row.id,
            commit: Commit {
                id: row.commit_id,
                author: row.author,
                subject: row.subject,
                committed_at: instant(row.committed_at),
            },
            started_at: instant(row.started_at),
            ended_at: instant(row.ended_at),
            outcome: if row.outcome == SyncOutcome::Applied.as_str() {
                SyncOutcome::Applied
            } else {
                SyncOutcome::Rejected
            },
            message: row.message,
            added: row.added,
            changed: row.changed,
            removed: row.removed,
            findings: row.findings,
        }
    }
}

impl Store {
    /// The latest sync of all.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn latest_sync(&self) -> Result<Option<SyncRow>, StoreError> {
        let row: Option<Columns> =
            sqlx::query_as("SELECT * FROM syncs ORDER BY id DESC LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(row.map(SyncRow::from))
    }

    /// The sync that put in force what is in force.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn applied_sync(&self) -> Result<Option<SyncRow>, StoreError> {
        let row: Option<Columns> =
            sqlx::query_as("SELECT * FROM syncs WHERE outcome = 'applied' ORDER BY id DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(SyncRow::from))
    }

    /// Syncs before a given one, the latest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn syncs(&self, before: Option<i64>, limit: u32) -> Result<Vec<SyncRow>, StoreError> {
        let rows: Vec<Columns> =
            sqlx::query_as("SELECT * FROM syncs WHERE id < $1 ORDER BY id DESC LIMIT $2")
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(SyncRow::from).collect())
    }

    /// A sync by its number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sync(&self, id: i64) -> Result<Option<SyncRow>, StoreError> {
        let row: Option<Columns> =
            sqlx::query_as("SELECT * FROM syncs WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        Ok(row.map(SyncRow::from))
    }

    /// The latest sync of each commit whose hash starts with a prefix, for at most two commits: a
    /// second one says that the prefix is ambiguous.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn syncs_of_commit(&self, prefix: &str) -> Result<Vec<SyncRow>, StoreError> {
        // Hashes are lower-case hexadecimal, and `g` follows every such digit.
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT * FROM syncs WHERE id IN
               (SELECT MAX(id) FROM syncs WHERE commit_id >= $1 AND commit_id < $1 || 'g' GROUP BY commit_id)
             ORDER BY id DESC LIMIT 2",
        )
        .bind(prefix)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(SyncRow::from).collect())
    }

    /// The findings of a sync, in the order of files and lines.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn findings(&self, sync: i64) -> Result<Vec<FindingRow>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT rule, severity, message, file, line, col, end_line, end_col, help
             FROM findings WHERE sync_id = $1 ORDER BY position",
        )
        .bind(sync)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// The changes of a sync.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn changes(&self, sync: i64) -> Result<Vec<ChangeRow>, StoreError> {
        let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(
            "SELECT kind, name, action, before_json, after_json
             FROM changes WHERE sync_id = $1 ORDER BY position",
        )
        .bind(sync)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(kind, name, action, before, after)| {
                let json = |word: &str| serde_json::Value::from(word);
                Ok(ChangeRow {
                    kind: serde_json::from_value(json(&kind)).map_err(StoreError::value("kind", &kind))?,
                    action: Action::from_word(&action).map_err(StoreError::value("action", &action))?,
                    name,
                    before,
                    after,
                })
            })
            .collect()
    }

    /// Records a commit with errors.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing is recorded.
    pub async fn reject(&self, sync: &SyncRow, findings: &[Finding]) -> Result<i64, StoreError> {
        let mut change = self.write().await?;
        let id = insert(&mut change, sync).await?;
        insert_findings(&mut change, id, findings).await?;
        change.commit().await?;
        Ok(id)
    }
}

/// Inserts a sync, whatever its `id` says, and returns the id that it got.
pub(super) async fn insert(
    change: &mut Transaction<'static, Sqlite>,
    sync: &SyncRow,
) -> Result<i64, StoreError> {
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO syncs (commit_id, author, subject, committed_at, started_at, ended_at, outcome, message,
                            added, changed, removed, findings)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id",
    )
    .bind(&sync.commit.id)
    .bind(&sync.commit.author)
    .bind(&sync.commit.subject)
    .bind(micros(sync.commit.committed_at))
    .bind(micros(sync.started_at))
    .bind(micros(sync.ended_at))
    .bind(sync.outcome.as_str())
    .bind(&sync.message)
    .bind(sync.added)
    .bind(sync.changed)
    .bind(sync.removed)
    .bind(sync.findings)
    .fetch_one(&mut **change)
    .await?;
    Ok(id)
}

pub(super) async fn insert_findings(
    change: &mut Transaction<'static, Sqlite>,
    sync: i64,
    findings: &[Finding],
) -> Result<(), StoreError> {
    for (position, finding) in (0_i64..).zip(findings) {
        let place = finding.location.as_ref();
        sqlx::query("INSERT INTO findings VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(sync)
            .bind(position)
            .bind(finding.rule.as_str())
            .bind(finding.severity.as_str())
            .bind(&finding.message)
            .bind(place.map_or("", |place| &place.file))
            .bind(place.map_or(0, |place| place.line))
            .bind(place.map_or(0, |place| place.column))
            .bind(place.map_or(0, |place| place.end_line))
            .bind(place.map_or(0, |place| place.end_column))
            .bind(finding.help.as_deref().unwrap_or_default())
            .execute(&mut **change)
            .await?;
    }
    Ok(())
}
