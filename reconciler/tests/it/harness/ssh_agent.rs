//! An `ssh-agent` of the test's own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tokio::net::UnixStream;

use super::{Daemon, wait_for};

/// An agent. It ends when this goes out of scope, and its keys are gone with it.
pub(crate) struct SshAgent {
    _daemon: Daemon,
    socket: PathBuf,
}

impl SshAgent {
    /// Starts one that holds nothing, with its socket in a folder.
    pub(crate) async fn start(folder: &Path) -> Self {
        let socket = folder.join("agent.sock");
        let mut command = Command::new("ssh-agent");
        // In the foreground, so that it is a child that can be ended.
        command.args(["-D", "-a"]).arg(&socket);
        let daemon = Daemon::spawn(command, &folder.join("agent.log"));
        wait_for("ssh-agent to listen", async || {
            daemon.check();
            UnixStream::connect(&socket).await.ok()
        })
        .await;
        Self { _daemon: daemon, socket }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes it hold one private key and no other.
    pub(crate) fn hold(&self, key: &Path) {
        for arguments in [vec!["-q".as_ref(), "-D".as_ref()], vec!["-q".as_ref(), key.as_os_str()]] {
            let status = Command::new("ssh-add").args(arguments).env("SSH_AUTH_SOCK", &self.socket).status();
            assert!(status.unwrap().success());
        }
    }
}
