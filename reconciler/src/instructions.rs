//! What people said to nodes, beside what the repository declares: kept in memory for the streams of the nodes, and
//! read again whenever somebody says something, here or to another reconciler.

use std::{collections::BTreeMap, sync::Arc};

use almanac_proto::{convert::timestamp, v1};
use almanac_schemas::{Cordon, NodeName, Scavenging};
use almanac_validate::Moved;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    applied::Applied,
    causes::chain,
    hear::Ears,
    store::{CancellationRow, Store, StoreError},
};

/// What was said to one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What keeps new runs off it, expired or not.
    pub cordon: Option<Cordon>,
    /// Its owner wants its link, or did until it expired.
    pub scavenging: Option<Scavenging>,
    /// Its runs that are to end.
    pub cancellations: Vec<CancellationRow>,
    /// Its runs that take place at another time than declared, in the order in which they were moved.
    pub moved: Vec<Moved>,
}

/// What was said to each node.
pub type ToNodes = BTreeMap<NodeName, Said>;

/// What people said. Clones share it.
#[derive(Debug, Clone)]
pub struct Instructions(watch::Sender<Arc<ToNodes>>);

impl Said {
    /// As the protocol says it.
    pub fn message(&self) -> v1::Instructions {
        let cancellation = |row: &CancellationRow| v1::Cancellation {
            run_id: row.run.to_string(),
            actor: row.actor.clone(),
            reason: row.reason.clone(),
        };
        let moved = |moved: &Moved| v1::Move {
            job: moved.job.to_string(),
            at: Some(timestamp(moved.at)),
            to: Some(timestamp(moved.to)),
        };
        v1::Instructions {
            cordon: self.cordon.clone().map(v1::Cordon::from),
            cancellations: self.cancellations.iter().map(cancellation).collect(),
            scavenging: self.scavenging.clone().map(v1::Scavenging::from),
            moves: self.moved.iter().map(moved).collect(),
        }
    }
}

impl Instructions {
    /// Reads what the database has.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(watch::Sender::new(Arc::new(read(store).await?))))
    }

    /// What was said to a node.
    pub fn to(&self, node: &NodeName) -> Said {
        self.0.borrow().get(node).cloned().unwrap_or_default()
    }

    /// What keeps new runs off a node at an instant.
    pub fn cordon(&self, node: &NodeName, at: DateTime<Utc>) -> Option<Cordon> {
        self.0.borrow().get(node).and_then(|said| said.cordon.clone()).filter(|cordon| cordon.holds(at))
    }

    /// Who wants the link of a node at an instant.
    pub fn scavenging(&self, node: &NodeName, at: DateTime<Utc>) -> Option<Scavenging> {
        self.0.borrow().get(node).and_then(|said| said.scavenging.clone()).filter(|said| said.holds(at))
    }

    /// The runs that take place at another time than declared.
    pub fn moved(&self) -> Vec<Moved> {
        self.0.borrow().values().flat_map(|said| said.moved.iter().cloned()).collect()
    }

    /// Tells when something else is said to anybody.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ToNodes>> {
        self.0.subscribe()
    }

    /// Reads what the database has now, and tells whoever it concerns.
    ///
    /// # Errors
    ///
    /// When the database fails; then what was read before is what counts.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let now = Arc::new(read(store).await?);
        self.0.send_if_modified(|known| {
            let differs = *known != now;
            *known = now;
            differs
        });
        Ok(())
    }

    /// The task that reads it again when another reconciler was told something, and when something else is in force: what
    /// was said to a node goes with it. It ends when `stop` is cancelled.
    pub async fn run(
        self,
        store: Store,
        ears: Arc<Ears>,
        mut applied: watch::Receiver<Arc<Applied>>,
        stop: CancellationToken,
    ) {
        loop {
            // Cancel-safe: what was not taken is said once more.
            tokio::select! {
                () = stop.cancelled() => return,
                () = ears.instructions.notified() => {}
                changed = applied.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
            }
            if let Err(error) = store.unless_lost(self.refresh(&store)).await {
                tracing::warn!(
                    error = chain(&error),
                    "cannot read what was said to nodes; it is read when something is said again"
                );
            }
        }
    }
}

async fn read(store: &Store) -> Result<ToNodes, StoreError> {
    let mut nodes = ToNodes::new();
    for (node, cordon) in store.cordons().await? {
        nodes.entry(node).or_default().cordon = Some(cordon);
    }
    for (node, scavenging) in store.scavengings().await? {
        nodes.entry(node).or_default().scavenging = Some(scavenging);
    }
    for row in store.reservations().await? {
        nodes.entry(row.moved.node.clone()).or_default().moved.push(row.moved);
    }
    for row in store.cancellations().await? {
        let said = nodes.entry(row.node.clone()).or_default();
        said.cancellations.push(row);
    }
    Ok(nodes)
}
