//! A calendar as a chart: a row for each day and hours as columns, so that one sees where there is room.
//! When it is about several nodes and a single day, there is a row for each node.

use std::io::{self, Write};

use almanac_schemas::{Duration, Occurrence};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, offset::LocalResult};

use super::View;
use crate::calendar::{Calendar, Claimant};

/// The characters that a chart is made of.
#[derive(Debug, Clone, Copy)]
pub struct Symbols {
    free: char,
    /// From a little to nearly all of the time.
    partly: &'static [char],
    full: char,
    maintenance: char,
}

impl Symbols {
    /// Blocks whose height is the share of the time that is reserved.
    pub const UNICODE: Self =
        Self {
            free: '·', partly: &['▁', '▂', '▃', '▄', '▅', '▆', '▇'], full: '█', maintenance: '▒'
        };
    /// For terminals that have nothing else.
    pub const ASCII: Self = Self { free: '.', partly: &['-', '='], full: '#', maintenance: 'm' };
}

/// How many characters an hour may have: each stands for whole minutes then.
const PER_HOUR: [usize; 5] = [6, 4, 3, 2, 1];

/// The room for the share at the end of a row.
const SHARE: usize = 6;

/// A row: what stands before it, and whose time it shows.
struct Row<'c, 'a> {
    label: String,
    calendar: &'c Calendar<'a>,
    date: NaiveDate,
}

/// What one character stands for.
struct Cell {
    time: Occurrence,
    runs: TimeDelta,
    maintenance: TimeDelta,
}

/// Writes the first `limit` rows, with lines of at most `width` characters as far as that is possible,
/// and says how many rows there are beyond.
///
/// # Errors
///
/// When the text cannot be written.
pub fn chart(
    view: &View<'_, '_>,
    symbols: Symbols,
    limit: usize,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let last = (view.to - TimeDelta::nanoseconds(1)).with_timezone(&view.zone).date_naive();
    let first = view.from.with_timezone(&view.zone).date_naive();
    let days = usize::try_from((last - first).num_days() + 1).unwrap_or_default();
    let dates = || first.iter_days().take(days);

    let sections: Vec<(String, Vec<Row<'_, '_>>)> = if days == 1 && view.calendars.len() > 1 {
        let rows = view.calendars.iter();
        let rows =
            rows.map(|calendar| Row { label: calendar.node().to_string(), calendar, date: first }).collect();
        vec![(first.format("%A, %-d %B %Y").to_string(), rows)]
    } else {
        let rows = |calendar| {
            let row =
                move |date: NaiveDate| Row { label: date.format("%a %e %b").to_string(), calendar, date };
            // No more than are shown are made, even when a hundred years are asked for.
            dates().take(limit).map(row).collect()
        };
        view.calendars.iter().map(|calendar| (heading(view, calendar), rows(calendar))).collect()
    };

    let mut left = limit;
    let labels = sections.iter().flat_map(|(_, rows)| rows).map(|row| row.label.chars().count());
    let indent = labels.max().unwrap_or_default() + 2;
    let room = width.saturating_sub(indent + SHARE) / 24;
    let per_hour = PER_HOUR.into_iter().find(|per_hour| *per_hour <= room).unwrap_or(1);
    for (heading, rows) in sections {
        if left == 0 {
            break;
        }
        writeln!(out, "{heading}\n{}", scale(indent, per_hour))?;
        for row in rows.iter().take(left) {
            let (cells, share) = drawn(view, row, per_hour, symbols);
            writeln!(out, "{:<indent$}{cells} {share:>4}%", row.label)?;
            left -= 1;
        }
        writeln!(out)?;
    }
    legend(view, symbols, 60 / per_hour, out)?;
    let rows = if days == 1 { view.calendars.len() } else { days * view.calendars.len() };
    Ok(rows - (limit - left))
}

fn heading(view: &View<'_, '_>, calendar: &Calendar<'_>) -> String {
    let utilisation = calendar.utilisation(view.from, view.to);
    let seconds = |delta: TimeDelta| Duration::from_secs(delta.num_seconds().unsigned_abs());
    let whole = seconds(utilisation.whole);
    let share = percent(utilisation.reserved, utilisation.whole);
    let cordoned = if calendar.spec().cordoned { "; cordoned, nothing starts here" } else { "" };
    format!("{}: {share}% of {whole} reserved{cordoned}", calendar.node())
}

