//! The gate that holds a started container until its run is due.
//!
//! An engine takes 85 to 250 ms to start a container. So it is started ahead, with a small static program as its
//! entry point, which waits for the agent's word and then becomes the command. The word comes over a Unix socket in
//! the run's folder; before it passes, the gate notes there that it does. So whatever ends in between, the agent or
//! the host, there is no doubt whether a command ever ran.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rustix::fs::OFlags;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time,
};

use crate::container::{ContainerName, Mount};

/// The gate itself, for this machine.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gate"));

/// Where containers find it, and its folder.
const PROGRAM_PATH: &str = "/almanac/gate";
const FOLDER_PATH: &str = "/almanac/held";

/// The agent's word.
const PASS: &[u8] = b"p";

/// How long a gate may take to note that it passes, on the slowest of boards.
const PASSING: Duration = Duration::from_secs(10);

/// The gates of a node's containers.
#[derive(Debug, Clone)]
pub struct Gates {
    /// The folder that holds the folders of runs.
    runs: PathBuf,
    program: PathBuf,
    /// Those that wait for a word.
    held: Arc<Mutex<HashMap<ContainerName, UnixStream>>>,
}

/// What is known of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It was not passed.
    Closed,
    /// The command was begun.
    Passed(DateTime<Utc>),
    /// The command could not be begun; why.
    Failed(String),
}

impl Gates {
    /// Gates of runs that have their folders below `runs`. The gate itself is to lie at `program`.
    pub fn new(program: PathBuf, runs: PathBuf) -> Self {
        Self { runs, program, held: Arc::default() }
    }

    /// Puts the gate into its file. The gates of containers that are held already stay what they are.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn install(&self) -> io::Result<()> {
        let unfinished = self.program.with_extension("new");
        fs::write(&unfinished, PROGRAM)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o755))?;
        fs::rename(&unfinished, &self.program)
    }

    /// What a container needs to see for its gate.
    pub fn mounts(&self, name: &ContainerName) -> [Mount; 2] {
        [
            Mount { source: self.program.clone(), target: PROGRAM_PATH.to_owned(), read_only: true },
            Mount { source: self.folder(name), target: FOLDER_PATH.to_owned(), read_only: false },
        ]
    }

    /// What a container begins with; its command follows.
    pub fn entrypoint() -> Vec<String> {
        vec![PROGRAM_PATH.to_owned(), FOLDER_PATH.to_owned()]
    }

    /// Makes the folder of a gate. Images run as users of their own, whom the host does not know.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn prepare(&self, name: &ContainerName) -> io::Result<()> {
        let folder = self.folder(name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o777))
    }

    /// Listens for a gate, before its container is started.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn listen(&self, name: &ContainerName) -> io::Result<UnixListener> {
        // A socket's path has 108 bytes at most (unix(7)), and a state folder may lie deep.
        let folder = fs::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(self.folder(name))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/agent", folder.as_raw_fd()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(listener)
    }

    /// Waits until a gate waits for a word. It may take as long as the engine needs: callers bound it.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub async fn hold(&self, name: &ContainerName, listener: &UnixListener) -> io::Result<()> {
        // Cancel-safe: a connection that was not taken waits in the listener.
        let (stream, _) = listener.accept().await?;
        self.lock().insert(name.clone(), stream);
        Ok(())
    }

    /// Whether a gate waits for a word of this process.
    pub fn holds(&self, name: &ContainerName) -> bool {
        self.lock().contains_key(name)
    }

    /// Opens a gate, and says what came of it. Whoever is cut off meanwhile asks [`Self::passage`].
    ///
    /// # Errors
    ///
    /// When nothing waits at the gate.
    pub async fn open(&self, name: &ContainerName) -> io::Result<Passage> {
        let stream = self.lock().remove(name);
        let mut stream =
            stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "no container waits"))?;
        let passing = async {
            stream.write_all(PASS).await?;
            let mut lines = BufReader::new(stream).lines();
            // The instant, and then the end: the connection is closed when the command runs, or cannot.
            while lines.next_line().await?.is_some() {}
            Ok::<_, io::Error>(())
        };
        match time::timeout(PASSING, passing).await {
            Ok(passed) => passed?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.passage(name)
    }

    /// What is noted of a gate.
    ///
    /// # Errors
    ///
    /// When its folder cannot be read.
    pub fn passage(&self, name: &ContainerName) -> io::Result<Passage> {
        let folder = self.folder(name);
        if let Some(why) = read(&folder.join("failed"))? {
            return Ok(Passage::Failed(why));
        }
        let Some(passed) = read(&folder.join("passed"))? else { return Ok(Passage::Closed) };
        let at = passed.parse().ok().and_then(DateTime::from_timestamp_micros);
        at.map(Passage::Passed).ok_or_else(|| io::Error::other("the gate's note is no instant"))
    }

    /// Forgets a container.
    pub fn forget(&self, name: &ContainerName) {
        self.lock().remove(name);
    }

    fn folder(&self, name: &ContainerName) -> PathBuf {
        self.runs.join(name.run()).join("held")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerName, UnixStream>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a note. A command may have put anything in its place by now: a link to a file of the host, a pipe that
/// nobody writes to, a text without end.
fn read(path: &Path) -> io::Result<Option<String>> {
    const MOST: u64 = 4096;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("what lies there is no file"));
    }
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests;
