//! What syncs changed, or would change once they are approved.

use almanac_schemas::Kind;
use almanac_validate::plan::Action;
use sqlx::FromRow;

use super::{Store, StoreError, SyncOutcome, SyncRow, page, syncs};

/// A recorded change of a user, node, job or of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Of what.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What was done.
    pub action: Action,
    /// Labels and spec in JSON before; empty where there was nothing.
    pub before: String,
    /// Labels and spec in JSON after; empty where there is nothing any more.
    pub after: String,
}

/// A recorded change with the sync that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The sync.
    pub sync: SyncRow,
    /// What it changed.
    pub change: ChangeRow,
}

type Columns = (String, String, String, String, String);

#[derive(FromRow)]
struct HistoryColumns {
    #[sqlx(flatten)]
    sync: syncs::Columns,
    action: String,
    before_json: String,
    after_json: String,
}

impl TryFrom<Columns> for ChangeRow {
    type Error = StoreError;

    fn try_from((kind, name, action, before, after): Columns) -> Result<Self, StoreError> {
        let json = serde_json::Value::from(kind.as_str());
        Ok(Self {
            kind: serde_json::from_value(json).map_err(StoreError::value("kind", &kind))?,
            action: action_of(&action)?,
            name,
            before,
            after,
        })
    }
}

impl Store {
    /// A page of the changes of a sync, from a position on, and whether there are more; of a sync that waits, those that
    /// it would make.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn changes_from(
        &self,
        sync: i64,
        from: i64,
        limit: u32,
    ) -> Result<(Vec<ChangeRow>, bool), StoreError> {
        let rows = sqlx::query_as(
            "SELECT kind, name, action, before_json, after_json
             FROM changes WHERE sync_id = $1 AND position >= $2 ORDER BY position LIMIT $3",
        )
        .bind(sync)
        .bind(from)
        .bind(i64::from(limit) + 1)
        .fetch(&self.pool);
        let size = |(_, name, _, before, after): &Columns| name.len() + before.len() + after.len();
        let (rows, more) = page::read(rows, limit, size).await?;
        Ok((rows.into_iter().map(ChangeRow::try_from).collect::<Result<_, _>>()?, more))
    }

    /// A page of what happened to something, with the syncs that did it, the latest first, and whether there is more.
    /// What waits did not happen.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn history(
        &self,
        kind: Kind,
        name: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<HistoryRow>, bool), StoreError> {
        let rows = sqlx::query_as(
            "SELECT syncs.*, changes.action, changes.before_json, changes.after_json
             FROM changes JOIN syncs ON syncs.id = changes.sync_id
             WHERE changes.kind = $1 AND changes.name = $2 AND changes.sync_id < $3 AND syncs.outcome = $5
             ORDER BY changes.sync_id DESC LIMIT $4",
        )
        .bind(kind.as_str())
        .bind(name)
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .bind(SyncOutcome::Applied.as_str())
        .fetch(&self.pool);
        let size = |row: &HistoryColumns| row.before_json.len() + row.after_json.len();
        let (rows, more) = page::read(rows, limit, size).await?;
        let row = |row: HistoryColumns| {
            let HistoryColumns { sync, action, before_json: before, after_json: after } = row;
            let action = action_of(&action)?;
            let change = ChangeRow { kind, name: name.to_owned(), action, before, after };
            Ok(HistoryRow { sync: sync.try_into()?, change })
        };
        Ok((rows.into_iter().map(row).collect::<Result<_, StoreError>>()?, more))
    }
}

fn action_of(word: &str) -> Result<Action, StoreError> {
    Action::from_word(word).map_err(StoreError::value("action", word))
}
