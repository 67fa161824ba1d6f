//! What nodes say about themselves.

use almanac_schemas::NodeName;
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use crate::heartbeats::{Clock, Host, Outlook};

use super::{Change, Store, StoreError, instant, micros, rows::insert, testbed::word};

/// What a node said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatRow {
    /// The node.
    pub node: NodeName,
    /// When it said it.
    pub last_seen: DateTime<Utc>,
    /// Since when it says something without a long silence in between.
    pub online_since: DateTime<Utc>,
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
    /// How its clock is, if it measured it.
    pub clock: Option<Clock>,
    /// How its host is, if it said it.
    pub host: Option<Host>,
    /// What its host says of what is to run, if it said it.
    pub outlook: Option<Outlook>,
}

type Columns = (String, i64, i64, String, String, String, String, String, i64, String, String, String);

impl Store {
    /// What each node said last.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn heartbeats(&self) -> Result<Vec<HeartbeatRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT node, last_seen, online_since, agent_version, boot_id, address, engine, held_epoch, held_generation,
                    clock, host, outlook
             FROM heartbeats",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(
                |(
                    node,
                    last_seen,
                    online_since,
                    agent_version,
                    boot_id,
                    address,
                    engine,
                    held_epoch,
                    generation,
                    clock,
                    host,
                    outlook,
                )| {
                    Ok(HeartbeatRow {
                        node: word("node", &node)?,
                        last_seen: instant(last_seen),
                        online_since: instant(online_since),
                        agent_version,
                        boot_id,
                        address,
                        engine,
                        held_epoch,
                        held_generation: generation.cast_unsigned(),
                        clock: read(&clock),
                        host: read(&host),
                        outlook: read(&outlook),
                    })
                },
            )
            .collect()
    }

    /// Keeps what nodes said last.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing is kept.
    pub async fn put_heartbeats(&self, rows: &[HeartbeatRow]) -> Result<(), StoreError> {
        let row = |row: &HeartbeatRow| {
            [
                row.node.as_str().into(),
                micros(row.last_seen).into(),
                micros(row.online_since).into(),
                row.agent_version.as_str().into(),
                row.boot_id.as_str().into(),
                row.address.as_str().into(),
                row.engine.as_str().into(),
                row.held_epoch.as_str().into(),
                row.held_generation.cast_signed().into(),
                written(row.clock.as_ref()).into(),
                written(row.host.as_ref()).into(),
                written(row.outlook.as_ref()).into(),
            ]
        };
        let columns = [
            "node",
            "last_seen",
            "online_since",
            "agent_version",
            "boot_id",
            "address",
            "engine",
            "held_epoch",
            "held_generation",
            "clock",
            "host",
            "outlook",
        ];
        // What another reconciler heard later stays.
        let conflict = "ON CONFLICT (node) DO UPDATE
                        SET last_seen = excluded.last_seen, online_since = excluded.online_since,
                            agent_version = excluded.agent_version, boot_id = excluded.boot_id,
                            address = excluded.address, engine = excluded.engine,
                            held_epoch = excluded.held_epoch, held_generation = excluded.held_generation,
                            clock = excluded.clock, host = excluded.host,
                            outlook = excluded.outlook
                        WHERE heartbeats.last_seen <= excluded.last_seen";
        let mut change = self.write().await?;
        insert(&mut change, "heartbeats", columns, conflict, rows.iter().map(row).collect()).await?;
        Ok(change.commit().await?)
    }
}

/// What was measured, in JSON; empty for nothing.
fn written<T: Serialize>(measured: Option<&T>) -> String {
    measured.and_then(|measured| serde_json::to_string(measured).ok()).unwrap_or_default()
}

/// What was measured. What another version of this program wrote differently is measured anew within a minute.
fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Forgets what a node said that is not declared any more.
pub(super) async fn forget(change: &mut Change, node: &NodeName) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM heartbeats WHERE node = $1").bind(node.as_str()).execute(&mut **change).await?;
    Ok(())
}
