//! Runs and where they stand, and up to where each job's occurrences are settled.

use chrono::{DateTime, Utc};
use prost::Message;
use sqlx::{Sqlite, Transaction};

use almanac_proto::{convert, v1};
use almanac_schemas::{Instant, JobName, RunId, RunRole};

use crate::{
    run::{Order, RunKey, State, Step, Transition},
    scheduler::Accounts,
};

use super::{Journal, JournalError, UploadFile, from_micros, notes::Note, to_micros};

/// What became of an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// What was to be run.
    pub order: Order,
    /// How it begins, or that it does not.
    pub transition: Transition,
}

/// A run that has not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRun {
    /// What is to be run.
    pub order: Order,
    /// Where it stands.
    pub state: State,
}

impl Journal {
    /// Up to where each job's occurrences are settled.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn accounts(&self) -> Result<Accounts, JournalError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT job, settled FROM accounts").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|(job, settled)| match job.parse::<JobName>() {
                Ok(job) => Ok((job, from_micros(settled))),
                Err(error) => Err(JournalError::row(format!("job `{job}`"), error)),
            })
            .collect()
    }

    /// Settles occurrences, all or none, and returns for each whether it was not settled before.
    /// Only such a one may be acted on.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then nothing is settled.
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        now: DateTime<Utc>,
    ) -> Result<Vec<bool>, JournalError> {
        let mut transaction = self.pool.begin().await?;
        let mut fresh = Vec::with_capacity(settlements.len());
        for Settlement { order, transition } in settlements {
            sqlx::query(
                "INSERT INTO accounts (job, settled) VALUES ($1, $2)
                 ON CONFLICT (job) DO UPDATE SET settled = max(settled, excluded.settled)",
            )
            .bind(order.job.as_str())
            .bind(to_micros(order.scheduled_at.0))
            .execute(&mut *transaction)
            .await?;
            let key = order.key();
            let (stage, state) = encode_state(&key, &transition.state)?;
            // An occurrence that does not run needs no order; a hundred thousand of them would be a lot of it.
            let ordered = (!transition.state.is_finished()).then(|| encode(&key, order)).transpose()?;
            let inserted = sqlx::query(
                "INSERT INTO runs (run, role, job, scheduled_at, commit_hash, ordered, stage, state, sequence, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10, $9) ON CONFLICT DO NOTHING",
            )
            .bind(key.id.to_string())
            .bind(key.role.as_str())
            .bind(order.job.as_str())
            .bind(to_micros(order.scheduled_at.0))
            .bind(&order.commit)
            .bind(ordered)
            .bind(stage)
            .bind(state)
            .bind(to_micros(now))
            .bind(self.first_sequence(order))
            .execute(&mut *transaction)
            .await?
            .rows_affected()
                == 1;
            if let Some(step) = transition.step.as_ref().filter(|_| inserted) {
                let event = append(&mut transaction, order, step).await?;
                if !transition.state.is_finished() {
                    let note = note_of(order, &transition.state, String::new(), vec![event])?;
                    self.notes.note(&key, &note)?;
                }
            }
            fresh.push(inserted);
        }
        transaction.commit().await?;
        Ok(fresh)
    }

    /// Records where a run stands now and the step that is reported of it.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written; then nothing is recorded.
    pub async fn advance(
        &self,
        order: &Order,
        transition: &Transition,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.advance_with(order, transition, &[], now).await
    }

    /// As [`Journal::advance`], together with the files that are to be uploaded from now on.
    ///
    /// # Errors
    ///
    /// As [`Journal::advance`].
    pub async fn advance_with(
        &self,
        order: &Order,
        transition: &Transition,
        files: &[UploadFile],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await?;
        self.put(&mut transaction, order, transition, files, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Writes where a run stands now, the step that is reported of it and the files that are to be uploaded: into the
    /// note first.
    pub(super) async fn put(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        order: &Order,
        transition: &Transition,
        files: &[UploadFile],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let key = order.key();
        let (stage, state) = encode_state(&key, &transition.state)?;
        sqlx::query("UPDATE runs SET stage = $3, state = $4, updated_at = $5 WHERE run = $1 AND role = $2")
            .bind(key.id.to_string())
            .bind(key.role.as_str())
            .bind(stage)
            .bind(state)
            .bind(to_micros(now))
            .execute(&mut **transaction)
            .await?;
        let event = match &transition.step {
            Some(step) => Some(append(transaction, order, step).await?),
            None => None,
        };
        for file in files {
            super::uploads::add(transaction, &key, file).await?;
        }
        let before = match self.notes.run(&key)? {
            Some(before) => before,
            None => note(transaction, order, &transition.state).await?,
        };
        let mut noted = Note { state: encode(&key, &transition.state)?, ..before };
        noted.image_digest = image_digest(transaction, &key).await?;
        if let Some(event) = event {
            noted.events.retain(|earlier| earlier.sequence < event.sequence);
            noted.events.push(event);
        }
        noted.files.extend(files.iter().map(Into::into));
        self.notes.note(&key, &noted)
    }

    /// After which number the events of a run begin. Where nobody knows what was reported of it before the journal was
    /// lost, they come after all of that.
    fn first_sequence(&self, order: &Order) -> i64 {
        let is_lost = self.rebuilt().is_some_and(|rebuilt| order.scheduled_at.0 <= rebuilt.at);
        if is_lost { AFTER_ALL } else { 0 }
    }

    /// Records which image a run's container is made of. Later events carry it.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn set_image_digest(&self, key: &RunKey, digest: &str) -> Result<(), JournalError> {
        sqlx::query("UPDATE runs SET image_digest = $3 WHERE run = $1 AND role = $2")
            .bind(key.id.to_string())
            .bind(key.role.as_str())
            .bind(digest)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Which image a run's container is made of; empty when that is not known.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn image_digest(&self, key: &RunKey) -> Result<String, JournalError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT image_digest FROM runs WHERE run = $1 AND role = $2")
                .bind(key.id.to_string())
                .bind(key.role.as_str())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(digest,)| digest).unwrap_or_default())
    }

    /// The runs that have not finished, in the order of their instants.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, JournalError> {
        self.runs_where("stage <> 'finished'").await
    }

    /// The runs whose files are all with the reconciler.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn delivered_runs(&self) -> Result<Vec<OpenRun>, JournalError> {
        self.runs_where(
            "stage = 'delivering' AND NOT EXISTS
             (SELECT 1 FROM uploads u WHERE u.run = runs.run AND u.role = runs.role)",
        )
        .await
    }

    async fn runs_where(&self, condition: &'static str) -> Result<Vec<OpenRun>, JournalError> {
        let query = format!(
            "SELECT run, ordered, state FROM runs WHERE ordered IS NOT NULL AND {condition} ORDER BY scheduled_at"
        );
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        rows.into_iter().map(open).collect()
    }

    /// The run of an order that has not finished, if it is one.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn open_run(&self, key: &RunKey) -> Result<Option<OpenRun>, JournalError> {
        let row: Option<(String, String, String)> = sqlx::query_as(
            "SELECT run, ordered, state FROM runs
             WHERE run = $1 AND role = $2 AND stage <> 'finished' AND ordered IS NOT NULL",
        )
        .bind(key.id.to_string())
        .bind(key.role.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.map(open).transpose()
    }

    /// Forgets finished runs that were scheduled before an instant and are reported, and files that were lost before
    /// it. The jobs' accounts keep the runs from running again.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub async fn forget(&self, before: DateTime<Utc>) -> Result<u64, JournalError> {
        sqlx::query("DELETE FROM losses WHERE lost_at < $1")
            .bind(to_micros(before))
            .execute(&self.pool)
            .await?;
        let done = sqlx::query(
            "DELETE FROM runs WHERE stage = 'finished' AND scheduled_at < $1
             AND NOT EXISTS (SELECT 1 FROM events e WHERE e.run = runs.run AND e.role = runs.role)",
        )
        .bind(to_micros(before))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

