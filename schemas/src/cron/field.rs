//! The fields of a cron expression.

use std::fmt;

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CronField {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl CronField {
    pub(super) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// The smallest and the largest value. Sunday is both 0 and 7.
    pub(super) const fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// How many different values there are: the largest step that is not nonsense.
    pub(super) const fn values(self) -> u16 {
        match self {
            Self::DayOfWeek => 7,
            _ => self.bounds().1 - self.bounds().0 + 1,
        }
    }

    /// What several values of the field are called.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Second => "seconds",
            Self::Minute => "minutes",
            Self::Hour => "hours",
            Self::DayOfMonth => "days of the month",
            Self::Month => "months",
            Self::DayOfWeek => "days of the week",
        }
    }

    /// "hours are 0 to 23"
    pub(super) fn values_in_words(self) -> String {
        let (low, high) = self.bounds();
        let names = match self {
            Self::Month => " or JAN to DEC",
            Self::DayOfWeek => " or SUN to SAT",
            _ => "",
        };
        format!("{} are {low} to {high}{names}", self.plural())
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}
