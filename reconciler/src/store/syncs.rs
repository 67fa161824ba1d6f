//! Syncs: what came of looking at commits.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Change, Store, StoreError, count, instant, micros, rows::text, testbed::word};
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
    /// Why it was looked at.
    pub cause: SyncCause,
    /// Whose signature the commit carries, where that was verified: a user, or the name of a trusted key.
    pub signer: Option<String>,
    /// Who let a large removal pass.
    pub approved_by: Option<String>,
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
    /// The commit removes so much that it waits for a human; what was in force before still is.
    Waiting,
}

/// Why a sync was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncCause {
    /// There was another commit to follow.
    Commit,
    /// The database differed from the commit in force.
    Drift,
}

/// A word that stands for no outcome or cause of a sync.
#[derive(Debug, thiserror::Error)]
#[error("expected {0}")]
pub struct SyncWordError(&'static str);

impl SyncOutcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Waiting => "waiting",
        }
    }
}

impl std::str::FromStr for SyncOutcome {
    type Err = SyncWordError;

    fn from_str(word: &str) -> Result<Self, SyncWordError> {
        [Self::Applied, Self::Rejected, Self::Waiting]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
            .ok_or(SyncWordError("`applied`, `rejected` or `waiting`"))
    }
}

impl SyncCause {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Drift => "drift",
        }
    }
}

impl std::str::FromStr for SyncCause {
    type Err = SyncWordError;

    fn from_str(word: &str) -> Result<Self, SyncWordError> {
        [Self::Commit, Self::Drift]
            .into_iter()
            .find(|cause| cause.as_str() == word)
            .ok_or(SyncWordError("`commit` or `drift`"))
    }
}

#[derive(FromRow)]
pub(super) struct Columns {
    id: i64,
    commit_id: String,
    author: String,
    subject: String,
    committed_at: i64,
    started_at: i64,
    ended_at: i64,
    outcome: String,
    message: String,
    added: i64,
    changed: i64,
    removed: i64,
    findings: i64,
    tree_id: String,
    signer: String,
    cause: String,
    approved_by: String,
}

impl TryFrom<Columns> for SyncRow {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self, StoreError> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self {
            id: row.id,
            commit: Commit {
                id: row.commit_id,
                tree: row.tree_id,
                author: row.author,
                subject: row.subject,
                committed_at: instant(row.committed_at),
            },
            started_at: instant(row.started_at),
            ended_at: instant(row.ended_at),
            cause: word("cause of a sync", &row.cause)?,
            signer: some(row.signer),
            approved_by: some(row.approved_by),
            outcome: word("outcome of a sync", &row.outcome)?,
            message: row.message,
            added: count(row.added),
            changed: count(row.changed),
            removed: count(row.removed),
            findings: count(row.findings),
        })
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
        row.map(SyncRow::try_from).transpose()
    }

    /// The latest sync that followed the repository.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn latest_commit_sync(&self) -> Result<Option<SyncRow>, StoreError> {
        let row: Option<Columns> =
            sqlx::query_as("SELECT * FROM syncs WHERE cause = 'commit' ORDER BY id DESC LIMIT 1")
                .fetch_optional(&self.pool)
                .await?;
        row.map(SyncRow::try_from).transpose()
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
        row.map(SyncRow::try_from).transpose()
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
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(SyncRow::try_from).collect()
    }

    /// A sync by its number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sync(&self, id: i64) -> Result<Option<SyncRow>, StoreError> {
        let row: Option<Columns> =
            sqlx::query_as("SELECT * FROM syncs WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        row.map(SyncRow::try_from).transpose()
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
        rows.into_iter().map(SyncRow::try_from).collect()
    }
}

/// Inserts a sync, whatever its `id` says, and returns the id that it got.
pub(super) async fn put(change: &mut Change, sync: &SyncRow) -> Result<i64, StoreError> {
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO syncs (commit_id, tree_id, author, subject, committed_at, started_at, ended_at, cause,
                            signer, approved_by, outcome, message, added, changed, removed, findings)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id",
    )
    .bind(&sync.commit.id)
    .bind(&sync.commit.tree)
    .bind(text(&sync.commit.author))
    .bind(text(&sync.commit.subject))
    .bind(micros(sync.commit.committed_at))
    .bind(micros(sync.started_at))
    .bind(micros(sync.ended_at))
    .bind(sync.cause.as_str())
    .bind(sync.signer.as_deref().unwrap_or_default())
    .bind(sync.approved_by.as_deref().unwrap_or_default())
    .bind(sync.outcome.as_str())
    .bind(text(&sync.message))
    .bind(i64::from(sync.added))
    .bind(i64::from(sync.changed))
    .bind(i64::from(sync.removed))
    .bind(i64::from(sync.findings))
    .fetch_one(&mut **change)
    .await?;
    Ok(id)
}
