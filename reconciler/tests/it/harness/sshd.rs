//! An SSH server of the test's own. Needs root, since `sshd` does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::net::TcpStream;

use super::{
    Daemon,
    tool::{free_port, tool},
    wait_for,
};

/// A server that lets in who has the client's key, with a host key of its own.
pub(crate) struct Sshd {
    daemon: Daemon,
    folder: PathBuf,
    port: u16,
}

impl Sshd {
    /// Makes keys below a folder, and listens.
    pub(crate) async fn start(folder: &Path) -> Self {
        let folder = folder.join("sshd");
        fs::create_dir(&folder).unwrap();
        // Where the server goes before it knows who is there.
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "client", "stranger"] {
            tool(&folder, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", key]);
        }
        fs::copy(folder.join("client.pub"), folder.join("authorized_keys")).unwrap();
        let port = free_port();
        let sshd = Self { daemon: Self::listen(&folder, "host", port), folder, port };
        sshd.write_known_hosts("host");
        sshd.wait().await;
        sshd
    }

    fn listen(folder: &Path, host_key: &str, port: u16) -> Daemon {
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/{host_key}\nAuthorizedKeysFile {0}/authorized_keys\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n\
             PermitRootLogin prohibit-password\n",
            folder.display()
        );
        fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(folder.join("config"));
        Daemon::spawn(command, &folder.join("log"))
    }

    async fn wait(&self) {
        wait_for("sshd to listen", async || {
            self.daemon.check();
            TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        })
        .await;
    }

    /// The same server with another host key, as after a reinstallation, or as an impostor has.
    pub(crate) async fn change_host_key(&mut self) {
        tool(&self.folder, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "other"]);
        self.port = free_port();
        // What was known of the address before is the former key.
        self.write_known_hosts("host");
        self.daemon = Self::listen(&self.folder, "other", self.port);
        self.wait().await;
    }

    fn write_known_hosts(&self, key: &str) {
        let public = fs::read_to_string(self.folder.join(format!("{key}.pub"))).unwrap();
        fs::write(self.known_hosts(), format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
    }

    /// The same server by another port.
    pub(crate) fn through(mut self, port: u16) -> Self {
        self.port = port;
        self.write_known_hosts("host");
        self
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of a repository on this machine.
    pub(crate) fn address(&self, repository: &Path) -> String {
        format!("ssh://root@127.0.0.1:{}{}", self.port, repository.display())
    }

    /// The file with the server's key.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A private key: `client` is let in, `stranger` is not.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
