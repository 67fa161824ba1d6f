//! A set of instants as hours of a calendar times places within an hour.

use std::sync::Arc;

/// Seconds of an hour.
pub const HOUR: i64 = 3_600;

/// Instants at the same seconds of each hour out of a set of hours, which are called cells.
///
/// A day of `*/5` is one set of 24 cells and 12 marks, and a year of it 8,760 bits. Where local time is
/// not whole hours ahead of UTC, the cells do not start at the full hour of UTC, but at a shift after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Seconds by which each cell starts after the full hour of UTC, below 3,600.
    shift: i64,
    /// Which cell bit 0 is, in hours since 1970.
    first: i64,
    cells: Vec<u64>,
    /// The seconds of a cell, ascending.
    marks: Arc<[u16]>,
    /// The cells, modulo 24: what no cell has in common with those of another grid need not be compared.
    hours_of_day: u32,
}

impl Grid {
    /// A grid without cells, that has room for those of `[first, first + count)`.
    pub(super) fn new(shift: i64, first: i64, count: i64, marks: Arc<[u16]>) -> Self {
        let words = usize::try_from(count / 64 + 1).unwrap_or_default();
        Self { shift, first, cells: vec![0; words], marks, hours_of_day: 0 }
    }

    /// Adds up to 24 cells, bit 0 being `cell`. There must be room for them.
    pub(super) fn add(&mut self, cell: i64, hours: u32) {
        let bit = usize::try_from(cell - self.first).expect("a grid begins before the first of its cells");
        let (word, offset) = (bit / 64, bit % 64);
        self.cells[word] |= u64::from(hours) << offset;
        if offset > 40 {
            let rest = u64::from(hours) >> (64 - offset);
            if rest != 0 {
                self.cells[word + 1] |= rest;
            }
        }
        let turned = u64::from(hours) << cell.rem_euclid(24);
        self.hours_of_day |= ((turned | turned >> 24) & 0xFF_FFFF) as u32;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hours_of_day == 0
    }

    /// Seconds by which each cell starts after the full hour of UTC.
    pub fn shift(&self) -> i64 {
        self.shift
    }

    /// The seconds of each cell, ascending.
    pub fn marks(&self) -> &[u16] {
        &self.marks
    }

    /// The cells modulo 24, as bits.
    pub fn hours_of_day(&self) -> u32 {
        self.hours_of_day
    }

    /// The cells as words of 64, each with the cell that its bit 0 is.
    pub fn words(&self) -> impl Iterator<Item = (i64, u64)> {
        (self.first..).step_by(64).zip(self.cells.iter().copied())
    }

    /// The 64 cells from `cell` on.
    pub fn bits(&self, cell: i64) -> u64 {
        let bit = cell - self.first;
        let (index, offset) = (bit.div_euclid(64), bit.rem_euclid(64));
        let word = |index: i64| usize::try_from(index).ok().and_then(|index| self.cells.get(index)).copied();
        let low = word(index).unwrap_or(0) >> offset;
        if offset == 0 { low } else { low | word(index + 1).unwrap_or(0) << (64 - offset) }
    }

    /// The first cell at or after `cell`.
    pub fn next_cell(&self, cell: i64) -> Option<i64> {
        let bit = usize::try_from((cell - self.first).max(0)).ok()?;
        let (word, offset) = (bit / 64, bit % 64);
        let mut rest = self.cells.get(word)? >> offset << offset;
        let mut index = word;
        while rest == 0 {
            index += 1;
            rest = *self.cells.get(index)?;
        }
        Some(self.first + (64 * index) as i64 + i64::from(rest.trailing_zeros()))
    }

    /// The second at which a mark of a cell is, since 1970.
    pub fn second(&self, cell: i64, mark: u16) -> i64 {
        cell * HOUR + self.shift + i64::from(mark)
    }

    /// The cell that a second is in, and its place there.
    pub fn place(&self, second: i64) -> (i64, i64) {
        let second = second - self.shift;
        (second.div_euclid(HOUR), second.rem_euclid(HOUR))
    }

    /// The first start at or after a second.
    pub fn next(&self, second: i64) -> Option<i64> {
        let (cell, place) = self.place(second);
        if self.bits(cell) & 1 == 1 {
            let mark = self.marks.partition_point(|mark| i64::from(*mark) < place);
            if let Some(mark) = self.marks.get(mark) {
                return Some(self.second(cell, *mark));
            }
        }
        self.next_cell(cell + 1).map(|cell| self.second(cell, self.marks[0]))
    }

    /// The last start before a second.
    pub fn previous(&self, second: i64) -> Option<i64> {
        let (cell, place) = self.place(second);
        if self.bits(cell) & 1 == 1 {
            let after = self.marks.partition_point(|mark| i64::from(*mark) < place);
            if let Some(mark) = after.checked_sub(1) {
                return Some(self.second(cell, self.marks[mark]));
            }
        }
        let last = self.marks.last()?;
        let mut bit = (cell - self.first).min(64 * self.cells.len() as i64);
        // Words that hold nothing are passed over whole.
        while bit > 0 {
            let base = (bit - 1) / 64 * 64;
            let word = self.cells[usize::try_from(base / 64).ok()?];
            let below = if bit - base == 64 { word } else { word & ((1 << (bit - base)) - 1) };
            if below != 0 {
                let found = base + 63 - i64::from(below.leading_zeros());
                return Some(self.second(self.first + found, *last));
            }
            bit = base;
        }
        None
    }

    /// How many starts lie before a second.
    pub fn rank(&self, second: i64) -> u64 {
        let (cell, place) = self.place(second);
        let bits = (cell - self.first).clamp(0, 64 * self.cells.len() as i64);
        let (words, rest) = (usize::try_from(bits / 64).unwrap_or_default(), bits % 64);
        let whole: u64 = self.cells[..words].iter().map(|word| u64::from(word.count_ones())).sum();
        let part = self.cells.get(words).map_or(0, |word| (word & ((1_u64 << rest) - 1)).count_ones());
        let mut rank = (whole + u64::from(part)) * self.marks.len() as u64;
        if self.bits(cell) & 1 == 1 {
            rank += self.marks.partition_point(|mark| i64::from(*mark) < place) as u64;
        }
        rank
    }

    /// How many starts there are.
    pub fn count(&self) -> u64 {
        let cells: u64 = self.cells.iter().map(|word| u64::from(word.count_ones())).sum();
        cells * self.marks.len() as u64
    }
}
