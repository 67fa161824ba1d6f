//! TLS: the certificate and its key, read again when their files change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::causes::chain;

/// How often the files are looked at. Looking costs two system calls, and works on every file system
/// and for links that are exchanged, as container platforms do it.
const LOOK: Duration = Duration::from_secs(2);

/// The files of a certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file of `--tls-cert` has no certificate.
    #[error("`--tls-cert`: there is no certificate in PEM in {}", .0.display())]
    NoCertificate(PathBuf),
    /// The file of `--tls-key` has no private key.
    #[error("`--tls-key`: there is no private key in PEM in {}", .0.display())]
    NoKey(PathBuf),
    /// The two do not belong together, or are of a kind that is not known.
    #[error("cannot use the certificate of `--tls-cert` with the key of `--tls-key`")]
    Pair(#[source] rustls::Error),
}

/// Reads a certificate and its key.
///
/// # Errors
///
/// When they cannot be read, or do not belong together.
pub fn load(files: &TlsFiles) -> Result<CertifiedKey, CertificateError> {
    let read = |path: &Path| fs::read(path).map_err(|error| CertificateError::Read(path.to_owned(), error));
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&read(&files.certificate)?).filter_map(Result::ok).collect();
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|_| CertificateError::NoKey(files.key.clone()))?;
    CertifiedKey::from_der(certificates, key, &ring::default_provider()).map_err(CertificateError::Pair)
}

/// A certificate that is exchanged while it is served. Clones share it.
#[derive(Debug, Clone)]
pub struct Certificate {
    files: TlsFiles,
    /// The files when they were read, or a moment before: a change in between is noticed then.
    seen: FilesState,
    current: Arc<Current>,
}

/// What changes whenever one of the files does: inode, length, and the time of the last change.
type FilesState = [Option<(u64, u64, i64, i64)>; 2];

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads it for the first time.
    ///
    /// # Errors
    ///
    /// See [`load`].
    pub fn open(files: TlsFiles) -> Result<Self, CertificateError> {
        let seen = state(&files);
        let current = Arc::new(Current(RwLock::new(Arc::new(load(&files)?))));
        Ok(Self { files, seen, current })
    }

    /// What serves it: TLS 1.2 and newer, HTTP/2 before HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the cryptography has none of these versions, which does not happen.
    pub fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let resolver: Arc<Current> = Arc::clone(&self.current);
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }

    /// The task that reads the files again when they change. What cannot be used is said once, and
    /// what was served before still is. It ends when `stop` is cancelled.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Cancel-safe: a tick that was not taken comes again, a cancelled token stays cancelled.
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let state = state(&self.files);
            if state == self.seen {
                continue;
            }
            self.seen = state;
            match load(&self.files) {
                Ok(key) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                    tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is served");
                }
                Err(error) => tracing::error!(
                    error = chain(&error),
                    "the certificate changed and cannot be used; the one from before is still served"
                ),
            }
        }
    }
}

fn state(files: &TlsFiles) -> FilesState {
    [&files.certificate, &files.key].map(|path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    })
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
