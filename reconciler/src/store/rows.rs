//! Many rows in few statements: what a first sync of thousands of manifests needs, and a database at
//! the other end of a network even more.

use sqlx::{Any, AssertSqlSafe, query::Query};

use super::{Change, StoreError};

/// How many rows a statement inserts. With ten columns it stays far below the 32,766 parameters that
/// SQLite allows (sqlite.org/limits.html).
const ROWS: usize = 200;

/// A value of a row.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(said: &str) -> Self {
        Self::Text(text(said))
    }
}

impl From<String> for Value {
    fn from(said: String) -> Self {
        Self::Text(text(&said))
    }
}

/// What somebody said, as both databases keep it: PostgreSQL's texts hold no NUL, and whoever says one would be
/// refused whenever they try again.
pub(super) fn text(said: &str) -> String {
    said.replace('\0', "\u{fffd}")
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// Inserts rows into the columns of a table. `conflict` says what to do where there is one already,
/// such as `ON CONFLICT (name) DO NOTHING`.
pub(super) async fn insert<const N: usize>(
    change: &mut Change,
    table: &'static str,
    columns: [&'static str; N],
    conflict: &'static str,
    rows: Vec<[Value; N]>,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let part: Vec<[Value; N]> = rows.by_ref().take(ROWS).collect();
        let text = statement(table, &columns, conflict, part.len());
        // Whole parts and single rows come again and again; the rest would only fill the cache.
        let again = part.len() == ROWS || part.len() == 1;
        let query = sqlx::query(AssertSqlSafe(text)).persistent(again);
        part.into_iter().flatten().fold(query, bound).execute(&mut **change).await?;
    }
    Ok(())
}

type AnyQuery<'q> = Query<'q, Any, <Any as sqlx::Database>::Arguments>;

fn bound(query: AnyQuery<'_>, value: Value) -> AnyQuery<'_> {
    match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    }
}

fn statement(table: &str, columns: &[&str], conflict: &str, rows: usize) -> String {
    let mut text = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns.len() {
            let separator = if column == 0 { "" } else { ", " };
            text.push_str(&format!("{separator}${}", row * columns.len() + column + 1));
        }
        text.push(')');
    }
    text.push(' ');
    text.push_str(conflict);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through() {
        assert_eq!(
            statement("t", &["a", "b"], "ON CONFLICT (a) DO NOTHING", 2),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT (a) DO NOTHING"
        );
    }
}
