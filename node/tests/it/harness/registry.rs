//! A private registry: Debian's `docker-registry` on a port of the loopback, which one user may sign in to.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{docker, engine, pause, wait_for};

pub(crate) const USER: &str = "probe";
pub(crate) const PASSWORD: &str = "hunter2-of-the-registry";
/// The two as `htpasswd -nbB -C 5` writes them, and as `docker login` does.
const HTPASSWD: &str = "probe:$2y$05$SedXEwBpjEdVGebSNQ1Q.OmVXU4VMMdIW1HckL48A3l0ppiVJ2w6e\n";
const BASIC: &str = "cHJvYmU6aHVudGVyMi1vZi10aGUtcmVnaXN0cnk=";

/// A registry that runs while a test does.
pub(crate) struct Registry {
    process: Child,
    port: u16,
    folder: TempDir,
    images: Vec<String>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("almanac-registry-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("htpasswd"), HTPASSWD).unwrap();
        // A port that was free a moment ago.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{ accesslog: {{ disabled: false }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: '127.0.0.1:{port}' }}\nauth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
            path("data").display(),
            path("htpasswd").display()
        );
        fs::write(path("config.yml"), config).unwrap();
        let log = File::create(path("log")).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve", path("config.yml").to_str().unwrap()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("install docker-registry");
        let mut registry = Self { process, port, folder, images: Vec::new() };
        wait_for("the registry", || {
            assert!(registry.process.try_wait().unwrap().is_none(), "{}", registry.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        registry
    }

    /// What `docker login` would have written.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let folder = self.folder.path().join("docker");
        fs::create_dir_all(&folder).unwrap();
        let auths = format!(r#"{{"auths":{{"127.0.0.1:{}":{{"auth":"{BASIC}"}}}}}}"#, self.port);
        fs::write(folder.join("config.json"), auths).unwrap();
        folder.join("config.json")
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts an image of so many bytes there that nobody else has, and answers its digest.
    pub(crate) fn push(&mut self, name: &str, size: usize) -> String {
        let config = self.docker_config();
        let image = format!("{}/{name}", self.host());
        engine::import(&image, size);
        let config = config.parent().unwrap().to_str().unwrap();
        docker(&["--config", config, "push", &image]);
        let digests = docker(&["inspect", "--format", "{{index .RepoDigests 0}}", &image]);
        docker(&["rmi", &image]);
        self.images.push(image);
        digests.trim().split_once('@').unwrap().1.to_owned()
    }

    /// An image that the engine got is removed with the registry.
    pub(crate) fn forget_later(&mut self, image: &str) {
        self.images.push(image.to_owned());
    }

    /// Every request so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A way to the registry that carries so many bytes in a second for each connection, and none beyond a number of
    /// them in all. It is there as long as the test runs.
    pub(crate) fn slow_way(&self, per_second: u64, most: u64) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (own, target) = (listener.local_addr().unwrap().port(), self.port);
        let carried = Arc::new(AtomicU64::new(0));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || carry(up, server, |_| true));
                let carried = Arc::clone(&carried);
                thread::spawn(move || {
                    carry(down, client, |bytes| {
                        pause(Duration::from_millis(bytes * 1000 / per_second));
                        carried.fetch_add(bytes, Ordering::Relaxed) + bytes <= most
                    });
                });
            }
        });
        own
    }
}

/// Carries bytes as long as it may; then the connection stays as it is, and nothing comes any more.
fn carry(mut from: TcpStream, mut to: TcpStream, may_go_on: impl Fn(u64) -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !may_go_on(read as u64) {
            // Until the other end gives up.
            let _ = to.read(&mut buffer);
            return;
        }
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for image in &self.images {
            // It may not have been pulled.
            let _ = Command::new("docker").args(["rmi", "--force", image]).output();
        }
    }
}
