//! The binaries under test, built once per test process.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The path of a binary of the workspace.
///
/// # Panics
///
/// When the workspace does not build.
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// Cargo builds the binaries of other packages for a test only by accident. Asking for them costs
/// nothing when they are there, and never tests yesterday's.
fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // .../target/debug/deps/it-0123 -> .../target/debug
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(workspace).args(["build", "--quiet", "--workspace", "--bins"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the workspace does not build");
    folder.to_owned()
}
