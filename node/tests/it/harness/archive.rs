//! Reading `artifacts.tar.zst`.

use std::io::Read;

/// The files of a packed folder: names, modes and content. A folder has no content.
pub(crate) fn unpack(archive: &[u8]) -> Vec<(String, u32, Option<Vec<u8>>)> {
    let tar = zstd::decode_all(archive).unwrap();
    let mut files = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mode = entry.header().mode().unwrap();
        let content = entry.header().entry_type().is_file().then(|| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            content
        });
        files.push((name.trim_end_matches('/').to_owned(), mode, content));
    }
    files.sort();
    files
}
