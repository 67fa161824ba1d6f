//! Findings for people: a code frame for each, as a compiler shows it, and a line that counts them.

use std::{collections::BTreeMap, fmt::Write, ops::Range, path::Path, sync::Arc};

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Patch, Renderer, Snippet,
};

use crate::{Finding, Fix, Location, Report, Severity, Source};

/// Whether the text carries colours, as ANSI escape sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// Text with colours.
    Coloured,
}

/// Shows the findings of a report on some sources. Paths are shown below `root`, so that a terminal
/// can open them.
pub fn human(report: &Report, sources: &[Arc<Source>], root: &Path, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let sources = sources.iter().map(|source| (source.path(), source.as_ref())).collect();
    let frames = Frames { sources, root };
    let mut text = String::new();
    for finding in &report.findings {
        text += &renderer.render(&frames.groups(finding));
        text += "\n\n";
    }
    summary(&mut text, report, frames.sources.len());
    text
}

fn summary(text: &mut String, report: &Report, files: usize) {
    let counted = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let files = counted(files, "file");
    let line = match (errors, warnings) {
        (0, 0) => format!("{files} checked, nothing found"),
        (errors, 0) => format!("{files} checked: {}", counted(errors, "error")),
        (0, warnings) => format!("{files} checked: {}", counted(warnings, "warning")),
        (errors, warnings) => {
            format!("{files} checked: {}, {}", counted(errors, "error"), counted(warnings, "warning"))
        }
    };
    let silenced = match report.silenced {
        0 => String::new(),
        silenced => format!(" ({} silenced)", counted(silenced, "warning")),
    };
    let compared = match (report.left_out, report.count_new()) {
        (0, None) => String::new(),
        (0, Some(new)) => format!("; {new} of them new"),
        (left_out, _) => format!("; {} of the base left out", counted(left_out, "finding")),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}{silenced}{compared}");
}

struct Frames<'a> {
    sources: BTreeMap<&'a str, &'a Source>,
    root: &'a Path,
}

impl<'a> Frames<'a> {
    /// What is wrong, and what would be right.
    fn groups(&self, finding: &'a Finding) -> Vec<Group<'a>> {
        let level = match (finding.severity, finding.new) {
            (Severity::Error, Some(true)) => Level::ERROR.with_name("new error"),
            (Severity::Error, _) => Level::ERROR,
            (Severity::Warning, Some(true)) => Level::WARNING.with_name("new warning"),
            (Severity::Warning, _) => Level::WARNING,
        };
        let mut group =
            Group::with_title(level.primary_title(finding.message.as_str()).id(finding.rule.as_str()));
        if let Some(location) = &finding.location {
            group = group.elements(self.elements(finding, location));
        }
        group = group.elements(finding.notes.iter().map(|note| Level::NOTE.message(note.as_str())));
        // With a fix, the help is the fix's headline.
        if let Some(fix) = &finding.fix {
            let title = finding.help.as_ref().unwrap_or(&fix.message);
            let suggestion = Group::with_title(Level::HELP.secondary_title(title.as_str()));
            return vec![group, suggestion.elements(self.patches(fix))];
        }
        vec![group.elements(finding.help.iter().map(|help| Level::HELP.message(help.as_str())))]
    }

    /// One frame per file, with its lines before and after.
    fn patches(&self, fix: &'a Fix) -> Vec<Element<'a>> {
        let mut files: BTreeMap<&str, Vec<Patch<'_>>> = BTreeMap::new();
        for edit in &fix.edits {
            let patch = Patch::new(edit.range.clone(), edit.replacement.as_str());
            files.entry(&edit.location.file).or_default().push(patch);
        }
        let known =
            files.into_iter().filter_map(|(file, patches)| Some((file, self.sources.get(file)?, patches)));
        known
            .map(|(file, source, patches)| {
                let path = self.root.join(file).display().to_string();
                Snippet::source(source.text()).path(path).patches(patches).into()
            })
            .collect()
    }

    /// One frame per file: that of the finding first, the others in the order of the related places.
    fn elements(&self, finding: &'a Finding, location: &'a Location) -> Vec<Element<'a>> {
        let same = finding.related.iter().find(|related| related.location == *location);
        let mut primary = AnnotationKind::Primary.span(self.range(location));
        if let Some(related) = same {
            primary = primary.label(related.message.as_str());
        }
        let mut frames: Vec<(&Location, Vec<Annotation<'_>>)> = vec![(location, vec![primary])];
        for related in finding.related.iter().filter(|related| related.location != *location) {
            let range = self.range(&related.location);
            let annotation = AnnotationKind::Context.span(range).label(related.message.as_str());
            match frames.iter_mut().find(|(frame, _)| frame.file == related.location.file) {
                Some((_, annotations)) => annotations.push(annotation),
                None => frames.push((&related.location, vec![annotation])),
            }
        }
        frames.into_iter().map(|(location, annotations)| self.frame(location, annotations)).collect()
    }

    fn frame(&self, location: &Location, annotations: Vec<Annotation<'a>>) -> Element<'a> {
        let path = self.root.join(&location.file).display().to_string();
        match self.sources.get(location.file.as_str()) {
            Some(source) if !source.text().is_empty() => {
                Snippet::source(source.text()).path(path).annotations(annotations).into()
            }
            _ => Origin::path(path).into(),
        }
    }

    fn range(&self, location: &Location) -> Range<usize> {
        self.sources.get(location.file.as_str()).map_or(0..0, |source| source.lines().range(location))
    }
}
