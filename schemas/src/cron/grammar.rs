//! What a field of an expression may look like, and what is wrong with it in words.
//!
//! `croner` says that something is wrong and not where, and it lets pass what nobody means: it replaces
//! the names of months and days wherever they are, so that `JANFEB` is December and `MON` a minute. So
//! every field is read here first, by a grammar that is a part of its own.

use std::ops::Range;

use super::{CronField, CronProblem};

/// A problem with the bytes that it is about.
type Wrong = (CronProblem, Range<usize>);

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Checks a field that stands at `start` of its expression.
pub(super) fn check(field: CronField, text: &str, start: usize) -> Result<(), Wrong> {
    // Of an ASCII letter, both cases are one byte.
    let upper = text.to_ascii_uppercase();
    let mut at = start;
    let mut list = upper.as_str();
    // Before days of the week: only those days of the month that are such days.
    if field == CronField::DayOfWeek
        && let Some(rest) = list.strip_prefix('+')
    {
        (list, at) = (rest, at + 1);
    }
    let is_list = list.contains(',');
    for item in list.split(',') {
        let part = Part { field, text: &text[at - start..at - start + item.len()], upper: item, at };
        if item.is_empty() {
            // What stands beside it is what there is to see: a comma, or the sign alone.
            let beside = if at > start { at - 1 } else { at };
            return Err((CronProblem::EmptyItem(field), beside..beside + 1));
        }
        if is_list && part.is_every() {
            return Err(part.wrong(CronProblem::EveryInList(field)));
        }
        part.item()?;
        at += item.len() + 1;
    }
    Ok(())
}

/// A part of a field.
#[derive(Clone, Copy)]
struct Part<'a> {
    field: CronField,
    /// As it is written, and in upper case.
    text: &'a str,
    upper: &'a str,
    /// Where it stands in the expression.
    at: usize,
}

impl<'a> Part<'a> {
    fn wrong(self, problem: CronProblem) -> Wrong {
        (problem, self.at..self.at + self.text.len())
    }

    fn not_a_value(self) -> Wrong {
        self.wrong(CronProblem::NotAValue { field: self.field, text: self.text.to_owned() })
    }

    fn slice(self, range: Range<usize>) -> Self {
        Self {
            text: &self.text[range.clone()],
            upper: &self.upper[range.clone()],
            at: self.at + range.start,
            ..self
        }
    }

    /// The parts before and after the first of a sign.
    fn split(self, sign: char) -> Option<(Self, Self)> {
        let place = self.upper.find(sign)?;
        Some((self.slice(0..place), self.slice(place + 1..self.upper.len())))
    }

    fn is_every(self) -> bool {
        let days = matches!(self.field, CronField::DayOfMonth | CronField::DayOfWeek);
        self.upper == "*" || days && self.upper == "?"
    }

    /// `5`, `1-5`, `*/15`, `1-5/2`; of days `L`, `LW`, `15W`, `5L`, `MON#2`.
    fn item(self) -> Result<(), Wrong> {
        let by_week = self.field == CronField::DayOfWeek;
        if let Some((days, nth)) = self.split('#') {
            if !by_week {
                return Err(self.wrong(CronProblem::Misplaced { sign: '#', field: self.field }));
            }
            if !matches!(nth.upper, "1" | "2" | "3" | "4" | "5" | "L") {
                let sign = self.slice(days.text.len()..self.text.len());
                return Err(sign.wrong(CronProblem::Nth(sign.text.to_owned())));
            }
            return days.range();
        }
        if let Some(day) = self.upper.strip_suffix('L').filter(|_| by_week) {
            if day.is_empty() {
                return Err(self.wrong(CronProblem::LastOfWeek));
            }
            return self.slice(0..day.len()).value(false).map(drop);
        }
        if self.field == CronField::DayOfMonth {
            if matches!(self.upper, "L" | "LW") {
                return Ok(());
            }
            if let Some(day) = self.upper.strip_suffix('W') {
                let day = self.slice(0..day.len());
                return if day.upper.is_empty() {
                    Err(self.wrong(CronProblem::NearestTo))
                } else {
                    day.value(false).map(drop)
                };
            }
        }
        self.range()
    }