/// No run has so many events.
const AFTER_ALL: i64 = 1_000_000;

/// The note of a run whose events are those that wait.
pub(super) async fn note(
    transaction: &mut Transaction<'_, Sqlite>,
    order: &Order,
    state: &State,
) -> Result<Note, JournalError> {
    let key = order.key();
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT id, encoded FROM events WHERE run = $1 AND role = $2 ORDER BY sequence")
            .bind(key.id.to_string())
            .bind(key.role.as_str())
            .fetch_all(&mut **transaction)
            .await?;
    let events = rows.into_iter().map(|(id, encoded)| super::outbox::decode(id, &encoded));
    let digest = image_digest(transaction, &key).await?;
    note_of(order, state, digest, events.collect::<Result<_, _>>()?)
}

fn note_of(
    order: &Order,
    state: &State,
    image_digest: String,
    events: Vec<v1::RunEvent>,
) -> Result<Note, JournalError> {
    let key = order.key();
    let (order, state) = (encode(&key, order)?, encode(&key, state)?);
    Ok(Note { order, state, image_digest, events, files: Vec::new() })
}

async fn image_digest(
    transaction: &mut Transaction<'_, Sqlite>,
    key: &RunKey,
) -> Result<String, JournalError> {
    let (digest,): (String,) = sqlx::query_as("SELECT image_digest FROM runs WHERE run = $1 AND role = $2")
        .bind(key.id.to_string())
        .bind(key.role.as_str())
        .fetch_one(&mut **transaction)
        .await?;
    Ok(digest)
}

