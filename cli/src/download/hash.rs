//! How much of a file there is, and the state of its checksum.

use std::{
    fmt::Write as _,
    io::{self, Read},
};

use sha2::{Digest, Sha256};

use almanac_proto::limits;

use crate::{fetch::FetchError, view::Artifact};

/// What there is of a file.
#[derive(Debug, Clone, Default)]
pub struct Hashed {
    /// Bytes.
    pub size: u64,
    hash: Sha256,
}

impl Hashed {
    /// Reads all of something.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut hashed = Self::default();
        let mut buffer = vec![0; limits::MAX_CHUNK / 4];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(hashed),
                length => hashed.add(&buffer[..length]),
            }
        }
    }

    /// Goes on.
    pub fn add(&mut self, data: &[u8]) {
        self.size += data.len() as u64;
        self.hash.update(data);
    }

    /// Whether this is the file that was stored.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn check(self, artifact: &Artifact) -> Result<(), FetchError> {
        let Artifact { name, size, sha256, .. } = artifact;
        if self.size != *size {
            return Err(FetchError::Size { name: name.clone(), found: self.size, expected: *size });
        }
        let mut found = String::with_capacity(64);
        for byte in self.hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(found, "{byte:02x}");
        }
        if found != *sha256 {
            return Err(FetchError::Checksum { name: name.clone(), found, expected: sha256.clone() });
        }
        Ok(())
    }
}
