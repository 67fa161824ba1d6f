//! A principal's private key, read from an OpenSSH file.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, TimeDelta, Utc};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
    rand_core::OsRng,
};
use thiserror::Error;

use almanac_schemas::{PrincipalName, PublicKey};

use crate::token;

/// Who calls: a principal, its private key, and the reconciler that it speaks to. Clones share the
/// token that is in use.
#[derive(Clone)]
pub struct Identity {
    principal: PrincipalName,
    audience: Arc<str>,
    pair: Arc<Ed25519Keypair>,
    public: PublicKey,
    current: Arc<Mutex<Option<Current>>>,
}

struct Current {
    token: String,
    until: DateTime<Utc>,
}

/// A token is replaced when less than this is left of it.
const RENEW_BEFORE: TimeDelta = TimeDelta::minutes(1);

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read the key file {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The file cannot be written.
    #[error("cannot write the key file {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// The file is not an OpenSSH private key.
    #[error("{} is not an OpenSSH private key (`-----BEGIN OPENSSH PRIVATE KEY-----`)", .0.display())]
    Form(PathBuf, #[source] ssh_key::Error),
    /// The file is the public half of a key.
    #[error("{} is a public key; name the private one, without `.pub`", .0.display())]
    Public(PathBuf),
    /// The key is protected by a passphrase.
    #[error(
        "{} is protected by a passphrase, which is not supported; make a key for Almanac with `ssh-keygen -t ed25519 -N ''`",
        .0.display()
    )]
    Encrypted(PathBuf),
    /// The key is of another algorithm.
    #[error("{} is a key of type `{algorithm}`; only ssh-ed25519 is accepted (`ssh-keygen -t ed25519`)", path.display())]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// The algorithm that was found.
        algorithm: String,
    },
    /// Others may read the file.
    #[error("{} can be read by others (mode {mode:o}); run `chmod 600 {}`", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate(#[source] ssh_key::Error),
}

impl Identity {
    /// Reads the private key of a principal.
    ///
    /// # Errors
    ///
    /// When the file is not an unencrypted Ed25519 key that its owner alone can read.
    pub fn read(path: &Path, principal: PrincipalName, audience: &str) -> Result<Self, IdentityError> {
        let text = fs::read_to_string(path).map_err(|error| IdentityError::Read(path.to_owned(), error))?;
        if text.starts_with("ssh-") {
            return Err(IdentityError::Public(path.to_owned()));
        }
        check_mode(path)?;
        let key =
            PrivateKey::from_openssh(&text).map_err(|error| IdentityError::Form(path.to_owned(), error))?;
        if key.is_encrypted() {
            return Err(IdentityError::Encrypted(path.to_owned()));
        }
        let algorithm =
            || IdentityError::Algorithm { path: path.to_owned(), algorithm: key.algorithm().to_string() };
        let KeypairData::Ed25519(pair) = key.key_data() else { return Err(algorithm()) };
        let public = PublicKey::from_ssh(key.public_key().clone()).map_err(|_| algorithm())?;
        Ok(Self {
            principal,
            audience: audience.into(),
            pair: Arc::new(pair.clone()),
            public,
            current: Arc::default(),
        })
    }

    /// Who calls.
    pub fn principal(&self) -> &PrincipalName {
        &self.principal
    }

    /// The public half of the key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// A token that is valid for at least a minute from `now` on.
    ///
    /// # Errors
    ///
    /// See [`token::mint`].
    pub fn token(&self, now: DateTime<Utc>) -> Result<String, jsonwebtoken::errors::Error> {
        let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A clock that was set back makes the token one from the future.
        let fresh = |current: &&Current| {
            now + RENEW_BEFORE < current.until && current.until - now <= token::MAX_LIFETIME
        };
        if let Some(current) = current.as_ref().filter(fresh) {
            return Ok(current.token.clone());
        }
        let fingerprint = self.public.fingerprint();
        let token = token::mint(&self.pair, &fingerprint, &self.principal, &self.audience, now)?;
        *current = Some(Current { token: token.clone(), until: now + token::MAX_LIFETIME });
        Ok(token)
    }
}

impl fmt::Debug for Identity {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("principal", &self.principal)
            .field("key", &self.public.fingerprint())
            .finish_non_exhaustive()
    }
}

/// Makes a key and writes it to a file that its owner alone can read, and its public half beside it
/// with `.pub`. An existing file is never overwritten.
///
/// # Errors
///
/// When a file exists already or cannot be written.
pub fn generate(path: &Path, comment: &str) -> Result<PublicKey, IdentityError> {
    let mut key =
        PrivateKey::random(&mut OsRng, ssh_key::Algorithm::Ed25519).map_err(IdentityError::Generate)?;
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF).map_err(IdentityError::Generate)?;
    let public = key.public_key().to_openssh().map_err(IdentityError::Generate)?;
    let public_path = public_path(path);
    write_new(&public_path, 0o644, format!("{public}\n").as_bytes())?;
    if let Err(error) = write_new(path, 0o600, text.as_bytes()) {
        // Nothing half done: without its private half the public file only misleads.
        let _ = fs::remove_file(&public_path);
        return Err(error);
    }
    PublicKey::from_ssh(key.public_key().clone()).map_err(|_| IdentityError::Algorithm {
        path: path.to_owned(),
        algorithm: key.algorithm().to_string(),
    })
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<(), IdentityError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| IdentityError::Write(path.to_owned(), error))
}

fn check_mode(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|error| IdentityError::Read(path.to_owned(), error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Permissions { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_generated_key_is_read_back_and_signs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = generate(&path, "london-01").unwrap();
        let identity = Identity::read(&path, "london-01".parse().unwrap(), "almanac").unwrap();
        assert_eq!(*identity.public_key(), public);
        let line = fs::read_to_string(folder.path().join("key.pub")).unwrap();
        assert_eq!(line.parse::<PublicKey>().unwrap(), public);

        let first = identity.token(now()).unwrap();
        assert_eq!(token::verify(&first, &public, "almanac", now()).unwrap().as_str(), "london-01");
        assert_eq!(identity.token(now() + TimeDelta::minutes(3)).unwrap(), first);
        assert_ne!(identity.token(now() + TimeDelta::minutes(4)).unwrap(), first);
        assert_ne!(identity.token(now() - TimeDelta::minutes(9)).unwrap(), first);
        assert!(!format!("{identity:?}").contains("private"));
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(generate(&path, ""), Err(IdentityError::Write(..))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(!folder.path().join("key.pub").exists());
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |path: &Path| Identity::read(path, "a".parse().unwrap(), "almanac").unwrap_err();
        assert!(matches!(read(&path), IdentityError::Read(..)));
        generate(&path, "").unwrap();
        assert!(matches!(read(&folder.path().join("key.pub")), IdentityError::Public(_)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), IdentityError::Permissions { mode: 0o644, .. }));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(read(&path), IdentityError::Form(..)));
    }
}
