//! Which nodes are in scavenger mode, by what people said to the reconciler.

use almanac_schemas::{Instant, NodeName, Scavenging};

use super::{Change, Store, StoreError, instant, micros, rows::text, testbed::word};
use crate::hear::Heard;

type Columns = (String, String, String, i64, Option<i64>);

impl Store {
    /// The nodes in scavenger mode, expired or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn scavengings(&self) -> Result<Vec<(NodeName, Scavenging)>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as("SELECT node, actor, reason, since, until FROM scavengings")
            .fetch_all(&self.pool)
            .await?;
        let row = |(node, actor, reason, since, until): Columns| {
            let at = |micros| Instant(instant(micros));
            Ok((word("node", &node)?, Scavenging { actor, reason, since: at(since), until: until.map(at) }))
        };
        rows.into_iter().map(row).collect()
    }

    /// Gives a node's link to its owner, in place of what was said before; or takes that back.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn scavenge(&self, node: &NodeName, scavenging: Option<&Scavenging>) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        match scavenging {
            Some(scavenging) => put(&mut change, node, scavenging).await?,
            None => forget(&mut change, node).await?,
        }
        self.engine.say(&mut change, Heard::Instructed).await?;
        Ok(change.commit().await?)
    }
}

async fn put(change: &mut Change, node: &NodeName, scavenging: &Scavenging) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO scavengings (node, actor, reason, since, until) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (node) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,
         since = excluded.since, until = excluded.until",
    )
    .bind(node.as_str())
    .bind(&scavenging.actor)
    .bind(text(&scavenging.reason))
    .bind(micros(scavenging.since.0))
    .bind(scavenging.until.map(|at| micros(at.0)))
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Forgets that a node is in scavenger mode.
pub(super) async fn forget(change: &mut Change, node: &NodeName) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM scavengings WHERE node = $1").bind(node.as_str()).execute(&mut **change).await?;
    Ok(())
}
