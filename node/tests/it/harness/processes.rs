//! What runs on the host on behalf of a state folder.

use std::{fs, path::Path, process::Command};

/// The processes, other than agents, that have a folder in their arguments or environment.
pub(super) fn of(folder: &Path) -> Vec<u32> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let mentions = |path: &Path| {
        fs::read(path).is_ok_and(|text| text.windows(needle.len()).any(|window| window == needle))
    };
    // What an agent starts of its own program, such as a log's pump, belongs to a run.
    let agent = concat!(env!("CARGO_BIN_EXE_almanac-node"), "\0run\0");
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            let is_agent =
                fs::read(path.join("cmdline")).is_ok_and(|line| line.starts_with(agent.as_bytes()));
            (!is_agent && (mentions(&path.join("environ")) || mentions(&path.join("cmdline")))).then_some(id)
        })
        .collect()
}

/// Ends them.
pub(super) fn kill(folder: &Path) {
    for id in of(folder) {
        let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
    }
}
