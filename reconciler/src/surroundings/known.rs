//! What was fetched, in memory for the streams of nodes, and read again whenever the one that fetches says so.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, watch};

use super::{FetchRow, Source};
use crate::store::{Store, StoreError};

/// To how many nodes orbits are on their way at once. Each takes half a megabyte until its link has taken it: a
/// thousand at once would take half a gigabyte.
const ORBITS_AT_ONCE: usize = 16;

/// What was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// How fetching each source stands.
    pub rows: BTreeMap<Source, FetchRow>,
    /// What was fetched from each, as nodes get it. All streams share the bytes.
    pub contents: BTreeMap<Source, Content>,
}

/// Something that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub bytes: Bytes,
}

/// What was fetched, here or by another reconciler. Clones share it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    known: watch::Sender<Arc<Known>>,
    pub(super) gate: Arc<Semaphore>,
}

impl Surroundings {
    /// Reads what the database has.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let known = watch::Sender::new(Arc::new(read(store, &Known::default()).await?));
        Ok(Self { known, gate: Arc::new(Semaphore::new(ORBITS_AT_ONCE)) })
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.borrow())
    }

    /// Tells when something else is known.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// Reads what the database has now. What was read before is not read again.
    ///
    /// # Errors
    ///
    /// When the database fails; then what was read before is what counts.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let before = self.known();
        self.put(read(store, &before).await?);
        Ok(())
    }

    /// Makes something known, and tells whoever it concerns.
    pub(super) fn put(&self, now: Known) {
        self.known.send_if_modified(|known| {
            let differs = **known != now;
            if differs {
                *known = Arc::new(now);
            }
            differs
        });
    }
}

async fn read(store: &Store, before: &Known) -> Result<Known, StoreError> {
    let mut known = Known::default();
    for row in store.fetches().await? {
        if let Some(at) = row.fetched_at {
            let same = before.contents.get(&row.source).filter(|content| content.at == at).cloned();
            let content = match same {
                Some(content) => Some(content),
                None => store.fetched(row.source).await?.map(|bytes| Content { at, bytes: bytes.into() }),
            };
            known.contents.extend(content.map(|content| (row.source, content)));
        }
        known.rows.insert(row.source, row);
    }
    Ok(known)
}
