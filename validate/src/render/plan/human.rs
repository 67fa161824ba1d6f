//! A plan for a terminal.

use std::fmt::Write;

use almanac_schemas::{Kind, Timezone};

use super::{Proposal, words};
use crate::{
    plan::{Action, JobPreview, Renewed},
    render::{columns::columns, human::Style},
    words::counted,
};

/// Up to so many jobs are shown one by one; more are a table.
const DETAILED: usize = 20;

/// So many fields of them are shown then.
const FIELDS: usize = 100;

/// How long a value of a field may be.
const VALUE: usize = 48;

/// Shows a plan. Findings are not part of it: they have frames of their own.
pub fn human(proposal: &Proposal<'_>, style: Style) -> String {
    let mut text = String::new();
    let paint = Paint(style);
    let preview = proposal.preview;
    // Writing to a string does not fail.
    let _ = writeln!(text, "{} -> {}: {}\n", proposal.base, proposal.tree, proposal.headline());
    for remark in proposal.remarks() {
        let _ = writeln!(text, "note: {}", words::cut(&remark, 160));
    }
    if !proposal.remarks().is_empty() {
        text.push('\n');
    }
    things(&mut text, proposal, &paint);
    if preview.jobs.len() <= DETAILED {
        for job in &preview.jobs {
            detailed(&mut text, proposal, job, &paint);
        }
    } else {
        table(&mut text, &preview.jobs, &paint);
        renewed(&mut text, proposal);
    }
    moved(&mut text, proposal);
    times(&mut text, proposal);
    text
}

/// Users, nodes and the settings.
fn things(text: &mut String, proposal: &Proposal<'_>, paint: &Paint) {
    let plan = &proposal.preview.plan;
    let mut shown = false;
    for (kind, name, action) in plan.actions().filter(|(kind, ..)| *kind != Kind::Job) {
        let thing = match kind {
            Kind::Config => "settings".to_owned(),
            kind => format!("{} {name}", kind.as_str().to_lowercase()),
        };
        let _ = writeln!(text, "{} {thing}", paint.sign(action));
        let renewed = proposal.preview.renewed.iter().find(|it| it.kind == kind && it.name == name);
        renewed.into_iter().for_each(|renewed| fields(text, renewed));
        shown = true;
    }
    if shown {
        text.push('\n');
    }
}

fn fields(text: &mut String, renewed: &Renewed<'_>) {
    for field in &renewed.fields {
        let (before, after) =
            (words::value(field.before.as_ref(), VALUE), words::value(field.after.as_ref(), VALUE));
        let _ = writeln!(text, "    {}: {before} -> {after}", words::cut(&field.name(), 2 * VALUE));
    }
}

fn detailed(text: &mut String, proposal: &Proposal<'_>, job: &JobPreview<'_>, paint: &Paint) {
    let _ = writeln!(text, "{} job {}", paint.sign(job.action()), job.name);
    let renewed = proposal.preview.renewed.iter();
    let renewed = renewed.filter(|it| it.kind == Kind::Job && it.name == job.name.as_str());
    renewed.for_each(|renewed| fields(text, renewed));
    let mut rows = Vec::new();
    let mut row = |title: &str, value: String| rows.push(vec![title.to_owned(), value]);
    let spec = job.spec();
    if job.action() != Action::Changed {
        row("owner", spec.owner.to_string());
        row("nodes", words::names(&job.nodes, 6));
        if let Some(server) = &spec.server {
            row("server", server.node.to_string());
        }
        row("schedule", words::cut(&words::schedule(spec), 2 * VALUE));
    }
    let (runs, hours) = words::load(job.before, job.after);
    row("runs", format!("{runs} per day"));
    row("takes", format!("{hours} node-hours per week"));
    let zone = spec.schedule.timezone;
    for (index, at) in job.next.iter().enumerate() {
        let utc = format!("{} UTC", words::instant(*at));
        let local = if zone == Timezone::default() {
            String::new()
        } else {
            format!(" ({})", words::instant_in(*at, zone))
        };
        row(if index == 0 { "next" } else { "" }, utc + &local);
    }
    if job.next.is_empty() && job.action() != Action::Removed {
        row("next", "never".to_owned());
    }
    for (index, transition) in job.transitions.iter().enumerate() {
        let title = if index == 0 { "clocks" } else { "" };
        let (at, shift) = (words::instant(transition.at), words::shift(transition.shift));
        row(title, format!("{at} UTC, {shift}: {}", words::effect(transition)));
    }
    for line in columns(&rows).lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push('\n');
}

