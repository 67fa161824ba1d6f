//! Which starts of two timetables come too close to each other, and how often.
//!
//! With `a` holding for `la` and `b` for `lb`, a pair meets when `-lb < b - a < la`.

use almanac_schemas::{
    Timetable,
    timetable::{Grid, HOUR, MICROS, ceiling},
};

/// The pairs that meet. There is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meeting {
    /// How many there are.
    pub(super) count: u64,
    /// The starts of the pair that meets first. Of several that meet at once, the one that began first.
    pub(super) first: (i64, i64),
}

/// Beyond so many hours between cells, starts are looked at one by one: what holds for days starts rarely.
const FARTHEST: i64 = 100;

/// The pairs of two timetables that meet. Lengths are microseconds.
pub(super) fn meet((a, la): (&Timetable, i64), (b, lb): (&Timetable, i64)) -> Option<Meeting> {
    let mut found = None;
    for x in a.grids() {
        for y in b.grids() {
            found = joined(found, meet_grids((x, la), (y, lb)));
        }
        for start in b.loose() {
            found = joined(found, meet_start(*start, lb, x, la).map(Meeting::turned));
        }
    }
    for start in a.loose() {
        for y in b.grids() {
            found = joined(found, meet_start(*start, la, y, lb));
        }
        let near = |other: &i64| *other > *start - lb;
        let from = b.loose().partition_point(|other| !near(other));
        let count = b.loose()[from..].partition_point(|other| *other < *start + la);
        let first = b.loose().get(from).map(|first| (*start, *first));
        found =
            joined(found, first.filter(|_| count > 0).map(|first| Meeting { count: count as u64, first }));
    }
    found
}

/// The first two starts of a timetable that follow each other within less than `length`.
pub(super) fn own(table: &Timetable, length: i64) -> Option<(i64, i64)> {
    let grids = table.grids();
    let alone = |grid: &Grid| meet_grids((grid, length), (grid, 0)).is_some();
    let among = |index: usize, grid: &Grid| {
        grids[index + 1..].iter().any(|other| meet_grids((grid, length), (other, length)).is_some())
    };
    let loose = |start: &i64| {
        let before = table.previous(*start).is_some_and(|before| start - before < length);
        before || table.next(start + 1).is_some_and(|after| after - start < length)
    };
    let long = length > FARTHEST * HOUR * MICROS;
    if !long
        && !grids.iter().enumerate().any(|(index, grid)| alone(grid) || among(index, grid))
        && !table.loose().iter().any(loose)
    {
        return None;
    }
    let mut starts = table.starts(i64::MIN);
    let mut before = starts.next()?;
    starts.find_map(|start| {
        let pair = (start - before < length).then_some((before, start));
        before = start;
        pair
    })
}

impl Meeting {
    fn turned(self) -> Self {
        Self { first: (self.first.1, self.first.0), ..self }
    }

    /// When both hold at first, and what tells apart those that do so at once.
    fn key(&self) -> (i64, i64) {
        (self.first.0.max(self.first.1), self.first.0.min(self.first.1))
    }
}

fn joined(a: Option<Meeting>, b: Option<Meeting>) -> Option<Meeting> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let first = if b.key() < a.key() { b.first } else { a.first };
            Some(Meeting { count: a.count + b.count, first })
        }
        (a, b) => a.or(b),
    }
}

/// The starts of a grid that meet a single one. The single one is the first of the pair.
fn meet_start(start: i64, length: i64, grid: &Grid, grid_length: i64) -> Option<Meeting> {
    let from = (start - grid_length).div_euclid(MICROS) + 1;
    let to = ceiling(start + length);
    let first = grid.next(from).filter(|first| *first < to)?;
    Some(Meeting { count: grid.rank(to) - grid.rank(from), first: (start, first * MICROS) })
}

/// The pairs of two grids that meet.
fn meet_grids((a, la): (&Grid, i64), (b, lb): (&Grid, i64)) -> Option<Meeting> {
    // Starts of grids are whole seconds apart, so that lengths can be rounded up to whole seconds.
    let (la, lb) = (ceiling(la), ceiling(lb));
    let shift = b.shift() - a.shift();
    // With `b` so many cells after `a`: -lb < HOUR * cells + shift + (mark of b - mark of a) < la.
    let (nearest, farthest) = ((-lb - shift).div_euclid(HOUR) - 1, (la - shift).div_euclid(HOUR) + 1);
    if farthest - nearest > FARTHEST {
        return meet_rarely((a, la), (b, lb));
    }
    let mut found = None;
    for cells in nearest..=farthest {
        // Whether any cells are so far apart is known at once, for most that none are.
        let turned = u64::from(b.hours_of_day()) << cells.rem_euclid(24).wrapping_neg().rem_euclid(24);
        if u64::from(a.hours_of_day()) & (turned | turned >> 24) == 0 {
            continue;
        }
        let apart = HOUR * cells + shift;
        let Some(marks) = near_marks((a, la), (b, lb), apart) else { continue };
        let Some((first, count)) = common_cells(a, b, cells) else { continue };
        let pair = (a.second(first, marks.first.0) * MICROS, b.second(first + cells, marks.first.1) * MICROS);
        found = joined(found, Some(Meeting { count: count * marks.count, first: pair }));
    }
    found
}

/// Pairs of marks that come too close to each other.
struct NearMarks {
    count: u64,
    first: (u16, u16),
}

/// The marks of two cells, `b` so many seconds after `a`, that come too close to each other.
fn near_marks((a, la): (&Grid, i64), (b, lb): (&Grid, i64), apart: i64) -> Option<NearMarks> {
    let marks = b.marks();
    let (mut count, mut first, mut earliest) = (0, None, (i64::MAX, i64::MAX));
    let (mut from, mut to) = (0, 0);
    for mark in a.marks() {
        let own = i64::from(*mark);
        let place = |other: u16| apart + i64::from(other);
        while from < marks.len() && place(marks[from]) <= own - lb {
            from += 1;
        }
        to = to.max(from);
        while to < marks.len() && place(marks[to]) < own + la {
            to += 1;
        }
        count += (to - from) as u64;
        if to > from {
            let (x, y) = (own, place(marks[from]));
            let key = (x.max(y), x.min(y));
            if key < earliest {
                (first, earliest) = (Some((*mark, marks[from])), key);
            }
        }
    }
    first.map(|first| NearMarks { count, first })
}

/// The first cell of `a` such that the one so many cells later is `b`'s, and how many there are.
fn common_cells(a: &Grid, b: &Grid, cells: i64) -> Option<(i64, u64)> {
    let (mut first, mut count) = (None, 0);
    for (cell, word) in a.words().filter(|(_, word)| *word != 0) {
        let common = word & b.bits(cell + cells);
        if common != 0 {
            first = first.or(Some(cell + i64::from(common.trailing_zeros())));
            count += u64::from(common.count_ones());
        }
    }
    first.map(|first| (first, count))
}

/// The pairs of two grids that meet, one start after the other of the grid that has fewer.
fn meet_rarely((a, la): (&Grid, i64), (b, lb): (&Grid, i64)) -> Option<Meeting> {
    if a.count() > b.count() {
        return meet_rarely((b, lb), (a, la)).map(Meeting::turned);
    }
    let mut next = a.next(i64::MIN / MICROS);
    let mut found = None;
    while let Some(start) = next {
        found = joined(found, meet_start(start * MICROS, la * MICROS, b, lb * MICROS));
        next = a.next(start + 1);
    }
    found
}
