//! A condition whose names and types are right.

use std::collections::BTreeSet;

use super::Field;

/// What becomes true or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(pub(super) Truth);

impl Condition {
    /// The fields that it depends on.
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.0.fields(&mut fields);
        fields
    }
}

impl Truth {
    fn fields(&self, all: &mut BTreeSet<Field>) {
        match self {
            Self::Is(_) => {}
            Self::Field(measured) => _ = all.insert(measured.field.clone()),
            Self::Not(one) => one.fields(all),
            Self::And(left, right) | Self::Or(left, right) | Self::Same(left, right) => {
                left.fields(all);
                right.fields(all);
            }
            Self::Compare(_, left, right) => {
                left.fields(all);
                right.fields(all);
            }
            Self::Texts(left, right) => {
                left.fields(all);
                right.fields(all);
            }
            Self::If(condition, then, or) => {
                condition.fields(all);
                then.fields(all);
                or.fields(all);
            }
        }
    }
}

impl Number {
    fn fields(&self, all: &mut BTreeSet<Field>) {
        match self {
            Self::Is(_) => {}
            Self::Field(measured) => _ = all.insert(measured.field.clone()),
            Self::Over(_, field, _) => _ = all.insert(field.clone()),
            Self::Of(_, left, right) => {
                left.fields(all);
                right.fields(all);
            }
            Self::Negative(one) | Self::Absolute(one) => one.fields(all),
            Self::If(condition, then, or) => {
                condition.fields(all);
                then.fields(all);
                or.fields(all);
            }
        }
    }
}

impl Text {
    fn fields(&self, all: &mut BTreeSet<Field>) {
        match self {
            Self::Is(_) => {}
            Self::Field(measured) => _ = all.insert(measured.field.clone()),
            Self::If(condition, then, or) => {
                condition.fields(all);
                then.fields(all);
                or.fields(all);
            }
        }
    }
}

/// What is true or false.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Truth {
    Is(bool),
    Field(Measured),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Number>, Box<Number>),
    /// Whether two texts are the same.
    Texts(Box<Text>, Box<Text>),
    /// Whether both are true, or none.
    Same(Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

/// What is a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    Is(f64),
    Field(Measured),
    /// Over so many of the latest samples.
    Over(Over, Field, usize),
    Of(Operation, Box<Self>, Box<Self>),
    Negative(Box<Self>),
    Absolute(Box<Self>),
    If(Box<Truth>, Box<Self>, Box<Self>),
}

/// What is a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    Is(String),
    Field(Measured),
    If(Box<Truth>, Box<Self>, Box<Self>),
}

/// A field as it was so many samples ago; 0 is now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Measured {
    pub(super) field: Field,
    pub(super) ago: usize,
}

/// What can be asked of the latest samples of a number, the present one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// `avg(FIELD, N)`: their mean.
    Average,
    /// `min(FIELD, N)`: the least.
    Least,
    /// `max(FIELD, N)`: the greatest.
    Greatest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Plus,
    Minus,
    Times,
    By,
}
