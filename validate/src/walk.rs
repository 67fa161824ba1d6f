//! A folder of the working tree as sources: the only part of the library that reads files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use almanac_schemas::manifest::MAX_FILE;
use rayon::prelude::*;
use thiserror::Error;

use crate::{Entry, IGNORE_FILE, Selection, Source};

/// Why a folder could not be read.
#[derive(Debug, Error)]
pub enum WalkError {
    /// The path leads nowhere, or must not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The path is something else.
    #[error("`{}` is not a folder: name the folder that holds all manifests, as they are checked against each other", .0.display())]
    NotAFolder(PathBuf),
    /// The list of what is passed over is not text.
    #[error("`{}` is not UTF-8", .0.display())]
    IgnoreNotUtf8(PathBuf),
}

/// Reads all manifests below a folder, in the order of their paths. Symbolic links and submodules
/// are not followed: they are sources that consist of a finding.
///
/// # Errors
///
/// When something that counts cannot be read; what does not count is not touched.
pub fn walk(root: &Path) -> Result<Vec<Arc<Source>>, WalkError> {
    let metadata = fs::metadata(root).map_err(|cause| unreadable(root, cause))?;
    if !metadata.is_dir() {
        return Err(WalkError::NotAFolder(root.to_owned()));
    }
    let mut walk = Walk { selection: Selection::new(None), sources: Vec::new(), files: Vec::new() };
    if fs::symlink_metadata(root.join(IGNORE_FILE)).is_ok_and(|metadata| metadata.is_symlink()) {
        walk.add(IGNORE_FILE, Entry::Symlink);
    } else {
        walk.selection = selection(root)?;
    }
    // Folders that wait, so that a deep tree needs no deep stack.
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        walk.folder(&folder, &prefix, &mut folders)?;
    }
    // Reading and parsing is by far the most work.
    let files: Result<Vec<_>, _> =
        walk.files.par_iter().map(|(path, relative)| file(path, relative)).collect();
    walk.sources.extend(files?);
    walk.sources.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(walk.sources)
}

/// Bytes that few files have more of.
const USUAL_FILE: usize = 8 << 10;

fn file(path: &Path, relative: &str) -> Result<Arc<Source>, WalkError> {
    let read = || -> io::Result<Source> {
        let file = File::open(path)?;
        // To ask each file for its size takes as long as to read most of them.
        let mut bytes = Vec::with_capacity(USUAL_FILE);
        (&file).take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_FILE {
            return Ok(Source::read(relative, Entry::TooLarge(file.metadata()?.len())));
        }
        Ok(Source::read(relative, Entry::File(&bytes)))
    };
    read().map(Arc::new).map_err(|cause| unreadable(path, cause))
}

fn selection(root: &Path) -> Result<Selection, WalkError> {
    let path = root.join(IGNORE_FILE);
    match fs::read(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Selection::new(Some(&text))),
            Err(_) => Err(WalkError::IgnoreNotUtf8(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Selection::new(None)),
        Err(cause) => Err(unreadable(&path, cause)),
    }
}

struct Walk {
    selection: Selection,
    sources: Vec<Arc<Source>>,
    /// The manifests, as they are opened and as they are called.
    files: Vec<(PathBuf, String)>,
}

impl Walk {
    fn folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        folders: &mut Vec<(PathBuf, String)>,
    ) -> Result<(), WalkError> {
        for entry in fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))? {
            let entry = entry.map_err(|cause| unreadable(folder, cause))?;
            let path = entry.path();
            let name = entry.file_name();
            let utf8 = name.to_str().is_some();
            let relative = format!("{prefix}{}", name.to_string_lossy());
            // Of a link, this is the type of the link itself.
            let kind = entry.file_type().map_err(|cause| unreadable(&path, cause))?;
            if !self.selection.covers(&relative, kind.is_dir()) {
                continue;
            }
            if kind.is_symlink() {
                self.add(&relative, Entry::Symlink);
            } else if kind.is_dir() && is_submodule(&path) {
                self.add(&relative, Entry::Submodule);
            } else if !utf8 && (kind.is_dir() || self.selection.includes(&relative)) {
                self.add(&relative, Entry::NotUtf8Name);
            } else if kind.is_dir() {
                folders.push((path, format!("{relative}/")));
            } else if kind.is_file() && self.selection.includes(&relative) {
                self.files.push((path, relative));
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, entry: Entry<'_>) {
        self.sources.push(Arc::new(Source::read(path, entry)));
    }
}

/// A checked-out submodule has a file `.git` that says where its repository is.
fn is_submodule(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(".git")).is_ok_and(|metadata| metadata.is_file())
}

fn unreadable(path: &Path, cause: io::Error) -> WalkError {
    WalkError::Unreadable { path: path.to_owned(), cause }
}
