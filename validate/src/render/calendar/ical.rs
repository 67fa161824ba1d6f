//! A calendar for programs that show calendars: iCalendar (RFC 5545).
//!
//! All times are in UTC, so that no time zone has to be described. An event keeps its UID for as long as
//! its job, node and instant stay the same; a program that has it already updates it.

use std::io::{self, Write};

use almanac_schemas::RunId;
use chrono::{DateTime, Utc};

use super::View;
use crate::calendar::{Entry, What, entries};

/// The longest line, in octets, without its end (RFC 5545, section 3.1).
const LONGEST: usize = 75;

/// Writes the calendar, made at the instant `now`.
///
/// # Errors
///
/// When the text cannot be written.
pub fn ical(view: &View<'_, '_>, now: DateTime<Utc>, out: &mut dyn Write) -> io::Result<()> {
    let name = match view.calendars {
        [calendar] => format!("Almanac: {}", calendar.node()),
        _ => "Almanac".to_owned(),
    };
    line(out, "BEGIN:VCALENDAR")?;
    line(out, "VERSION:2.0")?;
    line(out, "PRODID:-//Almanac//almanac-validate//EN")?;
    line(out, "CALSCALE:GREGORIAN")?;
    line(out, &format!("NAME:{}", escaped(&name)))?;
    // What most programs read instead of the standard's NAME (RFC 7986).
    line(out, &format!("X-WR-CALNAME:{}", escaped(&name)))?;
    for entry in entries(view.calendars, view.from, view.to) {
        event(&entry, now, out)?;
    }
    line(out, "END:VCALENDAR")
}

fn event(entry: &Entry<'_>, now: DateTime<Utc>, out: &mut dyn Write) -> io::Result<()> {
    let start = instant(entry.time.start);
    let (uid, summary, description, category) = match entry.what {
        What::Run { job, spec, role } => {
            let uid = RunId::new(job, entry.node, entry.time.start).to_string();
            let mut description = vec![format!("Role: {role}"), format!("Owner: {}", spec.owner)];
            description.extend(spec.description.clone());
            let category = if spec.exclusive { "Exclusive" } else { "Shared" };
            (uid, format!("{job} on {}", entry.node), description.join("\n"), category)
        }
        What::Maintenance { window } => {
            let uid = format!("maintenance-{}-{window}-{start}", entry.node);
            let description = "Nothing exclusive may run".to_owned();
            (uid, format!("Maintenance of {}", entry.node), description, "Maintenance")
        }
    };
    line(out, "BEGIN:VEVENT")?;
    line(out, &format!("UID:{uid}@almanac"))?;
    line(out, &format!("DTSTAMP:{}", instant(now)))?;
    line(out, &format!("DTSTART:{start}"))?;
    line(out, &format!("DTEND:{}", instant(entry.time.end)))?;
    line(out, &format!("SUMMARY:{}", escaped(&summary)))?;
    line(out, &format!("DESCRIPTION:{}", escaped(&description)))?;
    line(out, &format!("LOCATION:{}", escaped(entry.node.as_str())))?;
    line(out, &format!("CATEGORIES:{category}"))?;
    // Whether it makes the node busy.
    line(out, if entry.what.reserves() { "TRANSP:OPAQUE" } else { "TRANSP:TRANSPARENT" })?;
    line(out, "END:VEVENT")
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y%m%dT%H%M%SZ").to_string()
}

/// A value of type TEXT (section 3.3.11). Control characters have no form there.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Writes a line, folded where it is too long: what follows a line's end and a space belongs to it.
fn line(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut rest = text;
    let mut room = LONGEST;
    while rest.len() > room {
        let end = (1..=room).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(room);
        write!(out, "{}\r\n ", &rest[..end])?;
        rest = &rest[end..];
        room = LONGEST - 1;
    }
    write!(out, "{rest}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_characters() {
        let mut out = Vec::new();
        line(&mut out, &format!("SUMMARY:{}", "ä€𝄞".repeat(40))).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\n"));
        let lines: Vec<_> = text.trim_end().split("\r\n").collect();
        assert!(lines.len() > 4);
        assert!(lines.iter().all(|line| (72..=75).contains(&line.len()) || line == lines.last().unwrap()));
        assert!(lines[1..].iter().all(|line| line.starts_with(' ')));
        assert_eq!(text.replace("\r\n ", "").trim_end(), format!("SUMMARY:{}", "ä€𝄞".repeat(40)));
        let mut out = Vec::new();
        line(&mut out, &"x".repeat(75)).unwrap();
        assert_eq!(out.len(), 77);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a; b, c\\d\ne\u{7}"), "a\\; b\\, c\\\\d\\ne");
    }
}
