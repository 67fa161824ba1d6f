//! Objects in files of their own, which a power cut may leave torn.

use std::{fs::File, io};

use flate2::read::ZlibDecoder;
use git2::{Error, ErrorClass, ErrorCode, Oid};

/// Fails when an object lies in a file of its own, and its end is missing.
///
/// libgit2 (1.9, `git_zstream_get_output`) waits for the rest of such a file for ever, so it is not asked to read
/// one. Objects in packs are not affected: Git verified those when it made the pack.
///
/// # Errors
///
/// When the object is torn, or its file cannot be read.
pub fn check_whole(repository: &git2::Repository, id: Oid) -> Result<(), Error> {
    let hex = id.to_string();
    let (folder, name) = hex.split_at(2);
    let path = repository.commondir().join("objects").join(folder).join(name);
    // What is not there lies in a pack, in another repository, or nowhere, which libgit2 finds out.
    let Ok(file) = File::open(&path) else { return Ok(()) };
    match io::copy(&mut ZlibDecoder::new(file), &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format!("the object {hex} is torn: {error}");
            Err(Error::new(ErrorCode::GenericError, ErrorClass::Odb, text))
        }
    }
}
