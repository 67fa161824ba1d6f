//! What the reconciler holds, and what becomes of calls.

use std::collections::VecDeque;

use tonic::Status;

use almanac_proto::v1;

use super::{COMPLETED, at};

/// What the reconciler holds, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The files of the completed run. What is announced of a file can differ from what is sent.
    pub(crate) files: Vec<File>,
    /// How many bytes of the following downloads are sent before the connection breaks.
    pub(crate) breaks: VecDeque<usize>,
    /// The questions that matter to tests, in order.
    pub(crate) asked: Vec<String>,
    /// What every call is answered instead.
    pub(crate) refusal: Option<Status>,
    /// Lists are empty.
    pub(crate) empty: bool,
    /// Pages hold no more than this, however much is asked for.
    pub(crate) most: Option<usize>,
    /// What comes of a look at the repository.
    pub(crate) outcome: v1::SyncOutcome,
    /// Where the store is that serves files itself, and which of its addresses were given away.
    pub(crate) store: Option<String>,
    pub(crate) grants: usize,
    /// After how many of them the retention of the files is over.
    pub(crate) expires_after: Option<usize>,
    /// How many of the following calls for many files are refused, as there are too many.
    pub(crate) too_many: usize,
}

/// A stored file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) announced: v1::Artifact,
    pub(crate) content: Vec<u8>,
}

impl File {
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        let announced = v1::Artifact {
            run_id: COMPLETED.to_owned(),
            role: v1::Role::Client.into(),
            name: name.to_owned(),
            size: content.len() as u64,
            sha256: Sha256::digest(content).to_vec().into(),
            path: format!("london-01/ping-london/2027/01/10/{COMPLETED}/{name}"),
            stored_at: at("2027-01-10T11:46:02Z"),
            expires_at: at("2027-04-10T11:46:02Z"),
            ..v1::Artifact::default()
        };
        Self { announced, content: content.to_vec() }
    }
}
