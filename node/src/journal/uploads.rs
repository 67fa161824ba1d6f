//! Files that the reconciler does not have yet.

use chrono::{DateTime, Utc};
use sqlx::{Sqlite, Transaction};

use almanac_proto::limits;

use crate::run::{Order, RunKey, Transition};

use super::{Journal, JournalError, runs, to_micros};

/// A file of a run, as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFile {
    /// Its name, in the run's outbox folder and at the reconciler.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// A file that is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// Its place in the queue.
    pub id: i64,
    /// Whose file it is.
    pub key: RunKey,
    /// What it is.
    pub file: UploadFile,
}

/// Which files go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Those that come with their announcement.
    Small,
    /// All others.
    Large,
}

impl Lane {
    /// The lane of a file.
    pub const fn of(size: u64) -> Self {
        if size <= limits::MAX_CONTENT as u64 { Self::Small } else { Self::Large }
    }

    /// The condition of the lane's index, word for word; otherwise SQLite does not use it.
    const fn condition(self) -> &'static str {
        const { assert!(limits::MAX_CONTENT == 65536, "the indices of the migration say so") };
        match self {
            Self::Small => "awaits IS NULL AND size <= 65536",
            Self::Large => "awaits IS NULL AND size > 65536",
        }
    }
}

/// Why a file is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It is not one that the reconciler takes, or it is not there any more.
    Refused,
    /// There was no more room for it. That is remembered.
    Dropped,
}

type Columns = (i64, String, String, String, i64, Vec<u8>);

