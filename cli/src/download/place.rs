//! Where a file goes: below the folder of the download and nowhere else, whatever the reconciler calls it and whatever
//! lies there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use almanac_schemas::{RunId, RunRole};

use super::hash::Hashed;
use crate::{
    fetch::FetchError,
    view::{Artifact, State},
};

/// What the name of a file that is not whole yet ends in.
const PART: &str = "part";

/// Links are not followed, and a pipe is not waited for.
const CAREFUL: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

/// The path of a file of a run from the folder of a download, with `/`.
pub fn relative(run: RunId, role: RunRole, name: &str) -> String {
    match role {
        RunRole::Client => format!("{run}/{name}"),
        RunRole::Server => format!("{run}/server/{name}"),
    }
}

/// Where a file of a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folders to make, from the outer one to the inner one, below that of the download.
    folders: Vec<PathBuf>,
    path: PathBuf,
}

impl Place {
    /// A place below the folder of a download.
    ///
    /// # Errors
    ///
    /// When the name is not a plain one, or could be that of a part of another file.
    pub fn new(to: &Path, run: RunId, role: RunRole, name: &str) -> Result<Self, FetchError> {
        let path = Path::new(name);
        let plain = path.file_name() == Some(name.as_ref()) && !name.contains(['\0', '\\']);
        if !plain || path.extension().is_some_and(|extension| extension == PART) {
            return Err(FetchError::Name(name.to_owned()));
        }
        let mut folders = vec![to.to_owned(), to.join(run.to_string())];
        if role == RunRole::Server {
            folders.push(folders[1].join("server"));
        }
        let path = folders[folders.len() - 1].join(name);
        Ok(Self { folders, path })
    }

    /// Where the whole file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where what has arrived of it is kept until then.
    pub fn part(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(PART);
        self.path.with_file_name(name)
    }

    /// Whether the file is there, and whole. A link to one is not the file.
    ///
    /// # Errors
    ///
    /// When what is there cannot be read.
    pub fn holds(&self, artifact: &Artifact) -> Result<bool, FetchError> {
        let Some(mut file) = look(&self.path)? else { return Ok(false) };
        let read = |error| FetchError::Read(self.path.clone(), error);
        if file.metadata().map_err(read)?.len() != artifact.size {
            return Ok(false);
        }
        Ok(Hashed::read(&mut file).map_err(read)?.check(artifact).is_ok())
    }

    /// Makes the folders.
    ///
    /// # Errors
    ///
    /// When they cannot be made, or one is a link, which may lead anywhere.
    pub fn prepare(&self) -> Result<(), FetchError> {
        let write = |path: &Path, error| FetchError::Write(path.to_owned(), error);
        let (to, below) =
            self.folders.split_first().map_or((Path::new("."), &[][..]), |(to, below)| (to.as_path(), below));
        fs::create_dir_all(to).map_err(|error| write(to, error))?;
        for folder in below {
            match fs::create_dir(folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let metadata = fs::symlink_metadata(folder).map_err(|error| write(folder, error))?;
                    if !metadata.is_dir() {
                        return Err(FetchError::NoFolder(folder.clone()));
                    }
                }
                Err(error) => return Err(write(folder, error)),
            }
        }
        Ok(())
    }

    /// Puts a whole file there.
    ///
    /// # Errors
    ///
    /// When it is not what was stored, or cannot be written. Then nothing of it is left.
    pub fn put(&self, artifact: &Artifact, content: &[u8]) -> Result<State, FetchError> {
        let mut hashed = Hashed::default();
        hashed.add(content);
        hashed.check(artifact)?;
        self.prepare()?;
        let part = self.part();
        let mut file = self.begin()?;
        // Not synced, which would take longer than all the rest: after a power cut, the next download finds by its hash
        // what is not whole.
        if let Err(error) = file.write_all(content) {
            // The error that matters is the first.
            let _ = fs::remove_file(&part);
            return Err(FetchError::Write(self.path.clone(), error));
        }
        drop(file);
        self.finish()?;
        Ok(State::Downloaded)
    }

    /// What has arrived of it before, where that is no more than the file has.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn begun(&self, artifact: &Artifact) -> Result<Option<Hashed>, FetchError> {
        let part = self.part();
        let Some(mut file) = look(&part)? else { return Ok(None) };
        let read = |error| FetchError::Read(part.clone(), error);
        let length = file.metadata().map_err(read)?.len();
        if length == 0 || length > artifact.size {
            return Ok(None);
        }
        Hashed::read(&mut file).map_err(read).map(Some)
    }

    /// Begins a file anew, in place of what has arrived of it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(&self) -> Result<File, FetchError> {
        let part = self.part();
        create(&part).map_err(|error| FetchError::Write(part, error))
    }

    /// Goes on with what has arrived.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn go_on(&self) -> Result<File, FetchError> {
        let part = self.part();
        let opened = OpenOptions::new().append(true).custom_flags(flags()).open(&part);
        opened.map_err(|error| FetchError::Write(part, error))
    }

    /// Gives a whole file its name.
    ///
    /// # Errors
    ///
    /// When it cannot have it.
    pub fn finish(&self) -> Result<(), FetchError> {
        fs::rename(self.part(), &self.path).map_err(|error| FetchError::Write(self.path.clone(), error))
    }
}

/// Makes a file, or empties the one that is there. A link, or something else that is no file, makes room for it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(flags()).open(path)
    };
    match open() {
        Err(_) if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) => {
            fs::remove_file(path).and_then(|()| open())
        }
        opened => opened,
    }
}

/// Opens a file to read, if there is one; neither what a link leads to nor what is no file counts.
fn look(path: &Path) -> Result<Option<File>, FetchError> {
    let opened = OpenOptions::new().read(true).custom_flags(flags()).open(path);
    let read = |error| FetchError::Read(path.to_owned(), error);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            let no_file = fs::symlink_metadata(path).is_ok_and(|there| !there.is_file());
            return if no_file { Ok(None) } else { Err(read(error)) };
        }
    };
    Ok(file.metadata().map_err(read)?.is_file().then_some(file))
}

fn flags() -> i32 {
    CAREFUL.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_or_are_those_of_parts_are_refused() {
        let run = "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".parse().unwrap();
        let place = |name| Place::new(Path::new("to"), run, RunRole::Server, name);
        let good = place("run.log").unwrap();
        assert_eq!(good.path(), Path::new("to").join(relative(run, RunRole::Server, "run.log")));
        assert!(good.part().ends_with("server/run.log.part"));
        for bad in ["", ".", "..", "a/b", "/a", "../a", "a/", "run.log.part", "a\\b", "a\0b"] {
            assert!(matches!(place(bad), Err(FetchError::Name(_))), "{bad:?}");
        }
    }
}
