//! Where this reconciler keeps files of its own.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::store::Engine;

/// The files of a reconciler: what is being uploaded, artifacts where no store is named, and the copy of
/// a remote repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// What names begin with: a folder, or the database's file and a dot.
    start: PathBuf,
    folder: bool,
}

/// Why there is no place for files.
#[derive(Debug, Error)]
pub enum DataError {
    /// PostgreSQL has no folder on this machine.
    #[error("with PostgreSQL, `--data-dir DIR` says where this reconciler keeps its files; give it")]
    Missing,
    /// The folder cannot be made.
    #[error("cannot make the folder {}", .0.display())]
    Make(PathBuf, #[source] io::Error),
}

impl Data {
    /// The place that was given, which is made if it is not there; else beside the file of SQLite.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn of(engine: &Engine, given: Option<&Path>) -> Result<Self, DataError> {
        let path = given.or(engine.path()).ok_or(DataError::Missing)?;
        let start = std::path::absolute(path).map_err(|error| DataError::Make(path.to_owned(), error))?;
        if given.is_some() {
            std::fs::create_dir_all(&start).map_err(|error| DataError::Make(start.clone(), error))?;
        }
        Ok(Self { start, folder: given.is_some() })
    }

    /// Where files lie while they are uploaded.
    pub fn uploads(&self) -> PathBuf {
        self.named("uploads")
    }

    /// Where artifacts lie when the testbed names no store.
    pub fn artifacts(&self) -> PathBuf {
        self.named("artifacts")
    }

    /// The copy of a remote repository.
    pub fn mirror(&self) -> PathBuf {
        self.named("mirror.git")
    }

    fn named(&self, name: &str) -> PathBuf {
        if self.folder {
            return self.start.join(name);
        }
        let mut file = self.start.file_name().unwrap_or(OsStr::new("almanac")).to_owned();
        file.push(".");
        file.push(name);
        self.start.with_file_name(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_beside_the_database_or_in_the_folder_that_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite: Engine = format!("sqlite://{}/a.db", folder.path().display()).parse().unwrap();
        let postgres: Engine = "postgres://localhost/almanac".parse().unwrap();
        assert_eq!(Data::of(&sqlite, None).unwrap().mirror(), folder.path().join("a.db.mirror.git"));
        let given = folder.path().join("data");
        for engine in [&sqlite, &postgres] {
            assert_eq!(Data::of(engine, Some(&given)).unwrap().uploads(), given.join("uploads"));
        }
        assert!(matches!(Data::of(&postgres, None), Err(DataError::Missing)));
    }
}
