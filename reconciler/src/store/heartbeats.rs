//! What nodes say about themselves.

use almanac_schemas::NodeName;
use chrono::{DateTime, Utc};

use super::{Store, StoreError, instant, micros, testbed::word};

/// What a node said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatRow {
    /// The node.
    pub node: NodeName,
    /// When it said it.
    pub last_seen: DateTime<Utc>,
    /// The version of its agent.
    pub agent_version: String,
    /// Which boot of the host this is.
    pub boot_id: String,
    /// The address that other nodes reach it at.
    pub address: String,
    /// Its container engine.
    pub engine: String,
    /// The database that its desired state comes from.
    pub held_epoch: String,
    /// The generation of its desired state.
    pub held_generation: u64,
}

type Columns = (String, i64, String, String, String, String, String, i64);

impl Store {
    /// What each node said last.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn heartbeats(&self) -> Result<Vec<HeartbeatRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT node, last_seen, agent_version, boot_id, address, engine, held_epoch, held_generation
             FROM heartbeats",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(node, last_seen, agent_version, boot_id, address, engine, held_epoch, generation)| {
                Ok(HeartbeatRow {
                    node: word("node", &node)?,
                    last_seen: instant(last_seen),
                    agent_version,
                    boot_id,
                    address,
                    engine,
                    held_epoch,
                    held_generation: generation.cast_unsigned(),
                })
            })
            .collect()
    }

    /// Keeps what nodes said last.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing is kept.
    pub async fn put_heartbeats(&self, rows: &[HeartbeatRow]) -> Result<(), StoreError> {
        let mut change = self.write().await?;
        for row in rows {
            sqlx::query(
                "INSERT INTO heartbeats (node, last_seen, agent_version, boot_id, address, engine,
                                         held_epoch, held_generation)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (node) DO UPDATE
                 SET last_seen = excluded.last_seen, agent_version = excluded.agent_version,
                     boot_id = excluded.boot_id, address = excluded.address, engine = excluded.engine,
                     held_epoch = excluded.held_epoch, held_generation = excluded.held_generation",
            )
            .bind(row.node.as_str())
            .bind(micros(row.last_seen))
            .bind(&row.agent_version)
            .bind(&row.boot_id)
            .bind(&row.address)
            .bind(&row.engine)
            .bind(&row.held_epoch)
            .bind(row.held_generation.cast_signed())
            .execute(&mut *change)
            .await?;
        }
        Ok(change.commit().await?)
    }
}
