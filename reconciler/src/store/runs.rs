//! Runs and their reports.

use std::collections::BTreeSet;

use almanac_schemas::{JobName, NodeName, Phase, RunId, RunRole, UserName};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{
    Change, Ground, Store, StoreError, instant, micros, mover::Mover, reservations, rows::text, testbed::word,
};
use crate::{
    hear::Heard,
    moves::{self, End},
    run::{RunEvent, RunState, RunStep},
};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Which of the job's containers.
    pub role: RunRole,
    /// Its job.
    pub job: JobName,
    /// Its node.
    pub node: NodeName,
    /// The owner of the job when the run began.
    pub owner: UserName,
    /// The instant that it was to start at.
    pub scheduled_at: DateTime<Utc>,
    /// What its reports add up to.
    pub state: RunState,
    /// The instant that it was moved to.
    pub moved_to: Option<DateTime<Utc>>,
}

/// The place of a run in the list of all, which goes back in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey {
    /// Scheduled when, in microseconds since 1970.
    pub scheduled_at: i64,
    /// The run's id.
    pub id: String,
    /// Its role.
    pub role: String,
}

/// Which runs are wanted. What is absent matches everything.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// On this node.
    pub node: Option<NodeName>,
    /// Of this job.
    pub job: Option<JobName>,
    /// Of this user's jobs.
    pub owner: Option<UserName>,
    /// In one of these phases.
    pub phases: Vec<Phase>,
    /// Scheduled at or after.
    pub since: Option<DateTime<Utc>>,
    /// Scheduled before.
    pub until: Option<DateTime<Utc>>,
    /// After this one in the list.
    pub after: Option<RunKey>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is recorded now.
    New,
    /// It is recorded now, as this: the run had to make room for the owner of one of its nodes.
    Settled(End),
    /// It was recorded before.
    Known,
    /// The node never had that part of that job.
    Stranger,
}

#[derive(FromRow)]
pub(super) struct Columns {
    id: String,
    role: String,
    job: String,
    node: String,
    owner: String,
    scheduled_at: i64,
    phase: String,
    reason: Option<String>,
    message: String,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    exit_code: Option<i64>,
    image_digest: String,
    commit_id: String,
    moved_to: Option<i64>,
}

#[derive(FromRow)]
struct StepColumns {
    sequence: i64,
    phase: String,
    reason: Option<String>,
    message: String,
    at: i64,
    exit_code: Option<i64>,
    image_digest: String,
    commit_id: String,
}

impl TryFrom<Columns> for RunRow {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: word("run id", &row.id)?,
            role: word("role", &row.role)?,
            job: word("job", &row.job)?,
            node: word("node", &row.node)?,
            owner: word("user", &row.owner)?,
            scheduled_at: instant(row.scheduled_at),
            state: RunState {
                phase: word("phase", &row.phase)?,
                reason: row.reason.as_deref().map(|reason| word("reason", reason)).transpose()?,
                message: row.message,
                started_at: row.started_at.map(instant),
                ended_at: row.ended_at.map(instant),
                exit_code: row.exit_code.and_then(|code| i32::try_from(code).ok()),
                image_digest: row.image_digest,
                commit: row.commit_id,
            },
            moved_to: row.moved_to.map(instant),
        })
    }
}

impl TryFrom<StepColumns> for RunStep {
    type Error = StoreError;

    fn try_from(row: StepColumns) -> Result<Self, StoreError> {
        Ok(Self {
            sequence: row.sequence.cast_unsigned(),
            phase: word("phase", &row.phase)?,
            reason: row.reason.as_deref().map(|reason| word("reason", reason)).transpose()?,
            message: row.message,
            at: instant(row.at),
            exit_code: row.exit_code.and_then(|code| i32::try_from(code).ok()),
            image_digest: row.image_digest,
            commit: row.commit_id,
        })
    }
}

