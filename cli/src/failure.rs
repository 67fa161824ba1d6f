//! How a command fails: the sentence, what to do about it, the exit code.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    call::{CallError, ConnectError},
    download::IndexError,
    exit::Exit,
    fetch::{FetchError, mend},
    output::Output,
    settings::SettingsError,
    view::Outcome,
};

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
pub enum Failure {
    /// Settings are missing or wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Address or key cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The reconciler did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A file did not arrive.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There can be no index of what is downloaded.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file cannot be written that a table is to go to.
    #[error("cannot write {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// Bytes that nobody can read are not written to a terminal.
    #[error("Parquet is not for terminals")]
    Terminal,
    /// A download covered several runs, and some failed. Each was told about already.
    #[error("{0} of {1} runs could not be downloaded")]
    Incomplete(usize, usize),
    /// A node does not send what it measures. What was known of it was shown already.
    #[error("{0}")]
    Silent(String),
    /// The commit did not come into force. What came of it was shown already.
    #[error("{}", not_applied(*.0))]
    NotApplied(Outcome),
    /// Standard output does not take what is written.
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

const fn not_applied(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Suspended => "nothing was looked at: the syncs are suspended",
        Outcome::Failed => "the repository could not be put in force",
        Outcome::Waiting => "the commit is not in force: it waits for an approval",
        Outcome::Rejected | Outcome::Applied => "the commit is not in force",
    }
}

impl Failure {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Connect(_) => Exit::Usage,
            Self::Call(error) => error.exit(),
            Self::Fetch(error) => error.exit(),
            Self::Index(error) => error.exit(),
            Self::Terminal => Exit::Usage,
            Self::NotApplied(_) | Self::Silent(_) => Exit::Negative,
            // Whoever reads has seen enough, as `head` has.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) | Self::File(..) | Self::Incomplete(..) => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Settings(error) => error.help(),
            Self::Connect(error) => error.help(),
            Self::Call(error) => error.help(),
            Self::Fetch(error) => error.help(),
            Self::Index(error) => error.help(),
            Self::File(_, error) => Some(format!("{} or name another with `--to FILE`", mend(error))),
            Self::Terminal => Some("name a file with `--to FILE`, or send it elsewhere with `>`".to_owned()),
            Self::NotApplied(outcome) => Some(
                match outcome {
                    Outcome::Waiting => "`almanac sync approve` lets it pass",
                    Outcome::Failed => {
                        "what was in force still is; mend what the message says, or wait for the next look"
                    }
                    Outcome::Suspended => "`almanac sync resume` ends the suspension",
                    Outcome::Rejected | Outcome::Applied => "`almanac sync show` says why",
                }
                .to_owned(),
            ),
            Self::Incomplete(..) => {
                Some("the others are there; the same command again asks for what is missing".to_owned())
            }
            Self::Silent(_) => Some("`almanac nodes show` says how the node is".to_owned()),
            Self::Output(_) => None,
        }
    }

    /// Says it on standard error.
    pub fn tell(&self, output: &mut Output<'_>) {
        if self.exit() == Exit::Done {
            return;
        }
        let mut text = format!("error: {self}");
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {}", cause.to_string().trim_end()));
            source = cause.source();
        }
        output.note(&text);
        if let Some(help) = self.help() {
            output.note(&format!("help: {help}"));
        }
    }
}
