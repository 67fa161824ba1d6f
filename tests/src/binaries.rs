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
    let status = Command::new(env!("CARGO"))
        .current_dir(workspace)
        .args(["build", "--quiet", "--workspace", "--bins"])
        .status()
        .unwrap();
    assert!(status.success(), "the workspace does not build");
    // .../target/debug/deps/it-0123 -> .../target/debug
    let this = std::env::current_exe().unwrap();
    this.parent().unwrap().parent().unwrap().to_owned()
}
