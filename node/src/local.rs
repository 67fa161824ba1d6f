//! The agent's socket on its host: a file in its state folder, which is nobody else's. Whoever asks sends one line of
//! JSON and gets one back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use almanac_schemas::{Cordon, Scavenging};

use crate::{
    dispatcher::{Done, Word},
    runtime::chain,
    status::{Status, Watch},
};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Request {
    /// How the agent is.
    Status,
    /// That new runs do not start, or do again.
    Cordon {
        /// What keeps them from it; absent: they start.
        cordon: Option<Cordon>,
    },
    /// That the host's owner wants its link, or does not any more.
    Scavenge {
        /// Who wants it, and until when; absent: nobody.
        scavenging: Option<Scavenging>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// How the agent is.
    Status(Box<Status>),
    /// It is so now.
    Done,
    /// Why there is no other answer.
    Error(String),
}

/// The longest line that is read: a status with every job's next run. What is asked is a few bytes.
const LONGEST_LINE: u64 = 4 << 20;

/// How long one of the two may take. The agent serves one at a time, and nobody may keep it to themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the agent of this host answers from, and passes on to.
pub struct Host {
    /// Finds out how it is.
    pub watch: Watch,
    /// Takes what the host's owner says.
    pub words: mpsc::Sender<Word>,
}

/// Answers until the agent stops. Without a socket the agent runs all the same.
pub async fn serve(path: PathBuf, host: Host, stop: CancellationToken) {
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(socket = %path.display(), %error, "nobody can be told how the agent is: `almanac-node status` will not work");
            return;
        }
    };
    loop {
        let served = async {
            match listener.accept().await {
                Ok((stream, _)) => match time::timeout(PATIENCE, answer(stream, &host)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(%error, "somebody who asked has gone"),
                    Err(_elapsed) => debug!("somebody who asked took too long"),
                },
                Err(error) => {
                    warn!(%error, "nobody can ask how the agent is; trying again");
                    time::sleep(PATIENCE).await;
                }
            }
        };
        tokio::select! {
            // Cancel-safe: whoever is being answered asks again.
            () = stop.cancelled() => break,
            () = served => {}
        }
    }
    let _ = fs::remove_file(&path);
}

/// The state folder is locked, so that what is there is left over from an agent that was killed.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

async fn answer(stream: UnixStream, host: &Host) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let line = read_line(&mut stream).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Status) => match host.watch.look().await {
            Ok(status) => Answer::Status(Box::new(status)),
            Err(error) => Answer::Error(chain(&error)),
        },
        Ok(Request::Cordon { cordon }) => host.say(|done| Word::Cordon { cordon, done }).await,
        Ok(Request::Scavenge { scavenging }) => host.say(|done| Word::Scavenge { scavenging, done }).await,
        Err(error) => Answer::Error(format!("the agent does not understand this; is it older? {error}")),
    };
    write_line(stream.get_mut(), &answer).await
}

impl Host {
    /// Passes on what is said, and waits until it holds.
    async fn say(&self, word: impl FnOnce(Done) -> Word) -> Answer {
        match self.pass_on(word).await {
            Ok(()) => Answer::Done,
            Err(problem) => Answer::Error(problem),
        }
    }

    async fn pass_on(&self, word: impl FnOnce(Done) -> Word) -> Result<(), String> {
        let (done, held) = oneshot::channel();
        // Nobody takes it any more once the agent is stopping.
        let stopping = || "the agent is stopping".to_owned();
        self.words.send(word(done)).await.map_err(|_| stopping())?;
        held.await.map_err(|_| stopping())?.map_err(|error| chain(&error))
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no agent answers at {}; start it (`systemctl start almanac-node`), or name the state folder of one that runs with `--state-dir`",
        .0.display()
    )]
    Silent(PathBuf, #[source] io::Error),
    /// This user may not ask.
    #[error("the agent at {} answers its own user and root alone; use `sudo`", .0.display())]
    Forbidden(PathBuf),
    /// It does not come to an end.
    #[error("the agent at {} does not answer in time; see its log (`journalctl -u almanac-node`)", .0.display())]
    Late(PathBuf),
    /// It makes no sense.
    #[error("the agent at {} answers what this program does not understand; is it of another version?", .0.display())]
    Strange(PathBuf, #[source] serde_json::Error),
    /// It says that it cannot.
    #[error("the agent cannot do this: {0}")]
    Refused(String),
}

/// Asks the agent of a socket how it is.
///
/// # Errors
///
/// When no agent answers, or not that.
pub async fn status(path: &Path) -> Result<Status, AskError> {
    match ask(path, &Request::Status).await? {
        Answer::Status(status) => Ok(*status),
        answer => Err(answer.unexpected()),
    }
}

/// Tells the agent of a socket whether new runs start. It is so when this returns.
///
/// # Errors
///
/// When no agent answers, or it cannot.
pub async fn cordon(path: &Path, cordon: Option<Cordon>) -> Result<(), AskError> {
    tell(path, &Request::Cordon { cordon }).await
}

/// Tells the agent of a socket whether the host's owner wants its link. It is so when this returns: exclusive runs are being
/// stopped.
///
/// # Errors
///
/// When no agent answers, or it cannot.
pub async fn scavenge(path: &Path, scavenging: Option<Scavenging>) -> Result<(), AskError> {
    tell(path, &Request::Scavenge { scavenging }).await
}

async fn tell(path: &Path, request: &Request) -> Result<(), AskError> {
    match ask(path, request).await? {
        Answer::Done => Ok(()),
        answer => Err(answer.unexpected()),
    }
}

impl Answer {
    /// Why this is no answer to what was asked.
    fn unexpected(self) -> AskError {
        AskError::Refused(match self {
            Self::Error(problem) => problem,
            Self::Status(_) | Self::Done => "it answers something else".to_owned(),
        })
    }
}

async fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let asked = async {
        let mut stream = BufReader::new(UnixStream::connect(path).await?);
        write_line(stream.get_mut(), request).await?;
        read_line(&mut stream).await
    };
    let line = match time::timeout(PATIENCE, asked).await {
        Err(_elapsed) => return Err(AskError::Late(path.to_owned())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(AskError::Forbidden(path.to_owned()));
        }
        Ok(Err(error)) => return Err(AskError::Silent(path.to_owned(), error)),
        Ok(Ok(line)) => line,
    };
    serde_json::from_str(&line).map_err(|error| AskError::Strange(path.to_owned(), error))
}

async fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LONGEST_LINE).read_line(&mut line).await?;
    Ok(line)
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
