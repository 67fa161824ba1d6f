//! What a container starts with. It waits for the agent's word, and then becomes the job's command: so a run
//! begins at its instant, and not when an engine is done with starting a container.
//!
//! `gate FOLDER PROGRAM [ARGUMENT...]`. The agent listens in the folder. The gate notes there that it was
//! passed before it passes, so that an agent that was killed knows whether the command ever ran.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often an agent that is not there is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// The agent's word.
const PASS: u8 = b'p';

/// What shells answer where there is no such program, and where it cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(folder), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: gate FOLDER PROGRAM [ARGUMENT...]");
        return ExitCode::from(NOT_EXECUTABLE);
    };
    let arguments: Vec<OsString> = arguments.collect();
    let folder = Path::new(&folder);
    let mut agent = wait(&folder.join("agent"));
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let error = match note(&folder.join("passed"), &at.to_string()) {
        Ok(()) => {
            // Nobody has to hear it: it is noted.
            let _ = writeln!(agent, "{at}");
            // The connection is closed with the gate, and so says that the command runs.
            Command::new(&program).args(arguments).exec()
        }
        Err(error) => error,
    };
    let said = format!("cannot run `{}`: {error}", Path::new(&program).display());
    eprintln!("{said}");
    let _ = note(&folder.join("failed"), &said);
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
}

/// Waits for the word of an agent that may come and go.
fn wait(socket: &Path) -> UnixStream {
    loop {
        if let Ok(mut agent) = UnixStream::connect(socket) {
            let mut word = [0];
            if agent.read_exact(&mut word).is_ok() && word == [PASS] {
                return agent;
            }
        }
        thread::sleep(LOOK);
    }
}

/// Writes a file that is not there yet, as a whole or not at all.
fn note(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    File::create(&unfinished)?.write_all(text.as_bytes())?;
    std::fs::rename(unfinished, path)
}