impl Store {
    /// Records reports of a node about its runs, each once, and says what became of each. A one-shot run that had to make
    /// room for the node's owner is moved, given what that is decided on.
    ///
    /// # Errors
    ///
    /// When the database fails, and [`StoreError::Outrun`] when something has to be decided and something else is in force
    /// by now; then none is recorded.
    pub async fn record(
        &self,
        node: &NodeName,
        events: &[RunEvent],
        ground: &Ground,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut change = self.write().await?;
        let mut mover = match events.iter().any(|event| moves::concerns(&ground.applied, event)) {
            true => Some(Mover::begin(&mut change, ground).await?),
            false => None,
        };
        let mut reserved = false;
        let mut answers = Vec::with_capacity(events.len());
        let mut touched = BTreeSet::new();
        for event in events {
            let mut answer = record_event(&mut change, node, event).await?;
            if answer == Recorded::New {
                touched.insert((event.run, event.role));
                if event.step.phase.is_terminal() && event.role == RunRole::Client {
                    reserved |= reservations::ended(&mut change, event.run, ground.now).await?;
                }
                if let Some(mover) = &mut mover {
                    answer = mover.settle(&mut change, node, event, &mut touched).await?;
                    reserved |= matches!(answer, Recorded::Settled(_));
                }
            }
            answers.push(answer);
        }
        if reserved {
            self.engine.say(&mut change, Heard::Instructed).await?;
        }
        for (run, role) in touched {
            add_up(&mut change, run, role).await?;
        }
        change.commit().await?;
        Ok(answers)
    }

    /// Runs, the latest scheduled first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        let phases: String = filter.phases.iter().map(|phase| format!(",{phase},")).collect();
        let after = filter.after.as_ref();
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT * FROM runs
             WHERE ($1 = '' OR node = $1) AND ($2 = '' OR job = $2) AND ($3 = '' OR owner = $3)
               AND ($4 = '' OR $4 LIKE '%,' || phase || ',%')
               AND scheduled_at >= $5 AND scheduled_at < $6
               AND (scheduled_at, id, role) < ($7, $8, $9)
             ORDER BY scheduled_at DESC, id DESC, role DESC LIMIT $10",
        )
        .bind(filter.node.as_ref().map_or("", NodeName::as_str))
        .bind(filter.job.as_ref().map_or("", JobName::as_str))
        .bind(filter.owner.as_ref().map_or("", UserName::as_str))
        .bind(phases)
        .bind(filter.since.map_or(i64::MIN, micros))
        .bind(filter.until.map_or(i64::MAX, micros))
        .bind(after.map_or(i64::MAX, |key| key.scheduled_at))
        .bind(after.map_or("", |key| &key.id))
        .bind(after.map_or("", |key| &key.role))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(RunRow::try_from).collect()
    }

    /// The runs whose ids start with a prefix of hexadecimal digits and hyphens, in one or two roles
    /// each. More than a few are cut.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn runs_by_prefix(
        &self,
        prefix: &str,
        owner: Option<&UserName>,
        node: Option<&NodeName>,
    ) -> Result<Vec<RunRow>, StoreError> {
        // `g` follows every character of an id.
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT * FROM runs
             WHERE id >= $1 AND id < $1 || 'g' AND ($2 = '' OR owner = $2) AND ($3 = '' OR node = $3)
             ORDER BY id, role LIMIT 3",
        )
        .bind(prefix)
        .bind(owner.map_or("", UserName::as_str))
        .bind(node.map_or("", NodeName::as_str))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(RunRow::try_from).collect()
    }

    /// A run in a role.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn run(&self, run: RunId, role: RunRole) -> Result<Option<RunRow>, StoreError> {
        let row: Option<Columns> = sqlx::query_as("SELECT * FROM runs WHERE id = $1 AND role = $2")
            .bind(run.to_string())
            .bind(role.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(RunRow::try_from).transpose()
    }

    /// The recorded steps of a run, in order.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn steps(&self, run: RunId, role: RunRole) -> Result<Vec<RunStep>, StoreError> {
        let rows: Vec<StepColumns> =
            sqlx::query_as("SELECT * FROM run_events WHERE run_id = $1 AND role = $2 ORDER BY sequence")
                .bind(run.to_string())
                .bind(role.as_str())
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(RunStep::try_from).collect()
    }
}

