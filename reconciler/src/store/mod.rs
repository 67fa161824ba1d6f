//! The database. All SQL is here: rows in, rows out, no choices.
//!
//! Each module owns the statements about one thing. They are portable: SQLite and PostgreSQL run the
//! same ones, and what only one of the two understands is in `engine.rs`. Instants are microseconds
//! since 1970 in UTC. A change that spans several rows is one transaction.
//!
//! # What grows
//!
//! Syncs with their findings and changes, what people did to them, runs with their events and the times that runs were moved to are the history that
//! people ask for: they are kept, and grow with what people commit and what runs. A look that finds nothing new
//! records nothing. Of a file whose retention is over, the record stays. Users, nodes and jobs that were removed stay as one
//! row each, since their runs and generations do.
//! Everything else is as large as what is declared now: a heartbeat, a cordon and scavenger mode go with their node, and a notice when it is
//! delivered, a week old, or for a target that is not configured any more. The parts of an upload go when its file is stored, and the task of a
//! server a day after its time.

mod actions;
mod apply;
mod artifacts;
mod changes;
mod details;
mod engine;
mod error;
mod findings;
mod heartbeats;
mod instructions;
mod lead;
mod look;
mod mover;
mod open;
mod outbox;
mod page;
mod presence;
mod reservations;
mod retention;
mod rows;
mod runs;
mod scavenging;
mod surroundings;
mod syncs;
mod tasks;
mod testbed;

use chrono::{DateTime, Utc};
use sqlx::{Any, AnyPool, Transaction};

pub use actions::ActionRow;
pub use apply::{Apply, Base, Effect};
pub use artifacts::{ArtifactRow, DirectRow, Expired, PartRow, UploadRow};
pub use changes::{ChangeRow, HistoryRow};
pub use engine::{CHANNEL, Engine, LETTERS};
pub use error::{OpenError, StoreError};
pub use findings::FindingRow;
pub use heartbeats::HeartbeatRow;
pub use instructions::CancellationRow;
pub use lead::{LEASE, LeaderLock};
pub use look::{ConditionRow, LookRow};
pub use outbox::OutboxRow;
pub use reservations::{Ground, ReservationRow};
pub use retention::{JobRetention, KeepRow, Kept, Removable};
pub use runs::{Recorded, RunFilter, RunKey, RunRow};
pub use syncs::{SyncCause, SyncOutcome, SyncRow};
pub use testbed::{DeletedJob, DeletedJobFilter, Loaded};

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    engine: Engine,
    presence: presence::Presence,
}

/// A change that is under way.
type Change = Transaction<'static, Any>;

impl Store {
    /// Which database it is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Writes a letter of at most 7,999 bytes to the other reconcilers of this database, which is kept nowhere.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn write_letter(&self, text: &str) -> Result<(), StoreError> {
        if let Engine::Postgres { .. } = self.engine {
            sqlx::query("SELECT pg_notify($1, $2)").bind(LETTERS).bind(text).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// Begins a change.
    async fn write(&self) -> Result<Change, StoreError> {
        Ok(self.pool.begin_with(self.engine.begin()).await?)
    }

    /// Waits for what is under way and closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Sets a single value.
async fn put_setting(change: &mut Change, name: &'static str, value: String) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(&mut **change)
    .await?;
    Ok(())
}

fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// A number that is never negative, which the database keeps as one that may be.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
