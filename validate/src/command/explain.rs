//! `almanac-validate explain`: the page of a rule, or the list of all.

use almanac_validate::{Rule, Severity};
use clap::builder::styling::{AnsiColor, Style};

use super::print::print;
use crate::exit::{Exit, PRINTING};

/// The width that texts are laid out for.
const WIDTH: usize = 80;

/// Show what a rule demands and why, with an example of what fails and of what passes.
///
/// The rule of a finding stands in the brackets after its severity: `error[unknown-field]`.
#[derive(Debug, clap::Args)]
#[command(after_help = PRINTING)]
pub(crate) struct Explain {
    /// The rule, such as `schedule-conflict`; all of them when it is not given.
    rule: Option<Rule>,
}

impl Explain {
    /// Prints.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let text = self.rule.map_or_else(list, page);
        print(|out| out.write_all(text.as_bytes()))?;
        Ok(Exit::Clean)
    }
}

/// All rules in columns: name, severity, and what the rule demands.
fn list() -> String {
    let name = Rule::ALL.iter().map(|rule| rule.as_str().len()).max().unwrap_or_default();
    let severity = "warning".len();
    let indent = name + severity + 4;
    let mut text = String::new();
    for rule in Rule::ALL {
        let style = match rule.severity() {
            Severity::Error => AnsiColor::Red.on_default(),
            Severity::Warning => AnsiColor::Yellow.on_default(),
        };
        let head = format!("{rule:name$}  {style}{:severity$}{style:#}  ", rule.severity().as_str());
        text += &head;
        text += &wrapped(rule.summary(), WIDTH - indent).join(&format!("\n{}", " ".repeat(indent)));
        text.push('\n');
    }
    text + "\n`almanac-validate explain RULE` shows the page of one of them.\n"
}

/// A page of Markdown as plain text: its blocks are indented, with the file's name above.
fn page(rule: Rule) -> String {
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    let mut text = String::new();
    let mut in_block = false;
    for line in rule.page().lines() {
        match line.strip_prefix("```") {
            Some(fence) => {
                in_block = !in_block;
                if let Some((kind, path)) = fence.split_once(' ') {
                    let what = if matches!(kind, "yaml" | "bytes") { "" } else { kind };
                    text +=
                        &format!("  {dim}{path}{}{what}{dim:#}\n", if what.is_empty() { "" } else { ": " });
                }
            }
            None if in_block && line.is_empty() => text.push('\n'),
            None if in_block => text += &format!("    {line}\n"),
            None => match line.trim_start_matches('#') {
                title if title.len() < line.len() => {
                    text += &format!("{bold}{}{bold:#}\n", title.trim().trim_matches('`'));
                }
                line => text += &format!("{line}\n"),
            },
        }
    }
    text
}

/// A text in lines of at most so many characters, if its words are that short.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
