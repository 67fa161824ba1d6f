//! The container engine and the image that tests run.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Once,
};

/// An image that holds a busybox and nothing else. No registry is needed.
pub const IMAGE: &str = "almanac-test/busybox:1";

/// Makes the image.
///
/// # Panics
///
/// When no engine runs or no static busybox is installed (Debian's `busybox-static`).
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        for part in ["bin", "tmp", "etc", "almanac", "artifacts"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        std::fs::copy(busybox.expect("install busybox-static"), bin.join("busybox")).unwrap();
        for applet in [
            "sh",
            "cat",
            "dd",
            "echo",
            "env",
            "head",
            "seq",
            "sha256sum",
            "sleep",
            "ls",
            "id",
            "touch",
            "wget",
        ] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let mut tar = Command::new("tar")
            .args(["-C", folder.path().to_str().unwrap(), "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let status = Command::new("docker")
            .args(["import", "-", IMAGE])
            .stdin(tar.stdout.take().unwrap())
            .stdout(Stdio::null())
            .status()
            .expect("install docker.io");
        assert!(
            status.success() && tar.wait().unwrap().success(),
            "the image cannot be made: does an engine run?"
        );
    });
}

/// The names of the containers, running or not, that carry a label.
///
/// # Panics
///
/// When no engine runs.
pub fn containers(label: &str) -> Vec<String> {
    let output = Command::new("docker")
        .args(["ps", "--all", "--format", "{{.Names}}", "--filter", &format!("label={label}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
