//! Servers that clients want.

use almanac_schemas::{Reason, RunId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use super::{Change, Store, StoreError, instant, micros, rows::text, testbed::word};
use crate::{
    hear::Heard,
    tasks::{News, Task, TaskState},
};

/// How long a task is kept after its time.
const KEPT: TimeDelta = TimeDelta::days(1);

/// The one reason of a server's end that its client's end has as well.
const MADE_ROOM: &str = Reason::Scavenger.as_str();

#[derive(FromRow)]
struct Columns {
    run_id: String,
    job: String,
    client: String,
    server: String,
    scheduled_at: i64,
    ends_at: i64,
    ttl: i64,
    state: String,
    message: String,
    reason: String,
    client_seen: i64,
    server_seen: i64,
    version: i64,
}

impl TryFrom<Columns> for Task {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self, StoreError> {
        Ok(Self {
            run: word("run", &row.run_id)?,
            job: word("job", &row.job)?,
            client: word("node", &row.client)?,
            server: word("node", &row.server)?,
            scheduled_at: instant(row.scheduled_at),
            ends_at: instant(row.ends_at),
            ttl: TimeDelta::microseconds(row.ttl),
            state: word("state of a task", &row.state)?,
            message: row.message,
            made_room: row.reason == MADE_ROOM,
            version: row.version,
        })
    }
}

impl Store {
    /// Wants a server. A task that is there already stays what it is.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn request_task(&self, task: &Task, now: DateTime<Utc>) -> Result<Task, StoreError> {
        let mut change = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO tasks (run_id, job, client, server, scheduled_at, ends_at, ttl, state, message,
                                client_seen, server_seen, version)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $9, $10) ON CONFLICT (run_id) DO NOTHING",
        )
        .bind(task.run.to_string())
        .bind(task.job.as_str())
        .bind(task.client.as_str())
        .bind(task.server.as_str())
        .bind(micros(task.scheduled_at))
        .bind(micros(task.ends_at))
        .bind(task.ttl.num_microseconds().unwrap_or(i64::MAX))
        .bind(task.state.as_str())
        .bind(micros(now))
        .bind(task.version)
        .execute(&mut *change)
        .await?
        .rows_affected();
        if inserted == 1 {
            self.engine.say(&mut change, Heard::Tasked).await?;
        }
        let row: Columns = sqlx::query_as("UPDATE tasks SET client_seen = $2 WHERE run_id = $1 RETURNING *")
            .bind(task.run.to_string())
            .bind(micros(now))
            .fetch_one(&mut *change)
            .await?;
        change.commit().await?;
        row.try_into()
    }

    /// A task.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn task(&self, run: RunId) -> Result<Option<Task>, StoreError> {
        let row: Option<Columns> = sqlx::query_as("SELECT * FROM tasks WHERE run_id = $1")
            .bind(run.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(Task::try_from).transpose()
    }

    /// The tasks whose time is not over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn tasks(&self, now: DateTime<Utc>) -> Result<Vec<Task>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as("SELECT * FROM tasks WHERE ends_at > $1")
            .bind(micros(now))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(Task::try_from).collect()
    }

    /// The client of a task is still there.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn renew_task(&self, run: RunId, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query("UPDATE tasks SET client_seen = $2 WHERE run_id = $1 AND client_seen < $2")
            .bind(run.to_string())
            .bind(micros(now))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What a node says of a task changes it, or does not. Nothing when there is no such task.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn update_task(
        &self,
        run: RunId,
        news: News,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Task>, StoreError> {
        let mut change = self.write().await?;
        // Held from here on, so that of two news at a time the later one sees what the other changed.
        let seen = if news == News::Released { "client_seen" } else { "server_seen" };
        let touch = format!("UPDATE tasks SET {seen} = $2 WHERE run_id = $1 RETURNING *");
        let row: Option<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(touch))
            .bind(run.to_string())
            .bind(micros(now))
            .fetch_optional(&mut *change)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut task = Task::try_from(row)?;
        if let Some((state, message)) = task.after(news, message) {
            (task.state, task.message, task.version) = (state, text(&message), task.version + 1);
            task.made_room = matches!(news, News::Failed { made_room: true });
            put_state(&mut change, &task).await?;
            self.engine.say(&mut change, Heard::Tasked).await?;
        }
        change.commit().await?;
        Ok(Some(task))
    }

    /// Ends the tasks of which one side was silent for too long although somebody listened `since` an instant, and returns
    /// them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn end_silent_tasks(
        &self,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Task>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT * FROM tasks WHERE ends_at > $1 AND $2 + ttl < $1 AND (
               (state IN ('requested', 'ready', 'served') AND client_seen + ttl < $1)
               OR (state = 'ready' AND server_seen + ttl < $1))",
        )
        .bind(micros(now))
        .bind(micros(since))
        .fetch_all(&self.pool)
        .await?;
        let mut ended = Vec::new();
        for row in rows {
            let (client_seen, server_seen) = (row.client_seen, row.server_seen);
            let mut task = Task::try_from(row)?;
            let client_is_lost = client_seen + task.ttl.num_microseconds().unwrap_or(i64::MAX) < micros(now);
            let (state, lost) = match client_is_lost {
                true => (TaskState::Abandoned, &task.client),
                false => (TaskState::Failed, &task.server),
            };
            task.message = format!("nothing was heard of `{lost}` for {} s", task.ttl.num_seconds());
            (task.state, task.version) = (state, task.version + 1);
            let mut change = self.write().await?;
            // Whoever was heard of meanwhile is not silent.
            let held = sqlx::query(
                "UPDATE tasks SET version = version
                 WHERE run_id = $1 AND version = $2 AND client_seen = $3 AND server_seen = $4",
            )
            .bind(task.run.to_string())
            .bind(task.version - 1)
            .bind(client_seen)
            .bind(server_seen)
            .execute(&mut *change)
            .await?
            .rows_affected();
            if held == 1 {
                put_state(&mut change, &task).await?;
                self.engine.say(&mut change, Heard::Tasked).await?;
                change.commit().await?;
                ended.push(task);
            }
        }
        Ok(ended)
    }

    /// Forgets the tasks whose time is long over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn forget_tasks(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tasks WHERE ends_at < $1")
            .bind(micros(now - KEPT))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn put_state(change: &mut Change, task: &Task) -> Result<(), StoreError> {
    sqlx::query("UPDATE tasks SET state = $2, message = $3, version = $4, reason = $5 WHERE run_id = $1")
        .bind(task.run.to_string())
        .bind(task.state.as_str())
        .bind(&task.message)
        .bind(task.version)
        .bind(if task.made_room { MADE_ROOM } else { "" })
        .execute(&mut **change)
        .await?;
    Ok(())
}
