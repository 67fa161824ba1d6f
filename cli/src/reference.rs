//! The reference of all commands, made from their help texts: `docs/cli.md`.

use std::fmt::Write;

use clap::CommandFactory;

use crate::{
    args::{Cli, GLOBAL},
    exit::Exit,
};

/// What is written by hand: it stands before the commands.
const INTRODUCTION: &str = include_str!("reference.md");

/// The whole text of `docs/cli.md`.
pub fn text() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::MEANINGS {
        line(&mut text, &format!("| {} | {meaning} |", exit.code()));
    }
    text.push_str("\n## Commands\n");
    for (name, help) in helps() {
        line(&mut text, &format!("\n### `{name}`\n\n```text\n{}\n```", help.trim_end()));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}

/// The help of every command, with the command's full name, in the order in which they are listed.
/// The global options are those of the program itself and are not repeated.
pub fn helps() -> Vec<(String, String)> {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut helps = vec![(root.get_name().to_owned(), root.render_help().to_string())];
    collect(&mut root, &mut helps);
    helps
}

fn collect(command: &mut clap::Command, helps: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        let mut short = inner.clone().mut_args(|arg| {
            let global = arg.get_help_heading() == Some(GLOBAL);
            arg.hide(global)
        });
        let name = inner.get_bin_name().unwrap_or(inner.get_name()).to_owned();
        helps.push((name, short.render_help().to_string()));
        collect(inner, helps);
    }
}
