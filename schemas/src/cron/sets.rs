//! What an expression's fields select, as sets of bits: the form in which calendars are computed.

use chrono::{Datelike, NaiveDate};
use croner::{
    JobType,
    time::{Weekday, days_in_month},
};

/// The values that each field of an expression selects; value `n` is bit `n`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sets {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u32,
    months: u16,
    /// Days of the month; day 1 is bit 0.
    days: u32,
    /// Sunday is bit 0.
    weekdays: u8,
    any_day: bool,
    any_weekday: bool,
    /// Whether a day must suit both the month and the week; else either will do.
    both: bool,
    /// Whether `L`, `W` or `#` make the days depend on the month.
    modifiers: bool,
    /// Whether there is one time of day, written as such. Around daylight saving it is treated
    /// otherwise than lists, steps and ranges.
    pub(crate) fixed: bool,
}

/// The lowest so many bits.
const fn low_bits(count: u32) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}

impl Sets {
    pub(super) fn new(cron: &croner::Cron) -> Self {
        let pattern = &cron.pattern;
        let bits = |values: Vec<u16>| values.into_iter().fold(0_u64, |bits, value| bits | 1 << value);
        let narrow =
            |bits: u64| u32::try_from(bits).expect("no field but seconds and minutes has values above 31");
        Self {
            seconds: bits(pattern.seconds.values()),
            minutes: bits(pattern.minutes.values()),
            hours: narrow(bits(pattern.hours.values())),
            months: (bits(pattern.months.values()) & 0x1FFE) as u16,
            days: narrow(bits(pattern.days.values()) >> 1),
            weekdays: (bits(pattern.days_of_week.values()) & 0x7F) as u8,
            any_day: pattern.is_dom_wildcard(),
            any_weekday: pattern.is_dow_wildcard(),
            both: pattern.matches_dom_and_dow(),
            modifiers: pattern.days.has_modifiers() || pattern.days_of_week.has_modifiers(),
            fixed: cron.determine_job_type() == JobType::FixedTime,
        }
    }

    /// Whether the days depend on the month, so that `croner` has to say which they are.
    pub(super) fn has_modifiers(&self) -> bool {
        self.modifiers
    }

    /// The days of a month on which an expression fires; day 1 is bit 0. The expression is there when
    /// it has modifiers.
    pub(crate) fn days(&self, cron: Option<&croner::Cron>, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let Some(first) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let length = days_in_month(year, month);
        let first_weekday = first.weekday().num_days_from_sunday();
        if let Some(cron) = cron {
            let fires = |day: &u32| {
                let weekday = Weekday::from_days_from_sunday(first_weekday + day - 1);
                // The day exists, which is all that could be wrong with it.
                cron.pattern.day_match(year, month, *day, weekday).unwrap_or(false)
            };
            return (1..=length).filter(fires).fold(0, |days, day| days | 1 << (day - 1));
        }
        let week = (u32::from(self.weekdays) | u32::from(self.weekdays) << 7) >> first_weekday & 0x7F;
        let by_week = week | week << 7 | week << 14 | week << 21 | week << 28;
        let days = match (self.any_day, self.any_weekday) {
            (true, true) => u32::MAX,
            (true, false) => by_week,
            (false, true) => self.days,
            (false, false) if self.both => self.days & by_week,
            (false, false) => self.days | by_week,
        };
        days & low_bits(length)
    }

    /// The seconds of an hour at which an expression fires in each hour that it selects, ascending.
    pub(crate) fn marks(&self) -> Vec<u16> {
        let bits = |set: u64| (0..60_u16).filter(move |bit| set >> bit & 1 == 1);
        bits(self.minutes)
            .flat_map(|minute| bits(self.seconds).map(move |second| 60 * minute + second))
            .collect()
    }
}