impl Journal {
    /// The next files to upload, at most so many: of runs whose events are all reported, so that the
    /// reconciler knows whose they are; those that failed least first, so that none holds up the others.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn next_uploads(&self, lane: Lane, most: usize) -> Result<Vec<PendingUpload>, JournalError> {
        let rows: Vec<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(next(lane)))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(pending).collect()
    }

    /// All files that wait, those of the oldest runs first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn waiting_uploads(&self) -> Result<Vec<PendingUpload>, JournalError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT u.id, u.run, u.role, u.name, u.size, u.sha256 FROM uploads u
             JOIN runs r ON r.run = u.run AND r.role = u.role ORDER BY r.scheduled_at, u.id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(pending).collect()
    }

    /// The files that were tried so often in vain, of runs that were scheduled before an instant.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn failing_uploads(
        &self,
        attempts: u32,
        before: DateTime<Utc>,
    ) -> Result<Vec<PendingUpload>, JournalError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT u.id, u.run, u.role, u.name, u.size, u.sha256 FROM uploads u
             JOIN runs r ON r.run = u.run AND r.role = u.role WHERE u.attempts >= $1 AND r.scheduled_at < $2",
        )
        .bind(i64::from(attempts))
        .bind(to_micros(before))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(pending).collect()
    }

    /// How many bytes wait.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn waiting_bytes(&self) -> Result<u64, JournalError> {
        let (bytes,): (i64,) =
            sqlx::query_as("SELECT coalesce(sum(size), 0) FROM uploads").fetch_one(&self.pool).await?;
        Ok(bytes.cast_unsigned())
    }

    /// Removes a file from the queue that the reconciler has. Returns whether its run has no other.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then it is uploaded again, which does no harm.
    pub async fn end_upload(&self, upload: &PendingUpload) -> Result<bool, JournalError> {
        let mut transaction = self.pool.begin().await?;
        remove(&mut transaction, upload.id).await?;
        let (others,): (i64,) = sqlx::query_as("SELECT count(*) FROM uploads WHERE run = $1 AND role = $2")
            .bind(upload.key.id.to_string())
            .bind(upload.key.role.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(others == 0)
    }

    /// Removes a file from the queue that the reconciler will never have, and records what that makes of its run.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then nothing is recorded.
    pub async fn give_up_upload(
        &self,
        upload: &PendingUpload,
        why: GivenUp,
        run: Option<(&Order, &Transition)>,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let (run_id, role) = (upload.key.id.to_string(), upload.key.role.as_str());
        let mut transaction = self.pool.begin().await?;
        remove(&mut transaction, upload.id).await?;
        if let Some((order, transition)) = run {
            self.put(&mut transaction, order, transition, &[], now).await?;
        }
        if why == GivenUp::Dropped {
            sqlx::query(
                "INSERT INTO losses (run, role, name, size, lost_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
            )
            .bind(run_id)
            .bind(role)
            .bind(&upload.file.name)
            .bind(upload.file.size.cast_signed())
            .bind(to_micros(now))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Moves a file back in the queue.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn postpone_upload(&self, id: i64) -> Result<(), JournalError> {
        sqlx::query("UPDATE uploads SET attempts = attempts + 1 WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn next(lane: Lane) -> String {
    let condition = lane.condition();
    format!(
        "SELECT id, run, role, name, size, sha256 FROM uploads WHERE {condition} ORDER BY attempts, id LIMIT $1"
    )
}

/// Puts a file into the queue.
pub(super) async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    key: &RunKey,
    file: &UploadFile,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO uploads (run, role, name, size, sha256, awaits)
         VALUES ($1, $2, $3, $4, $5, (SELECT max(id) FROM events WHERE run = $1 AND role = $2))
         ON CONFLICT DO NOTHING",
    )
    .bind(key.id.to_string())
    .bind(key.role.as_str())
    .bind(&file.name)
    .bind(file.size.cast_signed())
    .bind(file.sha256.as_slice())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Lets those files go that waited for no event after this one.
pub(super) async fn release(
    transaction: &mut Transaction<'_, Sqlite>,
    last: i64,
) -> Result<(), JournalError> {
    sqlx::query("UPDATE uploads SET awaits = NULL WHERE awaits <= $1")
        .bind(last)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn remove(transaction: &mut Transaction<'_, Sqlite>, id: i64) -> Result<(), JournalError> {
    sqlx::query("DELETE FROM uploads WHERE id = $1").bind(id).execute(&mut **transaction).await?;
    Ok(())
}

fn pending((id, run, role, name, size, sha256): Columns) -> Result<PendingUpload, JournalError> {
    let sha256 =
        sha256.try_into().map_err(|_| JournalError::row(format!("upload {id}"), "a SHA-256 has 32 bytes"))?;
    let file = UploadFile { name, size: size.cast_unsigned(), sha256 };
    Ok(PendingUpload { id, key: runs::key(&run, &role)?, file })
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{Instant, JobSpec, RunRole, node::Limits};

    use super::*;
    use crate::{
        journal::Settlement,
        run::{Collected, Exit, Observation, State},
    };

    fn order(second: i64) -> Order {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        let spec = r#"{"owner":"alice","nodes":["n"],"schedule":{"at":"2027-01-01T00:00:00Z","length":"10s"},
            "container":{"image":"busybox"}}"#;
        Order {
            job: "job".parse().unwrap(),
            node: "n".parse().unwrap(),
            role: RunRole::Client,
            scheduled_at: Instant(at),
            begin_at: None,
            start_by: Instant(at),
            spec: serde_json::from_str::<JobSpec>(spec).unwrap(),
            limits: Limits::default(),
            network: "almanac".to_owned(),
            commit: "c".to_owned(),
            peer: None,
        }
    }

    /// A run whose files are queued.
    async fn deliver(journal: &Journal, second: i64, sizes: [u64; 2]) -> RunKey {
        let (order, now) = (order(second), DateTime::from_timestamp(second, 0).unwrap());
        let mut transition = State::begin(now);
        let settlement = Settlement { order: order.clone(), transition: transition.clone() };
        journal.settle(&[settlement], now).await.unwrap();
        let exit = Exit { at: now, code: Some(0), out_of_memory: false };
        for observation in [Observation::Started(now), Observation::Exited(exit)] {
            transition = transition.state.next(observation, now);
            journal.advance(&order, &transition, now).await.unwrap();
        }
        let file = |(name, size): (&str, u64)| UploadFile { name: name.to_owned(), size, sha256: [7; 32] };
        let files = [("artifacts.tar.zst", sizes[0]), ("run.log", sizes[1])].map(file);
        transition = transition.state.next(Observation::Collected(Collected::Whole), now);
        journal.advance_with(&order, &transition, &files, now).await.unwrap();
        order.key()
    }

    async fn open() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.sqlite")).await.unwrap();
        (folder, journal)
    }

    #[tokio::test]
    async fn files_wait_until_all_events_of_their_run_are_reported() {
        let (_folder, journal) = open().await;
        let one = deliver(&journal, 1, [100_000, 10]).await;
        let two = deliver(&journal, 2, [65_536, 65_537]).await;
        let next = async |lane| -> Vec<(RunKey, String)> {
            let uploads = journal.next_uploads(lane, 10).await.unwrap();
            uploads.into_iter().map(|upload| (upload.key, upload.file.name)).collect()
        };
        assert!(next(Lane::Small).await.is_empty() && next(Lane::Large).await.is_empty());
        let events = journal.pending_events(100).await.unwrap();
        assert_eq!(events.len(), 6);
        journal.acknowledge(events[1].id).await.unwrap();
        assert!(next(Lane::Small).await.is_empty(), "one event of the first run is left");
        journal.acknowledge(events[2].id).await.unwrap();
        assert_eq!(next(Lane::Small).await, [(one, "run.log".to_owned())]);
        assert_eq!(next(Lane::Large).await, [(one, "artifacts.tar.zst".to_owned())]);
        journal.acknowledge(events[5].id).await.unwrap();
        let small = journal.next_uploads(Lane::Small, 10).await.unwrap();
        journal.postpone_upload(small[0].id).await.unwrap();
        assert_eq!(next(Lane::Small).await[0].0, two, "what failed goes after what did not");
        let large = journal.next_uploads(Lane::Large, 10).await.unwrap();
        assert!(!journal.end_upload(&large[0]).await.unwrap());
        assert!(journal.end_upload(&small[0]).await.unwrap(), "it was the last of its run");
        assert_eq!(journal.delivered_runs().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn choosing_reads_no_more_than_it_chooses() {
        let (_folder, journal) = open().await;
        for lane in [Lane::Small, Lane::Large] {
            let query = format!("EXPLAIN QUERY PLAN {}", next(lane));
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(1).fetch_all(&journal.pool).await.unwrap();
            let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
            let index = format!("SCAN uploads USING INDEX uploads_{}", format!("{lane:?}").to_lowercase());
            assert_eq!(steps, [index.as_str()], "nothing is sorted");
        }
    }

    #[tokio::test]
    async fn a_file_fails_for_good_when_it_is_old_and_was_tried_often() {
        let (_folder, journal) = open().await;
        deliver(&journal, 1, [100, 10]).await;
        let young = deliver(&journal, 100, [100, 10]).await;
        for upload in journal.waiting_uploads().await.unwrap() {
            let tries = if upload.file.name == "run.log" { 2 } else { 3 };
            for _ in 0..tries {
                journal.postpone_upload(upload.id).await.unwrap();
            }
        }
        let before = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(journal.failing_uploads(3, before(1)).await.unwrap(), []);
        let failing = journal.failing_uploads(3, before(100)).await.unwrap();
        assert_eq!(
            failing.iter().map(|upload| upload.file.name.as_str()).collect::<Vec<_>>(),
            ["artifacts.tar.zst"]
        );
        assert!(failing.iter().all(|upload| upload.key != young));
        assert_eq!(journal.failing_uploads(2, before(101)).await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn what_is_given_up_is_recorded_with_its_run_and_what_is_dropped_is_remembered() {
        let (_folder, journal) = open().await;
        let key = deliver(&journal, 1, [100, 10]).await;
        let now = DateTime::from_timestamp(9, 0).unwrap();
        for (upload, why) in
            journal.waiting_uploads().await.unwrap().iter().zip([GivenUp::Dropped, GivenUp::Refused])
        {
            let run = journal.open_run(&key).await.unwrap().unwrap();
            let transition = run.state.next(Observation::Refused(upload.file.name.clone()), now);
            journal.give_up_upload(upload, why, Some((&run.order, &transition)), now).await.unwrap();
        }
        let run = journal.open_run(&key).await.unwrap().unwrap();
        let State::Delivering { outcome } = run.state else { panic!("{:?}", run.state) };
        assert_eq!(outcome.message, "artifacts.tar.zst; run.log");
        let backlog = journal.backlog().await.unwrap();
        assert_eq!((backlog.files, backlog.dropped_files, backlog.dropped_bytes), (0, 1, 100));
        journal.forget(now).await.unwrap();
        assert_eq!(journal.backlog().await.unwrap().dropped_files, 1);
        journal.forget(now + chrono::TimeDelta::seconds(1)).await.unwrap();
        assert_eq!(journal.backlog().await.unwrap().dropped_files, 0);
    }
}
