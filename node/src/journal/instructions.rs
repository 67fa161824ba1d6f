//! What people said to this node, which holds until they say otherwise, whatever restarts.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Sqlite, Transaction};

use almanac_schemas::{Cordon, Scavenging};

use crate::instructions::{Instructions, Said};

use super::{Journal, JournalError};

/// What the reconciler passed on.
const THERE: &str = "there";
/// What was said on this host.
const HERE: &str = "here";
/// What was said on this host of its link.
const SCAVENGING: &str = "scavenging";
/// All of them.
pub(super) const PLACES: [&str; 3] = [THERE, HERE, SCAVENGING];

impl Journal {
    /// All that was said.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn said(&self) -> Result<Said, JournalError> {
        let there = self.said_in(THERE).await?.unwrap_or_default();
        let here = self.said_in(HERE).await?.flatten();
        Ok(Said { there, here, scavenging_here: self.said_in(SCAVENGING).await?.flatten() })
    }

    /// Replaces what the reconciler passed on.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then what was said before still holds.
    pub async fn say_there(&self, said: &Instructions) -> Result<(), JournalError> {
        self.say(THERE, said).await
    }

    /// Replaces what was said on this host.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then what was said before still holds.
    pub async fn say_here(&self, said: Option<&Cordon>) -> Result<(), JournalError> {
        self.say(HERE, &said).await
    }

    /// Replaces what was said on this host of its link.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then what was said before still holds.
    pub async fn say_scavenging(&self, said: Option<&Scavenging>) -> Result<(), JournalError> {
        self.say(SCAVENGING, &said).await
    }

    async fn said_in<T: DeserializeOwned>(&self, place: &str) -> Result<Option<T>, JournalError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT said FROM instructions WHERE place = $1")
            .bind(place)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(said,)| serde_json::from_str(&said))
            .transpose()
            .map_err(|error| JournalError::row(format!("what was said `{place}`"), error))
    }

    async fn say(&self, place: &str, said: &impl Serialize) -> Result<(), JournalError> {
        let said = serde_json::to_string(said)
            .map_err(|error| JournalError::row(format!("what was said `{place}`"), error))?;
        self.notes.note_said(place, &said)?;
        let mut transaction = self.pool.begin().await?;
        write(&mut transaction, place, &said).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Writes what people said in a place.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    place: &str,
    said: &str,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO instructions (place, said) VALUES ($1, $2)
         ON CONFLICT (place) DO UPDATE SET said = excluded.said",
    )
    .bind(place)
    .bind(said)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
