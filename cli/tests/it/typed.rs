//! Types a command and collects what it says.

use std::{ffi::OsString, path::Path};

use tempfile::TempDir;

use almanac_cli::{Exit, Folders, Style, World};
use almanac_schemas::Instant;

use crate::reconciler::{NOW, Reconciler, State};

/// Somebody at a terminal: a home folder with a key, and a reconciler.
pub(crate) struct Desk {
    pub(crate) home: TempDir,
    pub(crate) reconciler: Reconciler,
    pub(crate) address: String,
    /// Whether the terminal has colours.
    pub(crate) colour: bool,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The name of a snapshot, which is also that of a file.
pub(crate) fn named(text: &str) -> String {
    text.replace([' ', ':', ','], "_")
}

impl Desk {
    pub(crate) async fn new(state: State) -> Self {
        let (reconciler, address) = Reconciler::start(state).await;
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        almanac_proto::identity::generate(&home.path().join(".ssh/id_ed25519"), "alice").unwrap();
        Self { home, reconciler, address, colour: false }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// Types a command as alice, on a terminal of 80 columns.
    pub(crate) async fn type_(&self, line: &str) -> Said {
        let words = format!("almanac --server {} --user alice {line}", self.address);
        self.type_words(&words).await
    }

    /// Types a command as alice, on a terminal of so many columns.
    pub(crate) async fn type_on(&self, line: &str, width: usize) -> Said {
        let words = format!("almanac --server {} --user alice {line}", self.address);
        self.type_at(&words, Some(width)).await
    }

    /// Types a command as alice, whose words go to another program.
    pub(crate) async fn type_in_a_pipe(&self, line: &str) -> Said {
        let words = format!("almanac --server {} --user alice {line}", self.address);
        self.type_at(&words, None).await
    }

    /// Types a command line, split at spaces.
    pub(crate) async fn type_words(&self, line: &str) -> Said {
        self.type_at(line, Some(80)).await
    }

    async fn type_at(&self, line: &str, width: Option<usize>) -> Said {
        let world = World {
            now: NOW.parse::<Instant>().unwrap().0,
            folders: Folders { home: Some(self.path().to_owned()), config_home: None },
            style: Style { width, colour: self.colour },
            progress: false,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let words = line.split_whitespace().map(OsString::from);
        let exit = almanac_cli::run(words, &world, &mut out, &mut err).await;
        // What differs from one test run to the next: the home folder and the port.
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let text = text.replace(&self.path().display().to_string(), "~");
            if self.address.starts_with("http://127.") {
                text.replace(&self.address, "http://RECONCILER")
            } else {
                text
            }
        };
        Said { exit, out: text(out), err: text(err) }
    }
}

impl std::fmt::Display for Said {
    /// Both streams and the exit code, for snapshots.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.out)?;
        if !self.err.is_empty() {
            write!(f, "--- stderr\n{}", self.err)?;
        }
        if self.exit != Exit::Done {
            writeln!(f, "--- exit {}", self.exit.code())?;
        }
        Ok(())
    }
}