fn table(text: &mut String, jobs: &[JobPreview<'_>], paint: &Paint) {
    let titles = ["", "job", "owner", "nodes", "schedule", "runs/day", "node-hours/week", "next (UTC)"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(jobs.iter().map(|job| {
        let (runs, hours) = words::load(job.before, job.after);
        let next = job.next.first().map_or("never".to_owned(), |at| words::instant(*at));
        vec![
            paint.sign(job.action()),
            words::cut(job.name.as_str(), 40),
            words::cut(job.spec().owner.as_str(), 16),
            job.nodes.len().to_string(),
            words::cut(&words::schedule(job.spec()), 40),
            runs,
            hours,
            if job.action() == Action::Removed { String::new() } else { next },
        ]
    }));
    *text += &columns(&rows);
    let affected =
        jobs.iter().filter(|job| job.transitions.iter().any(|transition| transition.matters())).count();
    if affected > 0 {
        let _ =
            writeln!(text, "\ndaylight saving affects {} (--format json says how)", counted(affected, "job"));
    }
    text.push('\n');
}

/// The fields of many jobs, below each other.
fn renewed(text: &mut String, proposal: &Proposal<'_>) {
    let jobs = proposal.preview.renewed.iter().filter(|renewed| renewed.kind == Kind::Job);
    let all = jobs.flat_map(|renewed| renewed.fields.iter().map(move |field| (renewed.name, field)));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return;
    }
    let mut rows = vec![["job", "field", "before", "after"].map(str::to_owned).to_vec()];
    rows.extend(all.iter().take(FIELDS).map(|(job, field)| {
        vec![
            words::cut(job, 40),
            words::cut(&field.name(), 32),
            words::value(field.before.as_ref(), 20),
            words::value(field.after.as_ref(), 20),
        ]
    }));
    *text += &columns(&rows);
    if all.len() > FIELDS {
        let _ = writeln!(text, "and {} more fields (--format json has them)", all.len() - FIELDS);
    }
    text.push('\n');
}

fn moved(text: &mut String, proposal: &Proposal<'_>) {
    for moved in &proposal.preview.moved {
        let part = |word: &str, nodes: &[&almanac_schemas::NodeName]| {
            (!nodes.is_empty()).then(|| format!("{word} {}", words::names(nodes, 4)))
        };
        let parts = [part("also on", &moved.gained), part("no longer on", &moved.lost)];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let _ = writeln!(text, "  job {}, itself unchanged, runs {}", moved.job, parts.join(", "));
    }
    if !proposal.preview.moved.is_empty() {
        text.push('\n');
    }
}

fn times(text: &mut String, proposal: &Proposal<'_>) {
    if proposal.preview.times.is_empty() {
        return;
    }
    let _ = writeln!(text, "time reserved by exclusive jobs, over four weeks from now");
    let mut rows = vec![["node", "before", "after"].map(str::to_owned).to_vec()];
    rows.extend(
        proposal
            .preview
            .times
            .iter()
            .map(|time| vec![time.node.to_string(), words::share(time.before), words::share(time.after)]),
    );
    for line in columns(&rows).lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push('\n');
}

/// Colours for what comes, changes and goes.
struct Paint(Style);

impl Paint {
    fn sign(&self, action: Action) -> String {
        let colour = match action {
            Action::Added => 32,
            Action::Changed => 33,
            Action::Removed => 31,
        };
        match self.0 {
            Style::Plain => action.sign().to_string(),
            Style::Coloured => format!("\u{1b}[{colour}m{}\u{1b}[0m", action.sign()),
        }
    }
}
