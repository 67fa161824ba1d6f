//! Giving what has arrived its place in a folder, without copying it.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Gives a file a second name below a folder, in place of whatever had that name, and sees to it that both are there
/// after a power cut. `false`, and nothing done, where that cannot be: on another file system, or one without links.
/// It blocks.
///
/// # Errors
///
/// When the disk fails or is full.
pub(super) fn adopt(folder: &Path, path: &str, file: &Path) -> io::Result<bool> {
    let place = folder.join(path);
    let parent = place.parent().unwrap_or(folder);
    File::open(file)?.sync_all()?;
    let link = || {
        fs::create_dir_all(parent)?;
        fs::hard_link(file, &place)
    };
    let mut linked = link();
    if linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // The last file of the folder was removed between the two, and the folder with it.
        linked = link();
    }
    if linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        // Nothing refers to it: it is of a commit that was cut off before it was recorded.
        fs::remove_file(&place)?;
        linked = fs::hard_link(file, &place);
    }
    match linked {
        Ok(()) => {}
        Err(error) if is_impossible(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    for above in parent.ancestors().take_while(|above| above.starts_with(folder)) {
        File::open(above)?.sync_all()?;
    }
    Ok(true)
}

/// Whether it is the file system that does not do that (link(2)).
fn is_impossible(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_not_copied_and_takes_the_place_of_what_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (store, file) = (folder.path().join("store"), folder.path().join("file"));
        fs::write(&file, "content").unwrap();
        fs::create_dir_all(store.join("a/b")).unwrap();
        fs::write(store.join("a/b/c"), "half").unwrap();
        for _ in 0..2 {
            assert!(adopt(&store, "a/b/c", &file).unwrap());
            let [adopted, before] =
                [&store.join("a/b/c"), &file].map(|path| fs::metadata(path).unwrap().ino());
            assert_eq!(adopted, before);
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read(store.join("a/b/c")).unwrap(), b"content");
    }

    #[test]
    fn another_disk_is_said() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let file = folder.path().join("file");
        fs::write(&file, "content").unwrap();
        assert!(!adopt(other.path(), "a/b", &file).unwrap());
        assert!(!other.path().join("a/b").exists());
    }
}