/// The hours above the columns.
fn scale(indent: usize, per_hour: usize) -> String {
    let step = if per_hour == 1 { 3 } else { 2 };
    let hours = (0..24).step_by(step).map(|hour| format!("{hour:<width$}", width = step * per_hour));
    format!("{:indent$}{}", "", hours.collect::<String>().trim_end())
}

fn legend(view: &View<'_, '_>, symbols: Symbols, minutes: usize, out: &mut dyn Write) -> io::Result<()> {
    let partly: String = symbols.partly.iter().collect();
    writeln!(
        out,
        "{} free   {partly} reserved in part   {} reserved   {} maintenance",
        symbols.free, symbols.full, symbols.maintenance
    )?;
    writeln!(out, "Each character is {minutes} minutes; hours are those of {}.", view.zone.name())
}

/// A row's characters, and how many percent of it are reserved.
fn drawn(view: &View<'_, '_>, row: &Row<'_, '_>, per_hour: usize, symbols: Symbols) -> (String, u8) {
    let mut cells = cells(view, row.date, per_hour);
    let (Some(first), Some(last)) = (cells.first(), cells.last()) else { return (String::new(), 0) };
    let (from, to) = (first.time.start, last.time.end);
    let mut covered = from;
    for (reserved, claimant) in row.calendar.reservations(from, to) {
        let part = Occurrence { start: reserved.start.max(covered), end: reserved.end.min(to) };
        covered = covered.max(reserved.end);
        let reached = cells.partition_point(|cell| cell.time.end <= part.start);
        for cell in cells[reached..].iter_mut().take_while(|cell| cell.time.start < part.end) {
            let time = part.end.min(cell.time.end) - part.start.max(cell.time.start);
            match claimant {
                Claimant::Job(_) => cell.runs += time,
                Claimant::Maintenance(_) => cell.maintenance += time,
            }
        }
    }
    let reserved = cells.iter().map(|cell| cell.runs + cell.maintenance).sum();
    let text = cells.iter().map(|cell| cell.symbol(symbols)).collect();
    (text, percent(reserved, to - from))
}

/// The cells of a day, as far as they are shown: of hours that do not exist, and outside the time that
/// was asked for, they are empty. Of an hour that happens twice, the last one is longer.
fn cells(view: &View<'_, '_>, date: NaiveDate, per_hour: usize) -> Vec<Cell> {
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let minutes = 60 / per_hour;
    let within = (0..24 * per_hour).filter_map(|index| {
        let minute = u32::try_from(index * minutes).ok()?;
        NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).map(|time| date.and_time(time))
    });
    let bounds: Vec<_> = within
        .chain([next.and_time(NaiveTime::MIN)])
        .map(|local| beginning(view, local).clamp(view.from, view.to))
        .collect();
    let cell = |bounds: &[DateTime<Utc>]| Cell {
        time: Occurrence { start: bounds[0], end: bounds[1].max(bounds[0]) },
        runs: TimeDelta::zero(),
        maintenance: TimeDelta::zero(),
    };
    bounds.windows(2).map(cell).collect()
}

/// The first instant at which the clock shows a time, or a later one where it skips that.
fn beginning(view: &View<'_, '_>, local: chrono::NaiveDateTime) -> DateTime<Utc> {
    // No clock was ever set forward by more than a day.
    let later = (0..=24 * 60).map(|minutes| local + TimeDelta::minutes(minutes));
    let mut exact = later.filter_map(|local| match view.zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant.to_utc()),
        LocalResult::None => None,
    });
    exact.next().unwrap_or_else(|| local.and_utc())
}

impl Cell {
    fn symbol(&self, symbols: Symbols) -> char {
        let (whole, reserved) = (self.time.end - self.time.start, self.runs + self.maintenance);
        if whole.is_zero() {
            ' '
        } else if reserved.is_zero() {
            symbols.free
        } else if self.maintenance > self.runs {
            symbols.maintenance
        } else if reserved >= whole {
            symbols.full
        } else {
            let share = reserved.as_seconds_f64() / whole.as_seconds_f64();
            let levels = symbols.partly.len();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and the levels"
            )]
            let level = (share * levels as f64) as usize;
            symbols.partly[level.min(levels - 1)]
        }
    }
}

/// A share in percent: 0 only for nothing, 100 only for all.
fn percent(part: TimeDelta, whole: TimeDelta) -> u8 {
    let (part, whole) = (part.num_seconds(), whole.num_seconds().max(1));
    let rounded = (part * 100 + whole / 2) / whole;
    let bounded = match part {
        0 => 0,
        part if part >= whole => 100,
        _ => rounded.clamp(1, 99),
    };
    u8::try_from(bounded).unwrap_or(100)
}
