//! Object stores of a test's own: Azurite, and a server of S3.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::runtime;

use crate::{Daemon, wait_for};

/// The container and the bucket that there are.
pub const RESULTS: &str = "results";

/// How long a store may take to start. The first of all tests installs Azurite.
const LIMIT: Duration = Duration::from_secs(120);

/// Microsoft's emulator of Azure Blob Storage, with an empty container. It ends when this goes out of scope.
#[derive(Debug)]
pub struct Azurite {
    /// Before the folder, so that it has ended when the folder is removed.
    _daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Azurite {
    /// The account that every emulator has.
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// Its key, which is public.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// Starts one.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let command = installed();
        let (node, main) = command.trim().split_once(' ').unwrap();
        let mut start = Command::new(node);
        start.args([main, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort"]);
        start.arg(port.to_string()).arg("--location").arg(folder.path().join("data"));
        let mut daemon = Daemon::spawn("azurite", start, &folder.path().join("log"));
        wait_for("Azurite to listen", LIMIT, || {
            daemon.check();
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        create_container(port);
        Self { _daemon: daemon, port, _folder: folder }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection string, by a port that leads to it.
    pub fn connection_string(port: u16) -> String {
        let (account, key) = (Self::ACCOUNT, Self::KEY);
        format!(
            "DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint=http://127.0.0.1:{port}/{account}"
        )
    }
}

/// The command that starts Azurite, as `scripts/test` installs it.
fn installed() -> String {
    if let Some(command) = std::env::var_os("ALMANAC_TEST_AZURITE") {
        return command.into_string().unwrap();
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let install = "source scripts/lib/setup.sh; need_azurite; echo \"$ALMANAC_TEST_AZURITE\"";
    let output = Command::new("bash").current_dir(root).args(["-euc", install]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// As people make a container with the tools of Azure, signed with the account's key
/// (learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
fn create_container(port: u16) {
    let account = Azurite::ACCOUNT;
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let text = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}/{account}/{RESULTS}\nrestype:container",
        "\n".repeat(12)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(Azurite::KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "PUT /{account}/{RESULTS}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\
         x-ms-date: {date}\r\nx-ms-version: 2021-08-06\r\nAuthorization: SharedKey {account}:{signature}\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// A server of S3 that keeps objects in a folder and verifies signatures, with an empty bucket. It ends when this goes out of
/// scope.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    server: Option<runtime::Runtime>,
    folder: TempDir,
}

impl S3 {
    /// The id of the access key that it knows.
    pub const KEY_ID: &str = "ALMANACTESTKEYID0001";
    /// Its secret.
    pub const SECRET: &str = "almanac-test-secret-of-the-store-0123456";

    /// Starts one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start() -> Self {
        Self::start_in(None)
    }

    /// Starts one that keeps objects below a folder.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_in(place: Option<&Path>) -> Self {
        let folder = place.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        fs::create_dir(folder.path().join(RESULTS)).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(Self::KEY_ID, Self::SECRET));
        let service = service.build();
        // Its own runtime, so that it goes on whatever the test waits for.
        let server = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        server.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connections = auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is no matter of the server's.
                    let _ = connections.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, server: Some(server), folder }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the objects of the bucket lie.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(RESULTS)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}
