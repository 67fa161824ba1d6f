//! A small disk, to fill it up.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory that is unmounted when it goes out of scope.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts an empty disk of so many KiB.
    pub(crate) fn tmpfs(path: &Path, kib: u32) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success(), "cannot mount a tmpfs: this test needs root");
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
