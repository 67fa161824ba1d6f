//! Small file systems, as disks of a test's own.

use std::{fs, path::PathBuf, process::Command};

/// A small file system, gone with the value.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one of a size, such as `8m`, at a folder.
    pub(crate) fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=700");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status().unwrap();
        assert!(status.success(), "mounting takes root");
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
