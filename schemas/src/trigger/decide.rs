//! Whether a condition holds. What was not measured is unknown, and so is what depends on it (Kleene's logic): an unknown
//! and a false are false, an unknown or a true are true.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Condition, Field, Over, Samples, Value,
    condition::{Comparison, Measured, Number, Operation, Text, Truth},
};

/// What came of deciding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// Whether it holds; nothing where that cannot be told.
    pub holds: Option<bool>,
    /// What was looked at and measured, as it is now.
    pub seen: BTreeMap<Field, Value>,
    /// What was looked at and not measured: not at all, not for so long, or as something else than it is.
    pub missing: BTreeSet<Field>,
}

impl Condition {
    /// Decides by what was measured.
    pub fn decide(&self, samples: &Samples) -> Decision {
        let mut deciding = Deciding { samples, seen: BTreeMap::new(), missing: BTreeSet::new() };
        let holds = deciding.truth(&self.0);
        Decision { holds, seen: deciding.seen, missing: deciding.missing }
    }
}

struct Deciding<'a> {
    samples: &'a Samples,
    seen: BTreeMap<Field, Value>,
    missing: BTreeSet<Field>,
}

impl Deciding<'_> {
    fn truth(&mut self, truth: &Truth) -> Option<bool> {
        match truth {
            Truth::Is(truth) => Some(*truth),
            Truth::Field(measured) => {
                self.look(measured, |value| if let Value::Truth(truth) = value { Some(*truth) } else { None })
            }
            Truth::Not(truth) => Some(!self.truth(truth)?),
            // Both sides are looked at, so that what was seen does not depend on their order.
            Truth::And(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (left, right) => Some(left? && right?),
            },
            Truth::Or(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (left, right) => Some(left? || right?),
            },
            Truth::Compare(comparison, left, right) => {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (left?, right?);
                Some(match comparison {
                    #[expect(clippy::float_cmp, reason = "that is what `==` asks for")]
                    Comparison::Equal => left == right,
                    Comparison::Less => left < right,
                    Comparison::LessOrEqual => left <= right,
                })
            }
            Truth::Texts(left, right) => {
                let (left, right) = (self.text(left), self.text(right));
                Some(left? == right?)
            }
            Truth::Same(left, right) => {
                let (left, right) = (self.truth(left), self.truth(right));
                Some(left? == right?)
            }
            Truth::If(condition, then, or) => match self.truth(condition)? {
                true => self.truth(then),
                false => self.truth(or),
            },
        }
    }

    /// A number that has an end: 1/0 is as unknown as what was not measured.
    fn number(&mut self, number: &Number) -> Option<f64> {
        let number = match number {
            Number::Is(number) => *number,
            Number::Field(measured) => self.look(measured, finite)?,
            Number::Over(over, field, count) => self.over(*over, field, *count)?,
            Number::Of(operation, left, right) => {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (left?, right?);
                match operation {
                    Operation::Plus => left + right,
                    Operation::Minus => left - right,
                    Operation::Times => left * right,
                    Operation::By => left / right,
                }
            }
            Number::Negative(number) => -self.number(number)?,
            Number::Absolute(number) => self.number(number)?.abs(),
            Number::If(condition, then, or) => match self.truth(condition)? {
                true => self.number(then)?,
                false => self.number(or)?,
            },
        };
        Some(number).filter(|number| number.is_finite())
    }

    fn text(&mut self, text: &Text) -> Option<String> {
        match text {
            Text::Is(text) => Some(text.clone()),
            Text::Field(measured) => {
                self.look(
                    measured,
                    |value| if let Value::Text(text) = value { Some(text.clone()) } else { None },
                )
            }
            Text::If(condition, then, or) => match self.truth(condition)? {
                true => self.text(then),
                false => self.text(or),
            },
        }
    }

    fn look<T>(&mut self, measured: &Measured, is: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let Measured { field, ago } = measured;
        if let Some(now) = self.samples.get(field, 0) {
            self.seen.insert(field.clone(), now.clone());
        }
        let found = self.samples.get(field, *ago).and_then(is);
        if found.is_none() {
            self.missing.insert(field.clone());
        }
        found
    }

    /// All of the samples have to be there: the mean of three is not that of five.
    fn over(&mut self, over: Over, field: &Field, count: usize) -> Option<f64> {
        let mut all = Vec::with_capacity(count);
        for ago in 0..count {
            all.push(self.look(&Measured { field: field.clone(), ago }, finite)?);
        }
        match over {
            #[expect(clippy::cast_precision_loss, reason = "there are 60 at most")]
            Over::Average => Some(all.iter().sum::<f64>() / count as f64),
            Over::Least => all.into_iter().reduce(f64::min),
            Over::Greatest => all.into_iter().reduce(f64::max),
        }
    }
}

fn finite(value: &Value) -> Option<f64> {
    if let Value::Number(number) = value { Some(*number).filter(|number| number.is_finite()) } else { None }
}