/// Numbers a step and puts it into the outbox.
async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    order: &Order,
    step: &Step,
) -> Result<v1::RunEvent, JournalError> {
    let key = order.key();
    let (sequence, image_digest, rebuilt_at): (i64, String, Option<i64>) = sqlx::query_as(
        "UPDATE runs SET sequence = sequence + 1 WHERE run = $1 AND role = $2
         RETURNING sequence, image_digest, rebuilt_at",
    )
    .bind(key.id.to_string())
    .bind(key.role.as_str())
    .fetch_one(&mut **transaction)
    .await?;
    let event = v1::RunEvent {
        run_id: key.id.to_string(),
        job: order.job.to_string(),
        role: v1::Role::from(key.role).into(),
        scheduled_at: Some(convert::timestamp(order.scheduled_at.0)),
        sequence: sequence.cast_unsigned(),
        phase: v1::Phase::from(step.phase).into(),
        reason: step.reason.map_or(v1::Reason::Unspecified, v1::Reason::from).into(),
        message: match rebuilt_at.filter(|_| step.phase.is_terminal()) {
            Some(at) => rebuilt_message(&step.message, from_micros(at)),
            None => step.message.clone(),
        },
        at: Some(convert::timestamp(step.at)),
        exit_code: step.exit_code,
        image_digest,
        commit: order.commit.clone(),
        client: match (key.role, &order.peer) {
            (RunRole::Server, Some(client)) => client.node.to_string(),
            _ => String::new(),
        },
    };
    queue(transaction, &key, &event).await?;
    Ok(event)
}

/// Puts an event into the outbox.
pub(super) async fn queue(
    transaction: &mut Transaction<'_, Sqlite>,
    key: &RunKey,
    event: &v1::RunEvent,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO events (run, role, sequence, encoded) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(key.id.to_string())
    .bind(key.role.as_str())
    .bind(event.sequence.cast_signed())
    .bind(event.encode_to_vec())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What is said of a run that was open when the journal was lost.
fn rebuilt_message(message: &str, at: DateTime<Utc>) -> String {
    let rebuilt = format!("the agent's journal was lost meanwhile, and built anew at {}", Instant(at));
    if message.is_empty() { rebuilt } else { format!("{message}; {rebuilt}") }
}

/// Reads what identifies a run from its columns.
pub(super) fn key(run: &str, role: &str) -> Result<RunKey, JournalError> {
    let row =
        |error: Box<dyn std::error::Error + Send + Sync>| JournalError::row(format!("run `{run}`"), error);
    Ok(RunKey {
        id: run.parse::<RunId>().map_err(|error| row(error.into()))?,
        role: role.parse::<RunRole>().map_err(|error| row(error.into()))?,
    })
}

fn open((run, order, state): (String, String, String)) -> Result<OpenRun, JournalError> {
    let row = |error| JournalError::row(format!("run {run}"), error);
    Ok(OpenRun {
        order: serde_json::from_str(&order).map_err(row)?,
        state: serde_json::from_str(&state).map_err(row)?,
    })
}

fn encode(key: &RunKey, value: &impl serde::Serialize) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|error| JournalError::row(format!("run {key}"), error))
}

pub(super) fn encode_state(key: &RunKey, state: &State) -> Result<(&'static str, String), JournalError> {
    let stage = match state {
        State::Deploying => "deploying",
        State::Running { .. } => "running",
        State::Stopping { .. } => "stopping",
        State::Collecting { .. } => "collecting",
        State::Delivering { .. } => "delivering",
        State::Finished => "finished",
    };
    Ok((stage, encode(key, state)?))
}
