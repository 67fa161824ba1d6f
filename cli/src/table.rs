//! Tables that fit the terminal: columns are shortened or left out before a line would wrap.

use comfy_table::{Cell as Styled, Color, ContentArrangement, Table, presets};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A column and what becomes of it when there is no room.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// What happens to it when lines are too long.
    pub fit: Fit,
}

/// What happens to a column when lines are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It stays as it is.
    Keep,
    /// Its longest cells are cut, after all columns that may be left out are.
    Shorten,
    /// It is left out; the lowest rank first.
    Drop(u8),
    /// Its texts go on in the lines below, after all columns that may be left out are and before any is
    /// cut. For what is to be read in full.
    Wrap,
}

/// The least that a shortened cell keeps, so that it can still be told from others.
const LEAST: usize = 8;

/// The least that a line of a text that goes on below has.
const LEAST_WRAPPED: usize = 24;

/// What a colour begins and ends with, up to an `m`. Texts have none of it: they are made [`printable`].
const ESCAPE: &str = "\u{1b}[";

/// The room between two columns.
const GAP: usize = 2;

/// A text and how it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// How a text is meant; a colour where the terminal has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Under way.
    Busy,
    /// Worth a look.
    Odd,
    /// Wrong.
    Bad,
}

impl Cell {
    /// A text of some tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: printable(&text.into()), tone }
    }
}

/// A text without what steers a terminal: anybody may write anything into a commit's message.
pub fn printable(text: &str) -> String {
    let escaped = |c: char| c.escape_default().collect::<String>();
    text.chars().map(|c| if c.is_control() { escaped(c) } else { c.to_string() }).collect()
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// How tables are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// How many columns of the terminal a line may take; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// Whether tones become colours.
    pub colour: bool,
}

/// Draws a table with titles.
pub fn table(columns: &[Column], mut rows: Vec<Vec<Cell>>, style: Style) -> String {
    let mut columns = columns.to_vec();
    if let Some(width) = style.width {
        fit(&mut columns, &mut rows, width);
        break_words(&columns, &mut rows, width);
    }
    let titles = columns.iter().map(|column| Styled::new(column.title)).collect();
    draw(Some(titles), rows, style)
}

/// Draws pairs of a label and a value, one a line. A value that is too long goes on below.
pub fn details(pairs: Vec<(&'static str, Cell)>, style: Style) -> String {
    let mut rows: Vec<_> = pairs.into_iter().map(|(label, cell)| vec![label.into(), cell]).collect();
    let column = |fit| Column { title: "", fit };
    if let Some(width) = style.width {
        fit(&mut vec![column(Fit::Keep), column(Fit::Wrap)], &mut rows, width);
    }
    draw(None, rows, style)
}

fn draw(titles: Option<Vec<Styled>>, rows: Vec<Vec<Cell>>, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if let Some(titles) = titles {
        table.set_header(titles);
    }
    for row in rows {
        table.add_row(row.into_iter().map(styled).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, u16::try_from(GAP).unwrap_or_default()));
    }
    table.lines().map(|line| format!("{}\n", trimmed(&line))).collect()
}

/// A line without the room that fills its last column, also where a colour ends after it: it would make the line
/// wrap as well as a text does.
fn trimmed(line: &str) -> String {
    let line = line.trim_end();
    match line.rsplit_once(ESCAPE) {
        Some((before, code)) if code.ends_with('m') => format!("{}{ESCAPE}{code}", before.trim_end()),
        _ => line.to_owned(),
    }
}

fn styled(cell: Cell) -> Styled {
    let plain = Styled::new(cell.text);
    match cell.tone {
        Tone::Plain => plain,
        Tone::Good => plain.fg(Color::Green),
        Tone::Busy => plain.fg(Color::Cyan),
        Tone::Odd => plain.fg(Color::Yellow),
        Tone::Bad => plain.fg(Color::Red),
    }
}

/// Leaves out and shortens columns until each line takes at most `width`, as far as that is possible.
fn fit(columns: &mut Vec<Column>, rows: &mut [Vec<Cell>], width: usize) {
    let drops = |columns: &[Column]| {
        let ranks = columns.iter().enumerate().filter_map(|(index, column)| match column.fit {
            Fit::Drop(rank) => Some((rank, index)),
            Fit::Keep | Fit::Shorten | Fit::Wrap => None,
        });
        ranks.min().map(|(_, index)| index)
    };
    while line(columns, rows) > width
        && let Some(index) = drops(columns)
    {
        columns.remove(index);
        for row in &mut *rows {
            row.remove(index);
        }
    }
    if let Some(room) = wrapped_room(columns, rows, width) {
        rewrap(columns, rows, |text| wrap(text, room));
    }
    while line(columns, rows) > width {
        let longest = (0..columns.len())
            .filter(|index| columns[*index].fit == Fit::Shorten)
            .max_by_key(|index| extent(columns, rows, *index));
        let Some(index) = longest else { break };
        let extent = extent(columns, rows, index);
        if extent <= LEAST {
            break;
        }
        for cell in rows.iter_mut().map(|row| &mut row[index]) {
            shorten(&mut cell.text, extent - 1);
        }
    }
}

