//! A calendar as a table. Columns are left out and names cut before a line would be too long.

use std::io::{self, Write};

use almanac_schemas::Occurrence;
use chrono::Timelike;
use chrono_tz::Tz;

use super::View;
use crate::calendar::{Entry, What, entries};

/// The room between two columns.
const GAP: &str = "  ";

/// The least that a cut name keeps, so that it can still be told from others.
const LEAST: usize = 8;

/// A column, by what becomes of it when there is no room: the first of these goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Drop(u8),
    Shorten,
    Keep,
}

/// A column with its cells, the title first.
struct Column {
    fit: Fit,
    cells: Vec<String>,
}

/// Writes the first `limit` rows, with lines of at most `width` characters as far as that is possible,
/// and says how many rows there are beyond.
///
/// # Errors
///
/// When the text cannot be written.
pub fn table(
    view: &View<'_, '_>,
    limit: usize,
    width: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let mut all = entries(view.calendars, view.from, view.to);
    let shown: Vec<_> = all.by_ref().take(limit).collect();
    if !shown.is_empty() {
        draw(&fitted(columns(view, &shown), width.unwrap_or(usize::MAX)), out)?;
    }
    Ok(all.count())
}

fn columns(view: &View<'_, '_>, shown: &[Entry<'_>]) -> Vec<Column> {
    let column = |title: &str, fit: Fit, cell: &dyn Fn(&Entry<'_>) -> String| Column {
        fit,
        cells: std::iter::once(title.to_owned()).chain(shown.iter().map(cell)).collect(),
    };
    let clock = Clock::new(view.zone, shown);
    let mut columns = vec![
        column(&format!("START ({})", view.zone.name()), Fit::Keep, &|entry| clock.start(entry.time)),
        column("END", Fit::Keep, &|entry| clock.end(entry.time)),
        column("NODE", Fit::Shorten, &|entry| entry.node.to_string()),
        column("JOB", Fit::Shorten, &|entry| match entry.what {
            What::Run { job, .. } => job.to_string(),
            What::Maintenance { .. } => "-".to_owned(),
        }),
        column("ROLE", Fit::Drop(1), &|entry| match entry.what {
            What::Run { role, .. } => role.to_string(),
            What::Maintenance { .. } => "-".to_owned(),
        }),
        column("OWNER", Fit::Drop(0), &|entry| match entry.what {
            What::Run { spec, .. } => spec.owner.to_string(),
            What::Maintenance { .. } => "-".to_owned(),
        }),
        column("KIND", Fit::Drop(2), &|entry| kind(entry.what).to_owned()),
    ];
    if view.calendars.len() == 1 {
        columns.remove(2);
    }
    columns
}

fn kind(what: What<'_>) -> &'static str {
    match what {
        What::Maintenance { .. } => "maintenance",
        What::Run { spec, .. } if spec.exclusive => "exclusive",
        What::Run { .. } => "shared",
    }
}

/// How instants are written.
struct Clock {
    zone: Tz,
    /// The time of day: with seconds only when there are any, with the zone's abbreviation where that
    /// is not always the same.
    time: &'static str,
}

impl Clock {
    fn new(zone: Tz, shown: &[Entry<'_>]) -> Self {
        let exact = shown.iter().flat_map(|entry| [entry.time.start, entry.time.end]);
        let seconds = exact.into_iter().any(|instant| instant.second() != 0);
        let time = match (seconds, zone == Tz::UTC) {
            (false, true) => "%H:%M",
            (true, true) => "%H:%M:%S",
            (false, false) => "%H:%M %Z",
            (true, false) => "%H:%M:%S %Z",
        };
        Self { zone, time }
    }

    fn start(&self, time: Occurrence) -> String {
        time.start.with_timezone(&self.zone).format(&format!("%a %Y-%m-%d {}", self.time)).to_string()
    }

    /// The date is left out when it is the one that it starts on.
    fn end(&self, time: Occurrence) -> String {
        let (start, end) = (time.start.with_timezone(&self.zone), time.end.with_timezone(&self.zone));
        let date = if start.date_naive() == end.date_naive() { "" } else { "%Y-%m-%d " };
        end.format(&format!("{date}{}", self.time)).to_string()
    }
}

fn fitted(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    while line(&columns) > width
        && let Some((index, fit)) =
            columns.iter().map(|column| column.fit).enumerate().min_by_key(|(_, fit)| *fit)
        && let Fit::Drop(_) = fit
    {
        columns.remove(index);
    }
    while line(&columns) > width {
        let longest = columns
            .iter_mut()
            .filter(|column| column.fit == Fit::Shorten)
            .max_by_key(|column| extent(column));
        let Some(column) = longest else { break };
        let length = extent(column);
        if length <= LEAST {
            break;
        }
        column.cells.iter_mut().for_each(|cell| shorten(cell, length - 1));
    }
    columns
}

/// Cuts a text to so many characters, the last of which then says that something is missing.
fn shorten(text: &mut String, length: usize) {
    if text.chars().count() > length {
        *text = text.trim_end_matches('…').chars().take(length - 1).chain(['…']).collect();
    }
}

fn extent(column: &Column) -> usize {
    column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default()
}

fn line(columns: &[Column]) -> usize {
    columns.iter().map(extent).sum::<usize>() + GAP.len() * columns.len().saturating_sub(1)
}

fn draw(columns: &[Column], out: &mut dyn Write) -> io::Result<()> {
    let extents: Vec<_> = columns.iter().map(extent).collect();
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        let cells =
            columns.iter().zip(&extents).map(|(column, width)| format!("{:<width$}", column.cells[row]));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(GAP).trim_end())?;
    }
    Ok(())
}
