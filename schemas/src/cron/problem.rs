//! What is wrong with a text that is no cron expression.

use std::ops::Range;

use thiserror::Error;

use super::CronField;

/// Why a text is not a cron expression, and which part of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a cron expression: {problem}")]
pub struct CronError {
    /// The whole expression.
    pub text: String,
    /// What is wrong.
    pub problem: CronProblem,
    /// The bytes of the expression that are wrong.
    pub range: Range<usize>,
}

/// What is wrong with a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronProblem {
    /// Not five or six fields.
    #[error(
        "found {0} fields, expected 5 (minute, hour, day, month, weekday) or 6 (seconds first){years}",
        years = if *.0 == 7 { "; there is none for years" } else { "" }
    )]
    FieldCount(usize),
    /// A nickname such as `@daily`.
    #[error("nicknames are not accepted, write out the fields (`@daily` is `0 0 * * *`)")]
    Nickname,
    /// A list with nothing between two commas, or at an end.
    #[error("the list of {plural} has an empty item", plural = .0.plural())]
    EmptyItem(CronField),
    /// A list with an item that means everything.
    #[error("`*` stands for all {plural} already: write it alone", plural = .0.plural())]
    EveryInList(CronField),
    /// A number that the field does not have.
    #[error("the {field} `{value}` is out of range: {}", .field.values_in_words())]
    OutOfRange {
        /// The field.
        field: CronField,
        /// The number.
        value: String,
    },
    /// Something that is neither a number nor a name.
    #[error("`{text}` is no {field}: {}", .field.values_in_words())]
    NotAValue {
        /// The field.
        field: CronField,
        /// What was found.
        text: String,
    },
    /// A range whose end comes before its start.
    #[error("the range `{range}` ends before it starts{}", .instead.as_ref().map(|text| format!(": write `{text}`")).unwrap_or_default())]
    UpsideDown {
        /// The range.
        range: String,
        /// What was probably meant.
        instead: Option<String>,
    },
    /// A range without a start or an end.
    #[error("the range `{range}` needs a start and an end: {}", .field.values_in_words())]
    OpenRange {
        /// The field.
        field: CronField,
        /// The range.
        range: String,
    },
    /// A sign of another field.
    #[error("`{sign}` means nothing in the {field}{}", purpose(*.sign))]
    Misplaced {
        /// The sign.
        sign: char,
        /// The field.
        field: CronField,
    },
    /// An `L` alone as the day of the week.
    #[error("`L` needs a day of the week before it: the last Friday of the month is `FRIL`")]
    LastOfWeek,
    /// A `W` without a day of the month.
    #[error("`W` needs a day of the month before it: the weekday nearest to the 15th is `15W`")]
    NearestTo,
    /// A `#` with anything but 1 to 5 after it.
    #[error("`{0}` is out of range: a month has a day of the week up to 5 times, `#1` to `#5`")]
    Nth(String),
    /// A step that is no number.
    #[error("the step `{0}` is not a number")]
    StepNumber(String),
    /// A step that leads nowhere.
    #[error("a step of 0 leads nowhere: the smallest is 1")]
    ZeroStep,
    /// A step that is not taken through a range.
    #[error("a step needs a range: write `{}-{}/{step}`", .start.clone().unwrap_or_else(|| .field.bounds().0.to_string()), .field.bounds().1)]
    StepWithoutRange {
        /// The field.
        field: CronField,
        /// What stands before the step, if anything does.
        start: Option<String>,
        /// The step.
        step: String,
    },
    /// A step that skips the whole field.
    #[error("a step of `{step}` passes all {values} {plural} at once, so that only the first is left: write that one itself", plural = .field.plural())]
    Step {
        /// The field.
        field: CronField,
        /// The step that was found.
        step: String,
        /// How many values the field has.
        values: u16,
    },
    /// What only the library objects to, in its words.
    #[error("{0}")]
    Refused(String),
    /// Every field is right, and yet no date fits.
    #[error("this never fires: no such date exists")]
    Never,
}

/// What a sign is for that was found somewhere else.
fn purpose(sign: char) -> &'static str {
    match sign {
        '#' => ": it counts days of the week, such as `MON#2`",
        'W' => ": it is for days of the month, such as `15W`",
        _ => ": it is for the last day of a month",
    }
}
