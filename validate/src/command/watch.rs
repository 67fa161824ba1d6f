//! `almanac-validate watch`.
//!
//! Changes of files are hints: whatever was heard, the folder is read anew, and what comes of it is shown
//! when it differs from what was shown before. Three parties: the main thread, which checks; the thread of
//! `notify`, which hears of changes; and one that waits for signals. Both tell the main thread through one
//! channel, and end with the program.

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant as Moment},
};

use almanac_validate::{IGNORE_FILE, WalkError, check, render::human, walk};
use anyhow::Context;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    now::Now,
    print::{print, say},
    source::shown,
};
use crate::exit::Exit;

const EXIT_CODES: &str = "\
Exit codes:
  0  it was ended, by Ctrl-C or SIGTERM
  2  the folder cannot be read or watched";

/// Check a folder, and check it again whenever something in it changes, until Ctrl-C.
///
/// On a terminal the findings replace those of before. Anywhere else they are written whenever they differ.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Watch {
    /// The folder of the manifests.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    #[command(flatten)]
    now: Now,
}

/// A change is checked when nothing was heard for so long: saving a file is several changes.
const QUIET: Duration = Duration::from_millis(10);

/// A change is checked after so long even if there is no end of them.
const IMPATIENT: Duration = Duration::from_millis(80);

/// After a change, the folder is looked at once more when it is quiet for so long: what was written
/// into a new folder before that was watched is not heard of.
const SETTLED: Duration = Duration::from_millis(250);

/// How often is looked whether the folder is still the one that is watched, or there again.
const LOOK: Duration = Duration::from_millis(500);

/// How many changes wait at most. When it is full, enough was heard to look.
const QUEUE: usize = 64;

/// What the main thread is told.
enum Message {
    /// Something may have changed.
    Changed,
    /// The folder itself was moved or removed.
    Moved,
    /// Not everything can be watched.
    Trouble(notify::Error),
    /// Enough.
    Stop,
}

/// A folder that is watched for as long as this is kept.
struct Watched {
    identity: (u64, u64),
    _watcher: RecommendedWatcher,
}

/// What became of waiting.
enum Waited {
    /// Look at the folder.
    Check,
    /// End.
    Stop,
}

/// What is known between two looks.
struct State<'w> {
    path: &'w Path,
    now: Now,
    sender: SyncSender<Message>,
    receiver: Receiver<Message>,
    /// `None` when the folder is not there.
    watched: Option<Watched>,
    /// Whether it was looked at after everything had been quiet.
    settled: bool,
    /// What was shown last.
    shown: Option<String>,
}

impl Watch {
    /// Checks until it is told to stop.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let (sender, receiver) = sync_channel(QUEUE);
        stop_at_signals(sender.clone()).context("cannot wait for signals")?;
        // A folder that was never there is a slip, and one that vanishes later is not. This says what is
        // wrong with it in the words of the check.
        walk(&self.path)?;
        let watched = Watched::start(&self.path, sender.clone())
            .with_context(|| format!("cannot watch `{}`", self.path.display()))?;
        let mut state = State {
            path: &self.path,
            now: self.now,
            sender,
            receiver,
            watched: Some(watched),
            settled: true,
            shown: None,
        };
        loop {
            state.look()?;
            if let Waited::Stop = state.wait() {
                return Ok(Exit::Clean);
            }
        }
    }
}

