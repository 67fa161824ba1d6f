//! The images that this agent has pulled.

use chrono::{DateTime, TimeDelta, Utc};

use almanac_schemas::container::Image;

use super::{Journal, JournalError, from_micros, to_micros};

/// How exactly it is known when an image was last wanted. Who wants it every second is not to write as often.
const RESOLUTION: TimeDelta = TimeDelta::hours(1);

impl Journal {
    /// Records that an image is about to be pulled: from then on it is this agent's to remove.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn own_image(&self, image: &Image, now: DateTime<Utc>) -> Result<(), JournalError> {
        sqlx::query(
            "INSERT INTO images (image, used_at) VALUES ($1, $2)
             ON CONFLICT (image) DO UPDATE SET used_at = excluded.used_at",
        )
        .bind(image.as_str())
        .bind(to_micros(now))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records that an image is wanted. One that is not this agent's stays nobody's.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn use_image(&self, image: &Image, now: DateTime<Utc>) -> Result<(), JournalError> {
        sqlx::query("UPDATE images SET used_at = $2 WHERE image = $1 AND used_at < $3")
            .bind(image.as_str())
            .bind(to_micros(now))
            .bind(to_micros(now - RESOLUTION))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// This agent's images, and when each was last wanted.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn own_images(&self) -> Result<Vec<(Image, DateTime<Utc>)>, JournalError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT image, used_at FROM images ORDER BY image").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|(image, used_at)| match image.parse() {
                Ok(name) => Ok((name, from_micros(used_at))),
                Err(error) => Err(JournalError::row(format!("image `{image}`"), error)),
            })
            .collect()
    }

    /// Records that an image is not there any more.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn disown_image(&self, image: &Image) -> Result<(), JournalError> {
        sqlx::query("DELETE FROM images WHERE image = $1").bind(image.as_str()).execute(&self.pool).await?;
        Ok(())
    }
}
