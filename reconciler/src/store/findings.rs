//! What syncs found.

use std::{fmt, iter};

use almanac_validate::Finding;

use super::{
    Change, Store, StoreError, count, page,
    rows::{insert, text},
};

/// A recorded finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `almanac_validate::Finding`")]
pub struct FindingRow {
    pub rule: String,
    pub severity: String,
    /// With the finding's notes.
    pub message: String,
    /// From the root of the repository, wherever the manifests lie in it.
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    pub help: String,
}

impl fmt::Display for FindingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity, self.rule, self.message)?;
        if !self.file.is_empty() {
            writeln!(f, " --> {}:{}:{}", self.file, self.line, self.column)?;
        }
        if !self.help.is_empty() {
            writeln!(f, "  = help: {}", self.help)?;
        }
        writeln!(f)
    }
}

type Columns = (String, String, String, String, i64, i64, i64, i64, String);

impl FindingRow {
    /// A finding about manifests that lie below a folder of the repository; an empty one is its root.
    pub fn of(finding: &Finding, folder: &str) -> Self {
        let place = finding.location.as_ref();
        let file = place.map_or(String::new(), |place| {
            if folder.is_empty() { place.file.clone() } else { format!("{folder}/{}", place.file) }
        });
        let number = |number: Option<u32>| number.unwrap_or_default();
        let notes = finding.notes.iter().map(String::as_str);
        let message = iter::once(finding.message.as_str()).chain(notes).collect::<Vec<_>>().join("; ");
        Self {
            rule: finding.rule.as_str().to_owned(),
            severity: finding.severity.as_str().to_owned(),
            message: text(&message),
            file: text(&file),
            line: number(place.map(|place| place.line)),
            column: number(place.map(|place| place.column)),
            end_line: number(place.map(|place| place.end_line)),
            end_column: number(place.map(|place| place.end_column)),
            help: text(finding.help.as_deref().unwrap_or_default()),
        }
    }

    /// What it is about, and where: what stays the same while texts name instants that move on.
    pub fn place(&self) -> (&str, &str, u32, u32) {
        (&self.rule, &self.file, self.line, self.column)
    }
}

impl From<Columns> for FindingRow {
    fn from(row: Columns) -> Self {
        let (rule, severity, message, file, line, column, end_line, end_column, help) = row;
        Self {
            rule,
            severity,
            message,
            file,
            line: count(line),
            column: count(column),
            end_line: count(end_line),
            end_column: count(end_column),
            help,
        }
    }
}

impl Store {
    /// The findings of a sync, in the order of files and lines.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn findings(&self, sync: i64) -> Result<Vec<FindingRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT rule, severity, message, file, line, col, end_line, end_col, help
             FROM findings WHERE sync_id = $1 ORDER BY position",
        )
        .bind(sync)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(FindingRow::from).collect())
    }

    /// A page of the same, from a position on, and whether there are more.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn findings_from(
        &self,
        sync: i64,
        from: i64,
        limit: u32,
    ) -> Result<(Vec<FindingRow>, bool), StoreError> {
        let rows = sqlx::query_as(
            "SELECT rule, severity, message, file, line, col, end_line, end_col, help
             FROM findings WHERE sync_id = $1 AND position >= $2 ORDER BY position LIMIT $3",
        )
        .bind(sync)
        .bind(from)
        .bind(i64::from(limit) + 1)
        .fetch(&self.pool);
        let size = |row: &Columns| row.2.len() + row.3.len() + row.8.len();
        let (rows, more) = page::read(rows, limit, size).await?;
        Ok((rows.into_iter().map(FindingRow::from).collect(), more))
    }
}

pub(super) async fn put(change: &mut Change, sync: i64, findings: &[FindingRow]) -> Result<(), StoreError> {
    let row = |(position, finding): (i64, &FindingRow)| {
        [
            sync.into(),
            position.into(),
            finding.rule.as_str().into(),
            finding.severity.as_str().into(),
            finding.message.as_str().into(),
            finding.file.as_str().into(),
            finding.line.into(),
            finding.column.into(),
            finding.end_line.into(),
            finding.end_column.into(),
            finding.help.as_str().into(),
        ]
    };
    let columns = [
        "sync_id", "position", "rule", "severity", "message", "file", "line", "col", "end_line", "end_col",
        "help",
    ];
    insert(change, "findings", columns, "", (0..).zip(findings).map(row).collect()).await
}
