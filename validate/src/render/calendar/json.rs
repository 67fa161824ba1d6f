//! A calendar for programs: one JSON document. Fields are added to it, and none is taken away or
//! changes its meaning. An occurrence has the fields that `almanac schedule -o json` gives it.

use std::io::{self, Write};

use almanac_schemas::{Instant, JobName, NodeName, RunRole, UserName};
use serde::{Serialize, Serializer};

use super::View;
use crate::calendar::{Calendar, Entry, What, entries};

/// The document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'v> {
    from: Instant,
    to: Instant,
    nodes: Vec<Node<'v>>,
    occurrences: Occurrences<'v>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'v> {
    name: &'v NodeName,
    cordoned: bool,
    /// In whole seconds.
    reserved_seconds: i64,
    /// The share of the time that is reserved, from 0 to 1.
    utilisation: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Occurrence<'v> {
    start: Instant,
    end: Instant,
    /// When the guard is over as well; null when the node is not reserved.
    reserved_until: Option<Instant>,
    node: &'v NodeName,
    job: Option<&'v JobName>,
    role: Option<RunRole>,
    owner: Option<&'v UserName>,
    exclusive: bool,
    maintenance: bool,
}

/// The occurrences one by one, as they are written.
struct Occurrences<'v>(&'v View<'v, 'v>);

impl Serialize for Occurrences<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let View { calendars, from, to, .. } = self.0;
        serializer.collect_seq(entries(calendars, *from, *to).map(Occurrence::from))
    }
}

/// Writes the document.
///
/// # Errors
///
/// When the text cannot be written.
pub fn json(view: &View<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        from: Instant(view.from),
        to: Instant(view.to),
        nodes: view.calendars.iter().map(|calendar| node(view, calendar)).collect(),
        occurrences: Occurrences(view),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn node<'v>(view: &View<'_, 'v>, calendar: &Calendar<'v>) -> Node<'v> {
    let utilisation = calendar.utilisation(view.from, view.to);
    Node {
        name: calendar.node(),
        cordoned: calendar.spec().cordoned,
        reserved_seconds: utilisation.reserved.num_seconds(),
        utilisation: utilisation.share(),
    }
}

impl<'v> From<Entry<'v>> for Occurrence<'v> {
    fn from(entry: Entry<'v>) -> Self {
        let (job, role, owner, exclusive) = match entry.what {
            What::Run { job, spec, role } => (Some(job), Some(role), Some(&spec.owner), spec.exclusive),
            What::Maintenance { .. } => (None, None, None, true),
        };
        Self {
            start: Instant(entry.time.start),
            end: Instant(entry.time.end),
            reserved_until: entry.reservation().map(|reserved| Instant(reserved.end)),
            node: entry.node,
            job,
            role,
            owner,
            exclusive,
            maintenance: matches!(entry.what, What::Maintenance { .. }),
        }
    }
}
