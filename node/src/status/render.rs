//! How an agent is, for a person.

use std::fmt::Write as _;

use chrono::TimeDelta;

use almanac_schemas::Instant;

use super::{Backlog, Measuring, Status};
use crate::contact::Contact;

/// What a person reads.
pub fn human(status: &Status) -> String {
    let ago = |instant: Instant| span(status.at.0 - instant.0);
    let until = |instant: Instant| span(instant.0 - status.at.0);
    let mut lines = Lines::default();
    lines.add("node", format!("{}, agent {} up {}", status.node, status.version, ago(status.started_at)));
    lines.add("engine", &status.engine);
    match &status.contact {
        Contact::Connecting => lines.add("reconciler", format!("{}: connecting", status.server)),
        Contact::Connected { since } => {
            lines.add("reconciler", format!("{}: connected for {}", status.server, ago(*since)));
        }
        Contact::Lost { since, problem, remedy } => {
            lines.add("reconciler", format!("{}: not connected for {}", status.server, ago(*since)));
            lines.add("", problem);
            lines.add("", remedy);
        }
    }
    match status.clock {
        None => lines.add("clock", "not compared with the reconciler's yet"),
        Some(offset) => {
            let within = offset.round_trip_micros.div_ceil(2_000);
            lines.add("clock", format!("{offset}, to within {within} ms"));
            if offset.is_too_large() {
                lines.add("", "set it by NTP: runs start by this clock");
            }
        }
    }
    match &status.state {
        None => lines.add("state", "none was ever received: nothing is scheduled"),
        Some(held) => {
            let commit = held.commit.get(..10).unwrap_or(&held.commit);
            let (generation, jobs) = (held.generation, counted(held.jobs, "job"));
            lines.add("state", format!("{jobs}, generation {generation} of commit {commit}"));
            let validity = if held.valid_until > status.at {
                format!("valid for {}", until(held.valid_until))
            } else {
                format!(
                    "no longer valid for {}: nothing starts until the reconciler is reached",
                    ago(held.valid_until)
                )
            };
            lines.add("", format!("received {} ago, {validity}", ago(held.received_at)));
        }
    }
    if let Some(rebuilt) = &status.rebuilt {
        let kept = rebuilt.kept.as_ref().map(|kept| format!("; it is kept as {}", kept.display()));
        let (at, why) = (ago(rebuilt.at), &rebuilt.why);
        lines.add("journal", format!("lost and built anew {at} ago: {why}{}", kept.unwrap_or_default()));
    }
    if let Some(disk) = &status.disk {
        lines.add("disk", disk);
    }
    if let Some(short) = &status.short {
        lines.add(if status.disk.is_none() { "disk" } else { "" }, format!("no new run starts: {short}"));
    }
    if let Some(cordon) = &status.cordon {
        lines.add("cordon", format!("no new run starts: {cordon}"));
        if let Some(until) = cordon.until {
            lines.add("", format!("it ends at {until}"));
        }
        if let Some(stop_at) = cordon.stop_at {
            lines.add("", format!("what runs at {stop_at} is stopped"));
        }
    }
    if let Some(scavenging) = &status.scavenging {
        lines.add("scavenger", format!("no exclusive run starts: {scavenging}"));
        if let Some(until) = scavenging.until {
            lines.add("", format!("it ends at {until}"));
        }
    }
    for (index, run) in status.runs.iter().enumerate() {
        let end = if run.stage == "running" && run.until > status.at {
            format!(", until {} (in {})", run.until, until(run.until))
        } else {
            String::new()
        };
        let id = run.run.to_string();
        let what = format!("{} {} {}{end}", run.job, id.get(..8).unwrap_or(&id), run.stage);
        lines.add(if index == 0 { "runs" } else { "" }, what);
    }
    if status.runs.is_empty() {
        lines.add("runs", "nothing runs");
    }
    for (index, next) in status.next.iter().enumerate() {
        let title = if index == 0 { "next" } else { "" };
        lines.add(title, format!("{} (in {}) {}", next.scheduled_at, until(next.scheduled_at), next.job));
        if let Some(omitted) = &next.omitted {
            lines.add("", format!("  will not run, {}: {}", omitted.reason, omitted.message));
        }
    }
    if status.next.is_empty() {
        lines.add("next", "nothing is due");
    }
    for (index, measuring) in status.telemetry.iter().enumerate() {
        let title = if index == 0 { "telemetry" } else { "" };
        lines.add(title, format!("{} {}", measuring.provider, measuring.standing(status.at)));
    }
    let Backlog { events, files, bytes: size, limit, dropped_files, dropped_bytes } = status.backlog;
    let mut waiting = Vec::new();
    if events > 0 {
        waiting.push(counted(events, "report"));
    }
    if files > 0 {
        waiting.push(format!("{} of {} (at most {})", counted(files, "file"), bytes(size), bytes(limit)));
    }
    lines.add(
        "backlog",
        match waiting.as_slice() {
            [] => "the reconciler has everything".to_owned(),
            waiting => format!("{} to be delivered to the reconciler", waiting.join(" and ")),
        },
    );
    if dropped_files > 0 {
        let (files, size) = (counted(dropped_files, "file"), bytes(dropped_bytes));
        lines.add("", format!("{files} of {size} dropped within 30 days: there was no more room"));
    }
    lines.0
}

impl Measuring {
    /// How it is doing, for people.
    pub(crate) fn standing(&self, now: Instant) -> String {
        match (&self.problem, self.measured_at) {
            (Some(problem), Some(at)) => {
                format!("measured {} ago, and not since: {problem}", span(now.0 - at.0))
            }
            (Some(problem), None) => format!("is not measured: {problem}"),
            (None, Some(at)) => format!("measured {} ago", span(now.0 - at.0)),
            (None, None) if self.idle => "is measured when a run wants it".to_owned(),
            (None, None) => "was not measured yet".to_owned(),
        }
    }
}

/// Lines with their titles in a column of their own.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, title: &str, text: impl AsRef<str>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{title:<12}{}", text.as_ref());
    }
}

fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A length of time in its two largest units.
fn span(length: TimeDelta) -> String {
    let seconds = length.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A number of bytes in the largest unit that it has one of.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        None => counted(count, "byte"),
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_and_bytes_are_short() {
        for (seconds, text) in
            [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        for (count, text) in [(0, "0 bytes"), (1, "1 byte"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