/// Breaks words that make lines too long even so. The terminal would break them too, and across the columns
/// beside them.
fn break_words(columns: &[Column], rows: &mut [Vec<Cell>], width: usize) {
    if let Some(room) = wrapped_room(columns, rows, width) {
        rewrap(columns, rows, |text| {
            text.split('\n').map(|line| chopped(line, room)).collect::<Vec<_>>().join("\n")
        });
    }
}

/// How wide a column may be whose texts go on below, so that lines take at most `width`; `None` where they do anyhow. Of
/// several such columns, those that need less keep what they need.
fn wrapped_room(columns: &[Column], rows: &[Vec<Cell>], width: usize) -> Option<usize> {
    let too_long = line(columns, rows).checked_sub(width).filter(|too_long| *too_long > 0)?;
    let wrapped = (0..columns.len()).filter(|index| columns[*index].fit == Fit::Wrap);
    let extents: Vec<usize> = wrapped.map(|index| extent(columns, rows, index)).collect();
    let available = extents.iter().sum::<usize>().saturating_sub(too_long);
    let taken = |room: usize| extents.iter().map(|extent| room.min(*extent)).sum::<usize>();
    (LEAST_WRAPPED..=*extents.iter().max()?)
        .rev()
        .find(|room| taken(*room) <= available)
        .or(Some(LEAST_WRAPPED))
}

/// Changes the texts of all columns that go on below.
fn rewrap(columns: &[Column], rows: &mut [Vec<Cell>], change: impl Fn(&str) -> String) {
    for row in rows {
        let wrapped = row.iter_mut().zip(columns).filter(|(_, column)| column.fit == Fit::Wrap);
        wrapped.for_each(|(cell, _)| cell.text = change(&cell.text));
    }
}

/// A line as lines that take so much room at most.
fn chopped(mut line: &str, room: usize) -> String {
    let mut lines = Vec::new();
    while line.width() > room {
        let (start, rest) = line.split_at(start(line, room).len().max(1));
        lines.push(start);
        line = rest;
    }
    lines.push(line);
    lines.join("\n")
}

/// The longest beginning of a text that takes so much room at most.
fn start(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let over = text.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or_default();
        taken > room
    });
    over.map_or(text, |(end, _)| &text[..end])
}

