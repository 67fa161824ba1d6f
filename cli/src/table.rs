//! Tables that fit the terminal: columns are shortened or left out before a line would wrap.

use comfy_table::{Cell as Styled, Color, ContentArrangement, Table, presets};

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
    /// How many characters a line may have; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// Whether tones become colours.
    pub colour: bool,
}

/// Draws a table with titles.
pub fn table(columns: &[Column], mut rows: Vec<Vec<Cell>>, style: Style) -> String {
    let mut columns = columns.to_vec();
    if let Some(width) = style.width {
        fit(&mut columns, &mut rows, width);
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
    let mut text = table.trim_fmt();
    text.push('\n');
    text
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

/// Leaves out and shortens columns until each line has at most `width` characters, as far as that
/// is possible.
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
    let too_long = line(columns, rows).saturating_sub(width);
    if too_long > 0
        && let Some(index) = columns.iter().position(|column| column.fit == Fit::Wrap)
    {
        let room = extent(columns, rows, index).saturating_sub(too_long).max(LEAST_WRAPPED);
        for cell in rows.iter_mut().map(|row| &mut row[index]) {
            cell.text = wrap(&cell.text, room);
        }
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

/// Breaks a text at spaces into lines of so many characters. A longer word is not broken: it may be
/// something to copy.
fn wrap(text: &str, room: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// Cuts a text to so many characters, the last of which then says that something is missing.
fn shorten(text: &mut String, length: usize) {
    if text.chars().count() > length {
        *text = text.trim_end_matches('…').chars().take(length - 1).chain(['…']).collect();
    }
}

fn extent(columns: &[Column], rows: &[Vec<Cell>], index: usize) -> usize {
    let lines = rows.iter().flat_map(|row| row[index].text.split('\n'));
    lines.map(|line| line.chars().count()).chain([columns[index].title.len()]).max().unwrap_or_default()
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
