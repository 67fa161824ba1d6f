//! Unpacking what a run packed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::fetch::FetchError;

/// The name of a run's packed artifacts.
pub const ARCHIVE: &str = "artifacts.tar.zst";

/// Unpacks an archive into a folder `artifacts` beside it, in place of an older one. Names that
/// lead out of the folder are passed over (`tar` does that).
///
/// # Errors
///
/// When it is not an archive, or there is no room. Then the folder is as it was before.
pub fn extract(archive: &Path) -> Result<PathBuf, FetchError> {
    let folder = archive.with_file_name("artifacts");
    let unpacking = archive.with_file_name("artifacts.part");
    let unpack = || {
        remove(&unpacking)?;
        fs::create_dir_all(&unpacking)?;
        let mut tar = tar::Archive::new(zstd::Decoder::new(File::open(archive)?)?);
        tar.unpack(&unpacking)?;
        remove(&folder)?;
        fs::rename(&unpacking, &folder)
    };
    unpack().map_err(|error| FetchError::Unpack(archive.to_owned(), error))?;
    Ok(folder)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
