//! The container engine and the image that tests run.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Once,
};

use almanac_schemas::NodeName;

/// An image that holds a busybox and nothing else. No registry is needed.
pub(crate) const IMAGE: &str = "almanac-node-test/busybox:1";

/// A container engine, as far as it concerns one node.
#[derive(Debug)]
pub(crate) struct Engine {
    label: String,
}

impl Engine {
    /// Makes the image, once. It takes Debian's `docker.io` and `busybox-static`.
    pub(crate) fn prepare(node: &NodeName) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(import_image);
        Self { label: format!("almanac.node={node}") }
    }

    /// The names of the node's containers, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.label);
        let names = docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &filter]);
        names.lines().map(str::to_owned).collect()
    }

    /// Removes the node's containers.
    pub(crate) fn remove_all(&self) {
        for name in self.containers() {
            docker(&["rm", "--force", "--volumes", &name]);
        }
    }
}

/// Runs the engine's own command line, and returns what it prints.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("install docker.io");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn import_image() {
    import(IMAGE, 0);
}

/// Makes an image, with so many bytes in it that no other one has.
pub(super) fn import(image: &str, size: usize) {
    import_to("unix:///var/run/docker.sock", image, size);
}

/// Makes an image at an engine.
pub(super) fn import_to(host: &str, image: &str, size: usize) {
    let folder = tempfile::tempdir().unwrap();
    let noise = std::fs::File::open("/dev/urandom").unwrap();
    let mut file = std::fs::File::create(folder.path().join("noise")).unwrap();
    std::io::copy(&mut std::io::Read::take(noise, size as u64), &mut file).unwrap();
    let bin = folder.path().join("bin");
    for part in ["bin", "tmp", "etc", "proc", "sys", "dev"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    std::fs::copy(busybox.expect("install busybox-static"), bin.join("busybox")).unwrap();
    for applet in ["sh", "cat", "dd", "echo", "env", "head", "ip", "ls", "seq", "sleep", "tail", "touch"] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
    }
    let mut tar = Command::new("tar")
        .args(["-C", folder.path().to_str().unwrap(), "-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = Command::new("docker")
        .args(["--host", host, "import", "-", image])
        .stdin(tar.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .expect("install docker.io");
    assert!(status.success() && tar.wait().unwrap().success(), "no image can be made: does an engine run?");
}
