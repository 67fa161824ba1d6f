//! `schedule`: a schedule means something. `schedule-bounds`: it keeps within the testbed's bounds.
//! `schedule-past` and `schedule-empty`: it leads to at least one run.

use std::sync::Arc;

use almanac_schemas::{
    Instant, Job, Schedule,
    config::ScheduleBounds,
    schedule::{ScheduleError, Timing},
};
use chrono::{DateTime, Utc};

use super::{
    Context, Draft, Place,
    single::{Subject, Timely},
};
use crate::Rule;

/// When the job runs, unless that is not known, or it never does.
pub(super) fn check(
    context: &Context<'_>,
    subject: &Subject<'_, '_>,
    drafts: &mut Vec<Draft>,
) -> Option<Timely> {
    let Subject { job, place, .. } = subject;
    let place = place.key("spec").key("schedule");
    let schedule = match job.spec.schedule.resolve() {
        Ok(schedule) => schedule,
        Err(error) => {
            drafts.push(meaningless(error, &place));
            return None;
        }
    };
    let settings = context.settings();
    if let Some(settings) = settings {
        bounds(job, &settings.schedule, context.now, &place, drafts);
    }
    let until = next(job, &schedule, context.now, &place, drafts)?;
    settings.map(|_| Timely { schedule: Arc::new(schedule), from: context.now, until })
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
        ScheduleError::JitterTooLong => (
            place.key("jitter"),
            "choose a shorter `jitter`, or a longer `length`; without a `jitter` runs begin at their instant",
        ),
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

/// When the job runs next, if it does.
fn next(
    job: &Job,
    schedule: &Schedule,
    now: DateTime<Utc>,
    place: &Place,
    drafts: &mut Vec<Draft>,
) -> Option<DateTime<Utc>> {
    let mut past = |key: &str, what: String| {
        let message = format!("{what} is in the past, so `{}` never runs again", job.metadata.name);
        drafts.push(
            Draft::new(Rule::SchedulePast, place.key(key), message)
                .note(format!("it is {} now", Instant(now)))
                .help("remove the job, or choose a later instant"),
        );
        None
    };
    let (cron, end) = match &schedule.timing {
        Timing::At(at) if *at < now => return past("at", format!("`{}`", Instant(*at))),
        Timing::At(at) => return Some(*at),
        Timing::Cron { cron, .. } => (cron, Instant(schedule.end)),
    };
    if schedule.end <= now {
        return past("end", format!("the end, `{end}`,"));
    }
    let from = now.max(schedule.start);
    if let Some(run) = schedule.next(from) {
        return Some(run.start);
    }
    let name = &job.metadata.name;
    let from = Instant(from);
    drafts.push(
        Draft::new(
            Rule::ScheduleEmpty,
            place.key("cron"),
            format!("`{name}` never runs: `{cron}` does not occur from {from} to {end}"),
        )
        .related("the window ends here", place.key("end"))
        .help("choose a later `end`, or another expression"),
    );
    None
}
