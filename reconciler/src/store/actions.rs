//! What people did to the syncs.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, instant, lead, micros, rows::text, testbed::word};
use crate::intent::{Deed, Hold, Intent};

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRow {
    /// Its number, which the database gives; it grows.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub deed: Deed,
    /// The commit that it is about; empty for none.
    pub commit: String,
    /// Why.
    pub reason: String,
    /// Until when it holds; for good when absent.
    pub until: Option<DateTime<Utc>>,
    /// The sync that is approved; none for what is about none.
    pub sync: Option<i64>,
}

type Columns = (i64, i64, String, String, String, String, Option<i64>, Option<i64>);

impl TryFrom<Columns> for ActionRow {
    type Error = StoreError;

    fn try_from((id, at, actor, action, commit, reason, until, sync): Columns) -> Result<Self, StoreError> {
        let deed = word("action", &action)?;
        Ok(Self { id, at: instant(at), actor, deed, commit, reason, until: until.map(instant), sync })
    }
}

impl Store {
    /// Records what somebody did, whatever its `id` says. What was decided before it and is not in force when this returns will not be.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn act(&self, action: &ActionRow) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        lead::hold(&mut change, None).await?;
        sqlx::query(
            "INSERT INTO actions (at, actor, action, commit_id, reason, until, sync_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(micros(action.at))
        .bind(&action.actor)
        .bind(action.deed.as_str())
        .bind(&action.commit)
        .bind(text(&action.reason))
        .bind(action.until.map(micros))
        .bind(action.sync)
        .execute(&mut *change)
        .await?;
        Ok(change.commit().await?)
    }

    /// What people want of the syncs, expired or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn intent(&self) -> Result<Intent, StoreError> {
        let suspended = self.latest_of(Deed::Suspend, Deed::Resume).await?;
        let pinned = self.latest_of(Deed::Pin, Deed::Unpin).await?;
        let hold =
            |action: Option<ActionRow>, deed| action.filter(|action| action.deed == deed).map(Hold::from);
        Ok(Intent { suspended: hold(suspended, Deed::Suspend), pinned: hold(pinned, Deed::Pin) })
    }

    /// Who approved a sync that waits, if anybody did. A commit that waits once more is approved once more: what
    /// it removes may be something else by then.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn approver(&self, sync: i64) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT actor FROM actions WHERE action = 'approve' AND sync_id = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(sync)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(actor,)| actor))
    }

    /// The number of what somebody did last.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn latest_action(&self) -> Result<Option<i64>, StoreError> {
        let (latest,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(id) FROM actions").fetch_one(&self.pool).await?;
        Ok(latest)
    }

    /// What people did before a given action, the latest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn actions(&self, before: Option<i64>, limit: u32) -> Result<Vec<ActionRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT id, at, actor, action, commit_id, reason, until, sync_id FROM actions
             WHERE id < $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(ActionRow::try_from).collect()
    }

    async fn latest_of(&self, on: Deed, off: Deed) -> Result<Option<ActionRow>, StoreError> {
        let row: Option<Columns> = sqlx::query_as(
            "SELECT id, at, actor, action, commit_id, reason, until, sync_id FROM actions
             WHERE action = $1 OR action = $2 ORDER BY id DESC LIMIT 1",
        )
        .bind(on.as_str())
        .bind(off.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.map(ActionRow::try_from).transpose()
    }
}
