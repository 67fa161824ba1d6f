//! `schedule`: a schedule means something. `schedule-bounds`: it keeps within the testbed's bounds.
//! `schedule-past` and `schedule-empty`: it leads to at least one run.

use almanac_schemas::{Instant, Job, Schedule, config::ScheduleBounds, schedule::ScheduleError};
use chrono::{DateTime, Utc};

use super::{Context, Draft, Place};
use crate::Rule;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    for (job, place) in context.whole_jobs() {
        let place = place.key("spec").key("schedule");
        match job.spec.schedule.resolve() {
            Err(error) => drafts.push(meaningless(error, &place)),
            Ok(schedule) => {
                if let Some(settings) = context.settings() {
                    bounds(job, &settings.schedule, context.now, &place, drafts);
                }
                drafts.extend(idle(job, &schedule, context.now, &place));
            }
        }
    }
}

/// Whether a job's schedule is one that the other rules can work with: it means something, and its
/// window is not longer than the testbed allows.
pub(super) fn resolved(context: &Context<'_>, job: &Job) -> Option<Schedule> {
    let schedule = job.spec.schedule.resolve().ok()?;
    let mut drafts = Vec::new();
    bounds(job, &context.settings()?.schedule, context.now, &Place::document(0, 0), &mut drafts);
    drafts.is_empty().then_some(schedule)
}

fn meaningless(error: ScheduleError, place: &Place) -> Draft {
    let (place, help) = match error {
        ScheduleError::NoTiming => (
            place.clone().on_key(),
            "write `cron: \"*/15 * * * *\"` and an `end`, or `at: 2027-01-10T12:00:00Z`",
        ),
        ScheduleError::TwoTimings => (place.key("at").on_key(), "remove one of the two"),
        ScheduleError::NoEnd => {
            (place.key("cron").on_key(), "write, for example, `end: 2027-03-01T00:00:00Z`")
        }
        ScheduleError::AtOutsideWindow => (place.key("at"), "with `at`, `start` and `end` are not needed"),
        ScheduleError::EndBeforeStart => (place.key("end"), "choose a later `end` or an earlier `start`"),
        ScheduleError::NoLength => (place.key("length"), "write, for example, `length: 2m`"),
        ScheduleError::NoStartDeadline => {
            (place.key("startDeadline"), "write, for example, `startDeadline: 1s`")
        }
    };
    Draft::new(Rule::Schedule, place, error.to_string()).help(help)
}

fn bounds(job: &Job, bounds: &ScheduleBounds, now: DateTime<Utc>, place: &Place, drafts: &mut Vec<Draft>) {
    let schedule = &job.spec.schedule;
    let mut report = |place: Place, message: String, setting: &str| {
        let help = format!("the bound is `schedule.{setting}` of the testbed's `Config`");
        drafts.push(Draft::new(Rule::ScheduleBounds, place, message).help(help));
    };
    if schedule.length < bounds.min_length {
        let message =
            format!("a run of {} is shorter than the {} required", schedule.length, bounds.min_length);
        report(place.key("length"), message, "minLength");
    }
    if schedule.length > bounds.max_length {
        let message =
            format!("a run of {} is longer than the {} allowed", schedule.length, bounds.max_length);
        report(place.key("length"), message, "maxLength");
    }
    if let (Some(_), Some(end)) = (&schedule.cron, schedule.end) {
        let start = schedule.start.map_or(now, |start| start.0);
        let window = end.0.signed_duration_since(start);
        if window > bounds.max_window.to_delta() {
            let days = window.num_days();
            let message = match schedule.start {
                Some(_) => {
                    format!("the window of {days} days is longer than the {} allowed", bounds.max_window)
                }
                None => format!("the end is {days} days from now, {} are allowed", bounds.max_window),
            };
            report(place.key("end"), message, "maxWindow");
        }
    }
}

fn idle(job: &Job, schedule: &Schedule, now: DateTime<Utc>, place: &Place) -> Option<Draft> {
    let now_text = Instant(now);
    let spec = &job.spec.schedule;
    let past = |key: &str, what: String| {
        let message = format!("{what} is in the past, so `{}` never runs again", job.metadata.name);
        Some(
            Draft::new(Rule::SchedulePast, place.key(key), message)
                .note(format!("it is {now_text} now"))
                .help("remove the job, or choose a later instant"),
        )
    };
    if let Some(at) = spec.at {
        return if at.0 < now { past("at", format!("`{at}`")) } else { None };
    }
    let end = spec.end?;
    if end.0 <= now {
        return past("end", format!("the end, `{end}`,"));
    }
    if schedule.next(now.max(schedule.start)).is_some() {
        return None;
    }
    let from = Instant(now.max(schedule.start));
    let cron = spec.cron.as_ref()?;
    Some(
        Draft::new(
            Rule::ScheduleEmpty,
            place.key("cron"),
            format!("`{}` never runs: `{cron}` does not occur from {from} to {end}", job.metadata.name),
        )
        .related("the window ends here", place.key("end"))
        .help("choose a later `end`, or another expression"),
    )
}
