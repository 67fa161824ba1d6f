//! What people said to nodes, beside what the repository declares.

use almanac_schemas::{Cordon, Instant, NodeName, RunId};
use chrono::{DateTime, Utc};

use super::{Change, Store, StoreError, instant, micros, rows::text, testbed::word};
use crate::hear::Heard;

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
    pub async fn cordons(&self) -> Result<Vec<(NodeName, Cordon)>, StoreError> {
        let rows: Vec<CordonColumns> =
            sqlx::query_as("SELECT node, actor, reason, since, until, stop_at FROM cordons")
                .fetch_all(&self.pool)
                .await?;
        let row = |(node, actor, reason, since, until, stop_at): CordonColumns| {
            let at = |micros| Instant(instant(micros));
            let (since, until, stop_at) = (at(since), until.map(at), stop_at.map(at));
            Ok((word("node", &node)?, Cordon { actor, reason, since, until, stop_at }))
        };
        rows.into_iter().map(row).collect()
    }

    /// Keeps new runs off a node, in place of what was said before.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cordon(&self, node: &NodeName, cordon: &Cordon) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO cordons (node, actor, reason, since, until, stop_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (node) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,
             since = excluded.since, until = excluded.until, stop_at = excluded.stop_at",
        )
        .bind(node.as_str())
        .bind(&cordon.actor)
        .bind(text(&cordon.reason))
        .bind(micros(cordon.since.0))
        .bind(cordon.until.map(|at| micros(at.0)))
        .bind(cordon.stop_at.map(|at| micros(at.0)))
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