/// Breaks a text at spaces into lines that take so much room. A longer word is not broken: it may be
/// something to copy.
fn wrap(text: &str, room: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// Cuts a text to so much room, the last of which then says that something is missing.
fn shorten(text: &mut String, room: usize) {
    if text.width() > room {
        *text = format!("{}…", start(text.trim_end_matches('…'), room - 1));
    }
}

fn extent(columns: &[Column], rows: &[Vec<Cell>], index: usize) -> usize {
    let lines = rows.iter().flat_map(|row| row[index].text.split('\n'));
    lines.map(UnicodeWidthStr::width).chain([columns[index].title.len()]).max().unwrap_or_default()
}

fn line(columns: &[Column], rows: &[Vec<Cell>]) -> usize {
    let texts: usize = (0..columns.len()).map(|index| extent(columns, rows, index)).sum();
    texts + GAP * columns.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_at(width: Option<usize>) -> String {
        let columns = [
            Column { title: "ID", fit: Fit::Keep },
            Column { title: "NAME", fit: Fit::Shorten },
            Column { title: "NOTE", fit: Fit::Drop(2) },
            Column { title: "OWNER", fit: Fit::Drop(1) },
        ];
        let row = |id: &str, name: &str| {
            vec![Cell::from(id), name.into(), "remarkable".into(), Cell::toned("alice", Tone::Good)]
        };
        let rows = vec![row("1", "a-rather-long-name"), row("2", "b")];
        table(&columns, rows, Style { width, colour: false })
    }

    #[test]
    fn a_text_to_be_read_in_full_goes_on_below() {
        let columns =
            [Column { title: "ID", fit: Fit::Shorten }, Column { title: "MESSAGE", fit: Fit::Wrap }];
        let text = "it holds less than what is in force";
        let at = |width| {
            let rows = vec![vec![Cell::from("a-rather-long-name"), text.into()]];
            table(&columns, rows, Style { width: Some(width), colour: false })
        };
        let wide = format!("ID                  MESSAGE\na-rather-long-name  {text}\n");
        assert_eq!(at(55), wide);
        let narrow = "ID                  MESSAGE\na-rather-long-name  it holds less than what\n                    is in force\n";
        assert_eq!(at(44), narrow);
        assert!(at(40).starts_with("ID               MESSAGE\na-rather-long-…  it holds"), "{}", at(40));
        let pairs = || vec![("reason", Cell::from(text))];
        let at = |width| details(pairs(), Style { width: Some(width), colour: false });
        assert_eq!(at(43), format!("reason  {text}\n"));
        assert_eq!(at(33), "reason  it holds less than what\n        is in force\n");
        assert_eq!(at(1), at(33), "a word is not broken, and a line has some room");
    }

    #[test]
    fn of_two_texts_the_longer_goes_on_below_first() {
        let columns = [Column { title: "ONE", fit: Fit::Wrap }, Column { title: "OTHER", fit: Fit::Wrap }];
        let at = |one: &str, other: &str, width| {
            let rows = vec![vec![Cell::from(one), other.into()]];
            table(&columns, rows, Style { width: Some(width), colour: false })
        };
        let (long, short) = ("it holds less than what is in force on its node", "it is well");
        let expected = "ONE                            OTHER\nit holds less than what is in  it is well\nforce on its node\n";
        assert_eq!(at(long, short, 44), expected);
        let both = at(long, long, 60);
        assert!(both.lines().all(|line| line.width() <= 60), "{both}");
        assert!(both.lines().nth(1).unwrap().contains("it holds less than what is"), "{both}");
        let word = "x".repeat(100);
        assert!(at(&word, &word, 60).lines().all(|line| line.width() <= 60));
    }

    #[test]
    fn what_takes_two_columns_is_counted_as_two() {
        let columns = [Column { title: "ID", fit: Fit::Keep }, Column { title: "NAME", fit: Fit::Shorten }];
        let at = |width| {
            let rows = vec![vec![Cell::from("1"), "山田太郎と鈴木".into()]];
            table(&columns, rows, Style { width: Some(width), colour: false })
        };
        assert_eq!(at(18), "ID  NAME\n1   山田太郎と鈴木\n");
        assert_eq!(at(17), "ID  NAME\n1   山田太郎と鈴…\n");
        assert_eq!(at(16), "ID  NAME\n1   山田太郎と…\n");
    }

    #[test]
    fn a_word_that_leaves_no_other_way_is_broken_in_its_column() {
        let columns = [
            Column { title: "ID", fit: Fit::Keep },
            Column { title: "CHANGE", fit: Fit::Wrap },
            Column { title: "WHO", fit: Fit::Keep },
        ];
        let rows =
            vec![vec![Cell::from("1"), "spec.config.servers.london.primary, x".into(), "alice".into()]];
        let text = table(&columns, rows, Style { width: Some(36), colour: false });
        let expected = "ID  CHANGE                     WHO\n1   spec.config.servers.londo  alice\n    n.primary,\n    x\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_colour_fills_no_line() {
        let pairs =
            vec![("outcome", Cell::toned("waiting", Tone::Odd)), ("message", "it removes much".into())];
        let text = details(pairs, Style { width: Some(80), colour: true });
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("outcome  \u{1b}[") && lines[0].contains("mwaiting\u{1b}["),
            "{lines:?}"
        );
        assert_eq!(lines[1], "message  it removes much");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{9b}é\n"), "a\\u{1b}[31m\\u{9b}é\\n");
    }

    #[test]
    fn columns_go_before_lines_wrap() {
        let wide = "ID  NAME                NOTE        OWNER\n1   a-rather-long-name  remarkable  alice\n2   b                   remarkable  alice\n";
        assert_eq!(draw_at(None), wide);
        assert_eq!(draw_at(Some(41)), wide);
        assert!(draw_at(Some(40)).starts_with("ID  NAME                NOTE\n"));
        assert!(draw_at(Some(33)).starts_with("ID  NAME\n"));
        assert_eq!(draw_at(Some(16)), "ID  NAME\n1   a-rather-lo…\n2   b\n");
        assert_eq!(draw_at(Some(1)), "ID  NAME\n1   a-rathe…\n2   b\n");
    }
}