async fn record_event(
    change: &mut Change,
    node: &NodeName,
    event: &RunEvent,
) -> Result<Recorded, StoreError> {
    let RunEvent { run, job, role, client, scheduled_at, step } = event;
    // Also an assignment that is no more: what ran before a job was removed is still reported.
    let owner: Option<(String,)> = sqlx::query_as(
        "SELECT jobs.owner FROM assignments JOIN jobs ON jobs.name = assignments.job
         WHERE assignments.job = $1 AND assignments.node = $2 AND assignments.role = $3
           AND ($4 = '' OR EXISTS (SELECT 1 FROM assignments c WHERE c.job = $1 AND c.node = $4 AND c.role = $5))",
    )
    .bind(job.as_str())
    .bind(node.as_str())
    .bind(role.as_str())
    .bind(client.as_ref().filter(|_| *role == RunRole::Server).map_or("", NodeName::as_str))
    .bind(RunRole::Client.as_str())
    .fetch_optional(&mut **change)
    .await?;
    let Some((owner,)) = owner else { return Ok(Recorded::Stranger) };
    // An agent that lost its journal says of what it knows nothing more that it was missed.
    let terminal: String =
        Phase::ALL.iter().filter(|phase| phase.is_terminal()).map(|phase| format!(",{phase},")).collect();
    let ended: Option<(i64,)> = sqlx::query_as(
        "SELECT sequence FROM run_events
         WHERE run_id = $1 AND role = $2 AND sequence < $3 AND $4 LIKE '%,' || phase || ',%' LIMIT 1",
    )
    .bind(run.to_string())
    .bind(role.as_str())
    .bind(step.sequence.cast_signed())
    .bind(terminal)
    .fetch_optional(&mut **change)
    .await?;
    if ended.is_some() {
        return Ok(Recorded::Known);
    }
    let inserted = sqlx::query(
        "INSERT INTO run_events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (run_id, role, sequence) DO NOTHING",
    )
    .bind(run.to_string())
    .bind(role.as_str())
    .bind(step.sequence.cast_signed())
    .bind(step.phase.as_str())
    .bind(step.reason.map(|reason| reason.as_str()))
    .bind(text(&step.message))
    .bind(micros(step.at))
    .bind(step.exit_code.map(i64::from))
    .bind(text(&step.image_digest))
    .bind(text(&step.commit))
    .execute(&mut **change)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(Recorded::Known);
    }
    sqlx::query(
        "INSERT INTO runs (id, role, job, node, owner, scheduled_at, phase, message, image_digest, commit_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', '') ON CONFLICT (id, role) DO NOTHING",
    )
    .bind(run.to_string())
    .bind(role.as_str())
    .bind(job.as_str())
    .bind(node.as_str())
    .bind(owner)
    .bind(micros(*scheduled_at))
    .bind(step.phase.as_str())
    .execute(&mut **change)
    .await?;
    Ok(Recorded::New)
}

/// Derives the run's row from all of its reports, in whatever order they came.
async fn add_up(change: &mut Change, run: RunId, role: RunRole) -> Result<(), StoreError> {
    // Held from here on, so that of two reports at a time the later one sees what the other added.
    sqlx::query("UPDATE runs SET phase = phase WHERE id = $1 AND role = $2")
        .bind(run.to_string())
        .bind(role.as_str())
        .execute(&mut **change)
        .await?;
    let steps = steps_so_far(change, run, role).await?;
    let Some(state) = RunState::of(&steps) else { return Ok(()) };
    sqlx::query(
        "UPDATE runs SET phase = $3, reason = $4, message = $5, started_at = $6, ended_at = $7,
                         exit_code = $8, image_digest = $9, commit_id = $10
         WHERE id = $1 AND role = $2",
    )
    .bind(run.to_string())
    .bind(role.as_str())
    .bind(state.phase.as_str())
    .bind(state.reason.map(|reason| reason.as_str()))
    .bind(state.message)
    .bind(state.started_at.map(micros))
    .bind(state.ended_at.map(micros))
    .bind(state.exit_code.map(i64::from))
    .bind(state.image_digest)
    .bind(state.commit)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// The steps of a part of a run that are recorded, those of this change among them.
pub(super) async fn steps_so_far(
    change: &mut Change,
    run: RunId,
    role: RunRole,
) -> Result<Vec<RunStep>, StoreError> {
    let rows: Vec<StepColumns> =
        sqlx::query_as("SELECT * FROM run_events WHERE run_id = $1 AND role = $2 ORDER BY sequence")
            .bind(run.to_string())
            .bind(role.as_str())
            .fetch_all(&mut **change)
            .await?;
    rows.into_iter().map(RunStep::try_from).collect()
}
