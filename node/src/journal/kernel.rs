//! Files of the host that runs have changed, and what they are to hold again.
//!
//! What is to be put back is noted beside the journal, too, so that it is not lost with it. The note knows all that the
//! journal knows: it is written first, and shortened last.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Sqlite, Transaction};

use super::{Journal, JournalError};

/// The name of the note.
pub(super) const NOTE: &str = "kernel";

/// A file that a run has changed, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// The run, as its folder is named.
    pub run: String,
    /// What it is to hold again.
    pub old: String,
    /// Which boot of the host it was.
    pub boot: String,
}

impl Journal {
    /// All files that are to be put back.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn changed_files(&self) -> Result<Vec<Changed>, JournalError> {
        let rows = sqlx::query_as("SELECT path, run, old, boot FROM kernel_files ORDER BY path");
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Records what a file is to hold again, before it is changed.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then the file must not be changed.
    pub async fn note_change(&self, changed: &Changed) -> Result<(), JournalError> {
        let mut all = self.changed_files().await?;
        all.push(changed.clone());
        self.notes.note_changed(&all)?;
        let mut transaction = self.pool.begin().await?;
        write(&mut transaction, changed).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets a file that is put back.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then it is put back once more.
    pub async fn forget_change(&self, path: &str) -> Result<(), JournalError> {
        sqlx::query("DELETE FROM kernel_files WHERE path = $1").bind(path).execute(&self.pool).await?;
        self.notes.note_changed(&self.changed_files().await?)
    }
}

/// Writes a file that is to be put back.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    changed: &Changed,
) -> Result<(), JournalError> {
    sqlx::query("INSERT INTO kernel_files (path, run, old, boot) VALUES ($1, $2, $3, $4)")
        .bind(&changed.path)
        .bind(&changed.run)
        .bind(&changed.old)
        .bind(&changed.boot)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_to_be_put_back_outlives_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let changed = |path: &str| Changed {
            path: path.to_owned(),
            run: "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".to_owned(),
            old: "1".to_owned(),
            boot: "boot".to_owned(),
        };
        let (one, other) = (changed("/proc/sys/vm/a"), changed("/proc/sys/vm/b"));
        let journal = Journal::open(&path).await.unwrap();
        // There is no run before something was settled.
        let settled = "INSERT INTO accounts (job, settled) VALUES ('job', 1)";
        sqlx::query(settled).execute(&journal.pool).await.unwrap();
        let noted = [("job".parse().unwrap(), chrono::DateTime::from_timestamp_micros(1).unwrap())];
        journal.notes.note_accounts(&noted.into()).unwrap();
        journal.note_change(&one).await.unwrap();
        journal.note_change(&other).await.unwrap();
        assert!(journal.note_change(&one).await.is_err(), "a file is one run's at a time");
        assert_eq!(journal.changed_files().await.unwrap(), [one.clone(), other.clone()]);
        journal.forget_change(&other.path).await.unwrap();
        journal.close().await;
        std::fs::write(&path, "no database").unwrap();
        let journal = Journal::open(&path).await.unwrap();
        assert!(journal.rebuilt().is_some());
        assert_eq!(journal.changed_files().await.unwrap(), [one]);
        journal.close().await;
    }
}
