//! The reference of all commands, made from their help texts: `docs/validate.md`.

use std::fmt::Write;

use clap::CommandFactory;

use crate::args::Args;

/// What is written by hand: it stands before the commands.
const INTRODUCTION: &str = include_str!("reference.md");

/// The whole text of `docs/validate.md`.
fn text() -> String {
    let mut root = Args::command().term_width(100);
    root.build();
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Commands\n");
    section(&mut text, &mut root);
    text
}

/// A command, and those that belong to it.
fn section(text: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    // What clap aligns it leaves spaces behind.
    let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let help = help.join("\n");
    writeln!(text, "\n### `{name}`\n\n```text\n{help}\n```").expect("writing to a string does not fail");
    let commands = command.get_subcommands_mut().filter(|command| command.get_name() != "help");
    commands.for_each(|command| section(text, command));
}

/// The program's own arguments are seen from inside it alone, so that this test, and no example, writes
/// the file.
#[test]
fn the_reference_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/validate.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, text()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text(),
        "docs/validate.md is out of date: run `UPDATE_REFERENCE=1 cargo test -p almanac-validate --bins`"
    );
}