impl State<'_> {
    /// Checks the folder, and shows what is new.
    fn look(&mut self) -> anyhow::Result<()> {
        if self.watched.is_none() {
            // Before the check, so that no change after it goes unheard.
            self.watched = Watched::start(self.path, self.sender.clone()).ok();
        }
        let text = match walk(self.path) {
            Ok(sources) => {
                let report = check(&sources, self.now.instant());
                human::human(&report, &sources, shown(self.path), human::Style::Coloured)
            }
            Err(_) if !self.path.is_dir() => {
                self.watched = None;
                format!("`{}` is gone: waiting for it to come back\n", self.path.display())
            }
            // A file that is replaced at this moment; it is looked at again when it is quiet.
            Err(WalkError::Unreadable { cause, .. })
                if !self.settled && cause.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(());
            }
            Err(error) => format!("error: {:#}\n", anyhow::Error::new(error)),
        };
        self.show(text)
    }

    fn show(&mut self, text: String) -> anyhow::Result<()> {
        if self.shown.as_ref() == Some(&text) {
            return Ok(());
        }
        let terminal = io::stdout().is_terminal();
        print(|out| {
            if terminal {
                // The top left corner, and nothing below it; what was there before the program is kept.
                write!(out, "\u{1b}[H\u{1b}[2J{text}\nwatching `{}`: Ctrl-C ends this\n", self.path.display())
            } else {
                out.write_all(text.as_bytes())
            }
        })?;
        self.shown = Some(text);
        Ok(())
    }

    /// Waits until there is a reason to look again.
    fn wait(&mut self) -> Waited {
        loop {
            let patience = if self.settled { LOOK } else { SETTLED };
            match self.receiver.recv_timeout(patience) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Waited::Stop,
                Ok(message) => {
                    self.settled = false;
                    self.hear(message);
                    return self.until_quiet();
                }
                Err(RecvTimeoutError::Timeout) if !self.settled => {
                    self.settled = true;
                    return Waited::Check;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let watched = self.watched.as_ref().map(|watched| watched.identity);
                    if watched != identity(self.path) {
                        self.watched = None;
                        return Waited::Check;
                    }
                }
            }
        }
    }

    fn until_quiet(&mut self) -> Waited {
        let since = Moment::now();
        while since.elapsed() < IMPATIENT {
            match self.receiver.recv_timeout(QUIET) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Waited::Stop,
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        Waited::Check
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Moved => self.watched = None,
            Message::Trouble(error) => say(&format!("not every change may be noticed: {error}")),
            Message::Changed | Message::Stop => {}
        }
    }
}

impl Watched {
    fn start(path: &Path, sender: SyncSender<Message>) -> anyhow::Result<Self> {
        // Events bear absolute paths.
        let root = fs::canonicalize(path)?;
        let identity = identity(path).context("it is gone")?;
        let mut watcher = {
            let root = root.clone();
            notify::recommended_watcher(move |event| {
                if let Some(message) = heard(&root, event) {
                    // A full queue is enough to make the folder be looked at.
                    let _ = sender.try_send(message);
                }
            })?
        };
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok(Self { identity, _watcher: watcher })
    }
}

/// What an event means for the check of the folder `root`.
fn heard(root: &Path, event: notify::Result<Event>) -> Option<Message> {
    let event = match event {
        Ok(event) => event,
        Err(error) => return Some(Message::Trouble(error)),
    };
    let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    if gone && event.paths.iter().any(|path| path == root) {
        return Some(Message::Moved);
    }
    // Reading a file is an event as well.
    let changes = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let counts = event.paths.is_empty() || event.paths.iter().any(|path| !is_hidden(root, path));
    (changes && counts).then_some(Message::Changed)
}

/// Whether the check passes over a path because of its name. What `.almanacignore` lists may change.
fn is_hidden(root: &Path, path: &Path) -> bool {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside != Path::new(IGNORE_FILE) && inside.iter().any(|part| part.to_string_lossy().starts_with('.'))
}

/// What tells a folder from another one in its place.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

fn stop_at_signals(sender: SyncSender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            // It ends when the main thread does.
            let _ = sender.send(Message::Stop);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, RemoveKind};

    #[test]
    fn reading_and_hidden_files_are_no_changes() {
        let root = Path::new("/t/.cache/bed");
        let heard = |kind, path: &str| heard(root, Ok(Event::new(kind).add_path(path.into())));
        let created = EventKind::Create(CreateKind::File);
        assert!(matches!(heard(created, "/t/.cache/bed/a.yaml"), Some(Message::Changed)));
        assert!(matches!(heard(created, "/t/.cache/bed/.almanacignore"), Some(Message::Changed)));
        assert!(heard(created, "/t/.cache/bed/.git/index").is_none());
        assert!(heard(EventKind::Access(AccessKind::Read), "/t/.cache/bed/a.yaml").is_none());
        let removed = EventKind::Remove(RemoveKind::Folder);
        assert!(matches!(heard(removed, "/t/.cache/bed"), Some(Message::Moved)));
        assert!(matches!(heard(removed, "/t/.cache/bed/jobs"), Some(Message::Changed)));
    }
}
