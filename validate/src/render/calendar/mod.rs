//! Calendars as text: for people a [`mod@table`] or a [`mod@chart`], for programs [`mod@json`], and for
//! programs that show calendars [`mod@ical`].

pub mod chart;
pub mod ical;
pub mod json;
pub mod table;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::calendar::Calendar;

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct View<'c, 'a> {
    /// Of these nodes.
    pub calendars: &'c [Calendar<'a>],
    /// From this instant on.
    pub from: DateTime<Utc>,
    /// Until this one.
    pub to: DateTime<Utc>,
    /// The time zone that people read it in.
    pub zone: Tz,
}