    /// `5`, `1-5`, `*/15`, `1-5/2`
    fn range(self) -> Result<(), Wrong> {
        let Some((range, step)) = self.split('/') else {
            if self.is_every() {
                return Ok(());
            }
            return match self.split('-') {
                Some((low, high)) => self.between(low, high, false),
                None => self.value(false).map(drop),
            };
        };
        match range.split('-') {
            _ if range.is_every() => {}
            Some((low, high)) => range.between(low, high, true)?,
            None => {
                if !range.text.is_empty() {
                    range.value(false)?;
                }
                return Err(self.wrong(CronProblem::StepWithoutRange {
                    field: self.field,
                    start: Some(range.text).filter(|text| !text.is_empty()).map(str::to_owned),
                    step: step.text.to_owned(),
                }));
            }
        }
        step.step()
    }

    fn between(self, low: Part<'a>, high: Part<'a>, stepped: bool) -> Result<(), Wrong> {
        if low.text.is_empty() || high.text.is_empty() {
            return Err(self.wrong(CronProblem::OpenRange { field: self.field, range: self.text.to_owned() }));
        }
        let (start, end) = (low.value(false)?, high.value(true)?);
        if start <= end {
            return Ok(());
        }
        let (least, most) = self.field.bounds();
        // Saturday is the last day; Sunday is 0 as well as 7.
        let most = if self.field == CronField::DayOfWeek { 6 } else { most };
        let word = |number: u16| match (self.field, low.upper.starts_with(|c: char| c.is_ascii_digit())) {
            (CronField::Month, false) => MONTHS[usize::from(number) - 1].to_owned(),
            (CronField::DayOfWeek, false) => WEEKDAYS[usize::from(number)].to_owned(),
            _ => number.to_string(),
        };
        let instead = (!stepped && start <= most)
            .then(|| format!("{}-{},{}-{}", low.text, word(most), word(least), high.text));
        Err(self.wrong(CronProblem::UpsideDown { range: self.text.to_owned(), instead }))
    }

    fn step(self) -> Result<(), Wrong> {
        let is_number = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number {
            return Err(self.wrong(CronProblem::StepNumber(self.text.to_owned())));
        }
        let values = self.field.values();
        match self.text.parse::<u16>() {
            Ok(0) => Err(self.wrong(CronProblem::ZeroStep)),
            Ok(step) if step <= values => Ok(()),
            _ => Err(self.wrong(CronProblem::Step { field: self.field, step: self.text.to_owned(), values })),
        }
    }

    /// A number, or the name of a month or a day. At the end of a range, Sunday is 7.
    fn value(self, is_end: bool) -> Result<u16, Wrong> {
        let named = |names: &[&str]| names.iter().position(|name| *name == self.upper);
        let index = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
        let name = match self.field {
            CronField::Month => named(&MONTHS).map(|month| index(month) + 1),
            CronField::DayOfWeek => {
                named(&WEEKDAYS).map(|day| if day == 0 && is_end { 7 } else { index(day) })
            }
            _ => None,
        };
        if let Some(name) = name {
            return Ok(name);
        }
        if self.text.is_empty() || !self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            let days = [CronField::DayOfMonth, CronField::DayOfWeek].contains(&self.field);
            let misplaced = ['L', 'W'].into_iter().find(|sign| {
                let rest = self.upper.strip_suffix(*sign);
                rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'L'))
            });
            return Err(match misplaced {
                Some(sign) if !days || sign == 'W' => {
                    self.wrong(CronProblem::Misplaced { sign, field: self.field })
                }
                _ => self.not_a_value(),
            });
        }
        let (low, high) = self.field.bounds();
        self.text.parse().ok().filter(|number| (low..=high).contains(number)).ok_or_else(|| {
            self.wrong(CronProblem::OutOfRange { field: self.field, value: self.text.to_owned() })
        })
    }
}
