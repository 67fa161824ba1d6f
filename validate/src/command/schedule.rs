//! `almanac-validate schedule`.

use std::io::{self, IsTerminal, Write};

use almanac_schemas::{Duration, Instant, NodeName, Timezone, When};
use almanac_validate::{
    calendar::Calendar,
    render::calendar::{View, chart, ical, json, table},
};
use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::ValueEnum;

use super::{
    now::Now,
    print::{print, say},
    source::Place,
    testbed,
};
use crate::exit::Exit;

const AFTER_HELP: &str = "\
Examples:
  almanac-validate schedule --node london-01
  almanac-validate schedule --node london-01 --format chart --for 2d --timezone Europe/London
  almanac-validate schedule --from 2027-01-10 --to 2027-02-01 --format ical >january.ics

Exit codes:
  0  the calendar was shown, even if it is empty
  1  the manifests have errors
  2  the command could not be run";

/// Show when jobs run and nodes are maintained, and where there is room.
///
/// An exclusive run has its node for itself, and so has
/// maintenance; a shared run may overlap anything.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Schedule {
    #[command(flatten)]
    place: Place,

    /// Only on this node; may be given several times.
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<NodeName>,

    /// From this time on.
    ///
    /// RFC 3339, a date, `now`, `today`, `tomorrow`, `-2h`, `+1d`. Days begin at midnight UTC.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    from: When,

    /// Up to this time; for a week when it is not given.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "length")]
    to: Option<When>,

    /// For so long, such as 2d, instead of --to.
    #[arg(long = "for", id = "length", value_name = "DURATION")]
    length: Option<Duration>,

    /// How the calendar is written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The time zone of a table's and a chart's times, such as Europe/London.
    ///
    /// JSON and iCalendar are always in UTC.
    #[arg(long, value_name = "ZONE", default_value_t)]
    timezone: Timezone,

    /// At most so many rows of a table or a chart; 0 for all.
    ///
    /// JSON and iCalendar are always whole.
    #[arg(long, value_name = "COUNT", default_value_t = 60)]
    limit: usize,

    /// How long the lines of a table or a chart may be.
    ///
    /// As wide as the terminal when it is not given. Anywhere else a table is as wide as it has to be,
    /// and a chart has 80 columns.
    #[arg(long, value_name = "COUNT")]
    width: Option<usize>,

    /// Draw the chart in ASCII.
    #[arg(long)]
    ascii: bool,

    #[command(flatten)]
    now: Now,
}

/// How a calendar is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, with a line for each run and each time of maintenance.
    Table,
    /// For programs, as one JSON document.
    Json,
    /// For programs that show calendars, as iCalendar (RFC 5545).
    Ical,
    /// For people, with a row for each day, to see where there is room.
    Chart,
}

/// The length of what is shown when nothing is said about it.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// How wide a chart is where there is no terminal.
const WIDTH: usize = 80;

impl Schedule {
    /// Shows the calendar.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let now = self.now.instant();
        let (from, to) = self.range(now)?;
        let Some(testbed) = testbed::read(&self.place, now)? else { return Ok(Exit::Findings) };
        let calendars = testbed::calendars(&testbed, &self.nodes)?;
        let view = View { calendars: &calendars, from, to, zone: self.timezone.0 };
        let left = print(|out| self.write(&view, now, out))?;
        if matches!(self.format, Format::Table | Format::Chart) {
            self.notes(&view, left);
        }
        Ok(Exit::Clean)
    }

    fn range(&self, now: DateTime<Utc>) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        let from = self.from.resolve(now);
        let to = match self.to {
            Some(to) => to.resolve(now),
            None => from + self.length.unwrap_or(WEEK).to_delta(),
        };
        if to <= from {
            bail!("there is no time from {} to {}", Instant(from), Instant(to));
        }
        Ok((from, to))
    }

    /// Writes it, and says how many rows were left out.
    fn write(&self, view: &View<'_, '_>, now: DateTime<Utc>, out: &mut dyn Write) -> io::Result<usize> {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let width = self.width.or_else(terminal_width);
        let symbols = if self.ascii { chart::Symbols::ASCII } else { chart::Symbols::UNICODE };
        match self.format {
            Format::Table => table::table(view, limit, width, out),
            Format::Chart => chart::chart(view, symbols, limit, width.unwrap_or(WIDTH), out),
            Format::Json => json::json(view, out).map(|()| 0),
            Format::Ical => ical::ical(view, now, out).map(|()| 0),
        }
    }

    /// Says what the rows alone do not.
    fn notes(&self, view: &View<'_, '_>, left: usize) {
        let (from, to) = (Instant(view.from), Instant(view.to));
        let is_table = self.format == Format::Table;
        if is_table
            && view.calendars.iter().all(|calendar| calendar.entries(view.from, view.to).next().is_none())
        {
            let nodes =
                if self.nodes.is_empty() { "any node".to_owned() } else { testbed::named(view.calendars) };
            say(&format!("nothing happens on {nodes} from {from} to {to}"));
        }
        if left > 0 {
            say(&format!("{left} more rows up to {to}: ask for them with `--limit` (0 for all)"));
        }
        let cordoned: Vec<Calendar<'_>> =
            view.calendars.iter().filter(|calendar| calendar.spec().cordoned).cloned().collect();
        // A chart says so itself.
        if is_table && !cordoned.is_empty() {
            let verb = if cordoned.len() == 1 { "is" } else { "are" };
            say(&format!(
                "{} {verb} cordoned: nothing starts there until that is over",
                testbed::named(&cordoned)
            ));
        }
    }
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}
