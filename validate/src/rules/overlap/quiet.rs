//! What was found to be without a conflict, so that it is not compared again.
//!
//! A node whose claims do not get into each other's way keeps out of trouble as time goes by: the
//! reservations that count later are among those that counted before. So what was found for one instant
//! holds for every later one, for as long as the schedules on the node are the same. A node with a
//! conflict is compared again each time, since its first clashing instants move.

use std::{collections::BTreeMap, sync::Arc};

use almanac_schemas::Schedule;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Calendar, Exclusive};
use crate::conflict::Clash;

/// The nodes without a conflict, by name, as they were in the tree that was checked last.
#[derive(Debug, Default)]
pub(in crate::rules) struct Quiet(BTreeMap<String, Claimed>);

/// All that decides what is found on a node.
#[derive(Debug)]
struct Claimed {
    /// From when on nothing gets in another's way.
    from: DateTime<Utc>,
    guard: TimeDelta,
    windows: Vec<Schedule>,
    jobs: Vec<Arc<Schedule>>,
}

impl Quiet {
    /// Whether it is known that a node has no conflict from an instant on.
    pub(super) fn holds(&self, calendar: &Calendar<'_>, jobs: &[Exclusive<'_>], from: DateTime<Utc>) -> bool {
        self.0.get(calendar.name).is_some_and(|known| known.from <= from && known.is_of(calendar, jobs))
    }

    /// Keeps what is known by now, and nothing of nodes that are no more.
    pub(super) fn keep(
        &mut self,
        calendars: &BTreeMap<&str, Calendar<'_>>,
        jobs: &[Exclusive<'_>],
        from: DateTime<Utc>,
        compared: &[(&Calendar<'_>, Vec<Clash>)],
    ) {
        self.0.retain(|node, _| calendars.contains_key(node.as_str()));
        for (calendar, clashes) in compared {
            if clashes.is_empty() {
                self.0.insert(calendar.name.to_owned(), Claimed::new(calendar, jobs, from));
            } else {
                self.0.remove(calendar.name);
            }
        }
    }
}

impl Claimed {
    fn new(calendar: &Calendar<'_>, jobs: &[Exclusive<'_>], from: DateTime<Utc>) -> Self {
        Self {
            from,
            guard: calendar.guard,
            windows: calendar.windows.clone(),
            jobs: schedules(calendar, jobs).cloned().collect(),
        }
    }

    fn is_of(&self, calendar: &Calendar<'_>, jobs: &[Exclusive<'_>]) -> bool {
        self.guard == calendar.guard
            && self.windows == calendar.windows
            && self.jobs.iter().eq(schedules(calendar, jobs))
    }
}

fn schedules<'c>(
    calendar: &'c Calendar<'_>,
    jobs: &'c [Exclusive<'_>],
) -> impl Iterator<Item = &'c Arc<Schedule>> {
    calendar.jobs.iter().map(|job| &jobs[*job].schedule)
}
