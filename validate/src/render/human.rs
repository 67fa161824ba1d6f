//! Findings for people: a code frame for each, as a compiler shows it, and a line that counts them.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Patch, Renderer, Snippet,
};

use super::{Summary, place};
use crate::{Edit, Finding, Fix, Location, Report, Severity, Source, text::shortened};

/// How much text of a file is laid out in one frame, in bytes. The renderer reads all of it for each
/// finding; with whole files, many findings in a large one would take quadratic time.
const MAX_FRAME: usize = 16 * 1024;
/// How much of a message is shown, in characters: it may quote a value of any length.
const MAX_TEXT: usize = 1_000;

/// Whether the text carries colours, as ANSI escape sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// Text with colours.
    Coloured,
}

/// Shows the findings of a report on some sources, and counts them. Paths are shown below `root`, so
/// that a terminal can open them.
pub fn human(report: &Report, sources: &[Arc<Source>], root: &Path, style: Style) -> String {
    format!("{}{}\n", findings(report, sources, root, style), Summary::new(report, sources.len()))
}

/// Shows the findings of a report on some sources, each followed by an empty line.
pub fn findings(report: &Report, sources: &[Arc<Source>], root: &Path, style: Style) -> String {
    let frames = Frames::new(sources, root, style);
    report.findings.iter().map(|finding| frames.text(finding) + "\n\n").collect()
}

/// Lays out findings with the lines that they are about.
pub(super) struct Frames<'a> {
    renderer: Renderer,
    sources: BTreeMap<&'a str, &'a Source>,
    root: &'a Path,
}

/// The part of a file that one frame shows.
struct Extent<'a> {
    location: &'a Location,
    range: Range<usize>,
    annotations: Vec<(Range<usize>, AnnotationKind, Option<&'a str>)>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(sources: &'a [Arc<Source>], root: &'a Path, style: Style) -> Self {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Coloured => Renderer::styled(),
        };
        let sources = sources.iter().map(|source| (source.path(), source.as_ref())).collect();
        Self { renderer, sources, root }
    }

    /// A finding, in several lines.
    pub(super) fn text(&self, finding: &'a Finding) -> String {
        self.renderer.render(&self.groups(finding))
    }

    /// What is wrong, and what would be right.
    fn groups(&self, finding: &'a Finding) -> Vec<Group<'a>> {
        let level = match (finding.severity, finding.new) {
            (Severity::Error, Some(true)) => Level::ERROR.with_name("new error"),
            (Severity::Error, _) => Level::ERROR,
            (Severity::Warning, Some(true)) => Level::WARNING.with_name("new warning"),
            (Severity::Warning, _) => Level::WARNING,
        };
        let mut group = Group::with_title(
            level.primary_title(shortened(&finding.message, MAX_TEXT)).id(finding.rule.as_str()),
        );
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

    /// One frame per edit, with its lines before and after.
    fn patches(&self, fix: &'a Fix) -> Vec<Element<'a>> {
        let frame = |edit: &'a Edit| {
            let source = self.sources.get(edit.location.file.as_str())?;
            let (lines, first) = source.lines().around(&edit.range);
            let range = edit.range.start - lines.start..edit.range.end - lines.start;
            let patch = Patch::new(range, edit.replacement.as_str());
            let path = place::path(self.root, &edit.location.file);
            let small = lines.len() <= 2 * MAX_FRAME;
            small.then(|| {
                Snippet::source(still(&source.text()[lines])).line_start(first).path(path).patch(patch).into()
            })
        };
        fix.edits.iter().filter_map(frame).collect()
    }

    /// One frame per file: that of the finding first, the others in the order of the related places.
    /// What is far away in the same file has a frame of its own.
    fn elements(&self, finding: &'a Finding, location: &'a Location) -> Vec<Element<'a>> {
        let same = finding.related.iter().find(|related| related.location == *location);
        let range = self.range(location);
        let label = same.map(|related| related.message.as_str());
        let primary = (range.clone(), AnnotationKind::Primary, label);
        let mut extents = vec![Extent { location, range, annotations: vec![primary] }];
        for related in finding.related.iter().filter(|related| related.location != *location) {
            let range = self.range(&related.location);
            let annotation = (range.clone(), AnnotationKind::Context, Some(related.message.as_str()));
            let near = extents.iter_mut().find_map(|extent| {
                let union = extent.range.start.min(range.start)..extent.range.end.max(range.end);
                let joins = extent.location.file == related.location.file && union.len() <= MAX_FRAME;
                joins.then_some((extent, union))
            });
            match near {
                Some((extent, union)) => {
                    extent.range = union;
                    extent.annotations.push(annotation);
                }
                None => {
                    extents.push(Extent {
                        location: &related.location,
                        range,
                        annotations: vec![annotation],
                    });
                }
            }
        }
        extents.into_iter().map(|extent| self.frame(extent)).collect()
    }

    fn frame(&self, extent: Extent<'a>) -> Element<'a> {
        let Location { file, line, column, .. } = extent.location;
        let path = place::path(self.root, file);
        let source = self.sources.get(file.as_str()).filter(|source| !source.text().is_empty());
        let Some(source) = source else { return Origin::path(path).into() };
        let (lines, first) = source.lines().around(&extent.range);
        if lines.len() > 2 * MAX_FRAME {
            return Origin::path(path).line(*line as usize).char_column(*column as usize).into();
        }
        let annotations = extent.annotations.into_iter().map(|(range, kind, label)| {
            kind.span(range.start - lines.start..range.end - lines.start).label(label)
        });
        let annotations: Vec<Annotation<'a>> = annotations.collect();
        Snippet::source(still(&source.text()[lines]))
            .line_start(first)
            .path(path)
            .annotations(annotations)
            .into()
    }

    fn range(&self, location: &Location) -> Range<usize> {
        self.sources.get(location.file.as_str()).map_or(0..0, |source| source.lines().range(location))
    }
}
/// The lines of a file as they are shown. The renderer replaces the control characters of ASCII and leaves those of
/// Latin-1, by which some terminals are steered too. What stands for them has as many bytes, so that nothing moves.
fn still(lines: &str) -> Cow<'_, str> {
    let steers = |c: char| matches!(c, '\u{80}'..='\u{9f}');
    if lines.contains(steers) { Cow::Owned(lines.replace(steers, "\u{b7}")) } else { Cow::Borrowed(lines) }
}
