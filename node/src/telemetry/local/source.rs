//! One source: what it says, within bounds, as fields.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Map, Value as Json};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    task, time,
};

use almanac_schemas::trigger::{Value, samples::Sample};

use super::{LocalName, SourceSettings, settings::From};

/// The most that a source may say, in bytes.
const LONGEST: u64 = 64 << 10;

/// The most fields of one source.
const MOST: usize = 256;

/// How deep its objects may lie in one another.
const DEEPEST: usize = 8;

/// The longest name of a field.
const LONGEST_NAME: usize = 128;

/// Why a source says nothing that is of use.
#[derive(Debug, Error)]
pub(super) enum SourceError {
    #[error("{program} cannot be run")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("the command ended with {status}{said}")]
    Ended { status: ExitStatus, said: String },
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("it takes longer than its deadline of {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("it says more than {LONGEST} bytes")]
    Long,
    #[error("what it says is no JSON object")]
    Form(#[source] Option<serde_json::Error>),
    #[error("what it says holds no number")]
    Empty,
    #[error("what it says has more than {MOST} numbers, or objects more than {DEEPEST} deep")]
    Large,
}

/// Asks a source once.
pub(super) async fn ask(name: &LocalName, settings: &SourceSettings) -> Result<Sample, SourceError> {
    let deadline = settings.deadline();
    let asked = async {
        match &settings.from {
            From::Command(command) => run(command).await,
            From::File(path) => {
                let path = path.clone();
                // A file may be of a driver that takes its time. It is left behind then, and asked again later.
                let read = task::spawn_blocking(move || read(&path)).await;
                read.unwrap_or_else(|error| Err(SourceError::Read(PathBuf::new(), io::Error::other(error))))
            }
        }
    };
    let text = time::timeout(deadline, asked).await.map_err(|_elapsed| SourceError::Late(deadline))??;
    fields(name, &text)
}

/// Runs a command to its end. Whatever it started ends with it: it has a process group of its own, which is killed.
async fn run(command: &[String]) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::Run { program: command[0].clone(), source };
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let group = Group(child.id());
    let out = limited(child.stdout.take(), LONGEST + 1);
    let err = beginning(child.stderr.take());
    let (out, err) = tokio::join!(out, err);
    let out = out.map_err(failed)?;
    if out.len() as u64 > LONGEST {
        return Err(SourceError::Long);
    }
    let status = child.wait().await.map_err(failed)?;
    drop(group);
    if !status.success() {
        let err = String::from_utf8_lossy(&err.unwrap_or_default()).into_owned();
        let line: String =
            err.lines().next().unwrap_or_default().chars().filter(|char| !char.is_control()).collect();
        let said = if line.is_empty() { String::new() } else { format!(": {line}") };
        return Err(SourceError::Ended { status, said });
    }
    Ok(out)
}

async fn limited(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first of what a command complains about. It is read to its end, so that a pipe that is full does not hold it up.
async fn beginning(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(200).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// A process group that is killed at the end, also where nobody waits for that any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It may have ended already, a moment ago: so soon, its number is nobody else's.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// Reads a file, and nothing that is none: a pipe would be waited for.
fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed = |error| SourceError::Read(path.to_owned(), error);
    let flags = rustix::fs::OFlags::NONBLOCK;
    let file =
        File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST { Err(SourceError::Long) } else { Ok(bytes) }
}

/// The numbers of an object, with those of the objects in it, as fields that are named after the source. Truth values are 1
/// and 0; texts, lists and nulls are no numbers and passed over.
fn fields(name: &LocalName, text: &[u8]) -> Result<Sample, SourceError> {
    let object: Map<String, Json> = match serde_json::from_slice(text) {
        Ok(Json::Object(object)) => object,
        Ok(_) => return Err(SourceError::Form(None)),
        Err(error) => return Err(SourceError::Form(Some(error))),
    };
    let mut sample = Sample::new();
    flatten(name.as_str(), &object, 0, &mut sample)?;
    if sample.is_empty() { Err(SourceError::Empty) } else { Ok(sample) }
}

fn flatten(
    prefix: &str,
    object: &Map<String, Json>,
    depth: usize,
    sample: &mut Sample,
) -> Result<(), SourceError> {
    if depth == DEEPEST {
        return Err(SourceError::Large);
    }
    for (key, value) in object {
        let name = format!("{prefix}_{}", word(key));
        let number = match value {
            Json::Object(inner) => {
                flatten(&name, inner, depth + 1, sample)?;
                None
            }
            Json::Number(number) => number.as_f64().filter(|number| number.is_finite()),
            Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Json::String(_) | Json::Array(_) | Json::Null => None,
        };
        if let Some(number) = number.filter(|_| name.len() <= LONGEST_NAME) {
            sample.insert(name, Value::Number(number));
        }
        if sample.len() > MOST {
            return Err(SourceError::Large);
        }
    }
    Ok(())
}

/// A key as a part of a name in an expression.
fn word(key: &str) -> String {
    let letter = |char: char| if char.is_ascii_alphanumeric() || char == '_' { char } else { '_' };
    key.chars().map(letter).collect()
}
