//! Columns of text, aligned.

/// Rows whose cells stand below each other, two spaces apart. Escape sequences take no room.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| room(cell)).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(' ', width - room(cell) + 2));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn room(cell: &str) -> usize {
    let mut escaped = false;
    cell.chars()
        .filter(|c| {
            let hidden = escaped || *c == '\u{1b}';
            escaped = hidden && *c != 'm';
            !hidden
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let rows =
            [vec!["a".to_owned(), "b".to_owned()], vec!["\u{1b}[1määä\u{1b}[0m".to_owned(), "c".to_owned()]];
        assert_eq!(columns(&rows), "a    b\n\u{1b}[1määä\u{1b}[0m  c\n");
    }
}
