//! What people said to nodes, beside what the repository declares.

use almanac_schemas::{NodeName, RunId};
use chrono::{DateTime, Utc};

use super::{Change, Store, StoreError, instant, micros, rows::text, testbed::word};
use crate::hear::Heard;

/// New runs are kept off a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CordonRow {
    /// The node.
    pub node: NodeName,
    /// Who said so.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; for good when absent.
    pub until: Option<DateTime<Utc>>,
    /// When what still runs is stopped; it goes on to its end when absent.
    pub stop_at: Option<DateTime<Utc>>,
}

/// A run is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancellationRow {
    /// The run.
    pub run: RunId,
    /// Its node.
    pub node: NodeName,
    /// Who said so.
    pub actor: String,
    /// Why; empty when nobody said.
    pub reason: String,
}

type CordonColumns = (String, String, String, i64, Option<i64>, Option<i64>);

impl Store {
    /// What keeps new runs off nodes, expired or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cordons(&self) -> Result<Vec<CordonRow>, StoreError> {
        let rows: Vec<CordonColumns> =
            sqlx::query_as("SELECT node, actor, reason, since, until, stop_at FROM cordons")
                .fetch_all(&self.pool)
                .await?;
        let row = |(node, actor, reason, since, until, stop_at): CordonColumns| {
            Ok(CordonRow {
                node: word("node", &node)?,
                actor,
                reason,
                since: instant(since),
                until: until.map(instant),
                stop_at: stop_at.map(instant),
            })
        };
        rows.into_iter().map(row).collect()
    }

    /// Keeps new runs off a node, in place of what was said before.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cordon(&self, row: &CordonRow) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO cordons (node, actor, reason, since, until, stop_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (node) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,
             since = excluded.since, until = excluded.until, stop_at = excluded.stop_at",
        )
        .bind(row.node.as_str())
        .bind(&row.actor)
        .bind(text(&row.reason))
        .bind(micros(row.since))
        .bind(row.until.map(micros))
        .bind(row.stop_at.map(micros))
        .execute(&mut *change)
        .await?;
        self.engine.say(&mut change, Heard::Instructed).await?;
        Ok(change.commit().await?)
    }

    /// Lets new runs start on a node, as far as people are concerned.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn uncordon(&self, node: &NodeName) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        forget(&mut change, node).await?;
        self.engine.say(&mut change, Heard::Instructed).await?;
        Ok(change.commit().await?)
    }

    /// The runs that are to end and are not known to have ended.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cancellations(&self) -> Result<Vec<CancellationRow>, StoreError> {
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT c.run_id, c.node, c.actor, c.reason FROM cancellations c WHERE EXISTS
             (SELECT 1 FROM runs r WHERE r.id = c.run_id AND r.phase IN ('DEPLOYING', 'RUNNING', 'UPLOADING'))
             ORDER BY c.run_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let row = |(run, node, actor, reason): (String, String, String, String)| {
            Ok(CancellationRow { run: word("run", &run)?, node: word("node", &node)?, actor, reason })
        };
        rows.into_iter().map(row).collect()
    }

    /// Wants a run to end. Who wanted it first is who is named.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cancel(&self, row: &CancellationRow, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO cancellations (run_id, node, actor, reason, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (run_id) DO NOTHING",
        )
        .bind(row.run.to_string())
        .bind(row.node.as_str())
        .bind(&row.actor)
        .bind(text(&row.reason))
        .bind(micros(now))
        .execute(&mut *change)
        .await?;
        self.engine.say(&mut change, Heard::Instructed).await?;
        Ok(change.commit().await?)
    }
}

/// Forgets what keeps new runs off a node.
pub(super) async fn forget(change: &mut Change, node: &NodeName) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM cordons WHERE node = $1").bind(node.as_str()).execute(&mut **change).await?;
    Ok(())
}
