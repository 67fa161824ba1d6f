//! The task that tells others.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Certificate, Client, StatusCode, redirect};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{About, Event, Request, Target, TargetKind, request};
use crate::{
    clock,
    follow::chain,
    lead::Leadership,
    secret::SecretError,
    store::{OutboxRow, Store, StoreError},
};

/// How often the outbox is looked at. What is told is for people.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many notices are looked at in one go.
const BATCH: u32 = 200;

/// How long a target may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The first wait after a failure, and the longest.
const WAIT: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::minutes(15));

/// How long a notice is worth telling. What is older is dropped, and the log says so: a target that was
/// forgotten must not fill the database.
const WORTH: TimeDelta = TimeDelta::days(7);

/// How much of an answer is kept for the log, in bytes.
const SAID: usize = 500;

/// The task. It ends when `stop` is cancelled; what was not told is told after the next start.
#[derive(Debug)]
pub struct Deliver {
    store: Store,
    targets: BTreeMap<String, (Target, Client)>,
    reconciler: Arc<str>,
    repository: Arc<str>,
    branch: Arc<str>,
    leadership: watch::Receiver<Leadership>,
    stop: CancellationToken,
}

/// Why a target cannot be told anything.
#[derive(Debug, Error)]
pub enum Gone {
    /// The certificates cannot be used.
    #[error("cannot use the certificates of `ca-file` for the target `{0}`")]
    Certificates(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no HTTP client.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a notice was not taken.
#[derive(Debug, Error)]
enum Untold {
    #[error("cannot read the secret")]
    Secret(#[from] SecretError),
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    #[error("the answer was {status}: {said}")]
    Status { status: StatusCode, said: String },
}

impl Deliver {
    /// Prepares the task.
    ///
    /// # Errors
    ///
    /// When certificates cannot be used.
    pub fn new(
        store: Store,
        targets: Vec<Target>,
        about: About<'_>,
        leadership: watch::Receiver<Leadership>,
        stop: CancellationToken,
    ) -> Result<Self, Gone> {
        let targets = targets.into_iter().map(|target| {
            let client = client(&target)?;
            Ok((target.name.clone(), (target, client)))
        });
        Ok(Self {
            store,
            targets: targets.collect::<Result<_, Gone>>()?,
            reconciler: about.reconciler.into(),
            repository: about.repository.into(),
            branch: about.branch.into(),
            leadership,
            stop,
        })
    }

    /// Runs until it is stopped.
    pub async fn run(self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Cancel-safe: a tick that was not taken comes again, a cancelled token stays cancelled.
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // One tells, so that nothing is told twice for no reason.
            if !self.leadership.borrow().leads() {
                continue;
            }
            // Cancel-safe: a notice that is given up on the way stays in the outbox.
            tokio::select! {
                () = self.stop.cancelled() => return,
                told = self.tell_all() => if let Err(error) = told {
                    tracing::warn!(error = chain(&error), "cannot read what is to be told; trying again");
                },
            }
        }
    }

    /// Tells what is due. A target that fails holds back what comes after for itself, and for nobody else.
    async fn tell_all(&self) -> Result<(), StoreError> {
        loop {
            let rows = self.store.outbox(BATCH).await?;
            let mut held: BTreeSet<String> = BTreeSet::new();
            let mut told = 0_u32;
            for row in &rows {
                let target = &row.notice.target;
                let now = clock::now();
                if held.contains(target) {
                    continue;
                }
                if row.next_at > now || !self.tell(row, now).await? {
                    held.insert(target.clone());
                } else {
                    told += 1;
                }
            }
            // What is behind a whole batch that is held back waits for it.
            if told < BATCH {
                return Ok(());
            }
        }
    }

    /// Tells one notice. Answers whether it is over with it.
    async fn tell(&self, row: &OutboxRow, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let name = &row.notice.target;
        let Some((target, client)) = self.targets.get(name) else {
            tracing::warn!(to = name, "a notice is dropped: the target is not configured any more");
            return self.store.delivered(row.id).await.map(|()| true);
        };
        if now - row.created_at > WORTH {
            tracing::error!(
                to = name,
                attempts = row.attempts,
                error = row.error,
                "a notice is dropped: it could not be told for a week"
            );
            return self.store.delivered(row.id).await.map(|()| true);
        }
        match self.send(target, client, row).await {
            Ok(()) => self.store.delivered(row.id).await.map(|()| true),
            Err(error) => {
                let error = chain(&error);
                let wait = retry_after(row.attempts, random_share());
                tracing::warn!(to = name, attempts = row.attempts + 1, %error, "cannot tell; trying again");
                self.store.undelivered(row.id, &error, now + wait).await.map(|()| false)
            }
        }
    }

    async fn send(&self, target: &Target, client: &Client, row: &OutboxRow) -> Result<(), Untold> {
        let Ok(event) = serde_json::from_str::<Event>(&row.notice.body) else {
            // An older version wrote it; there is nobody left who could read it.
            return Ok(());
        };
        let secret = target.secret.read()?;
        let about =
            About { reconciler: &self.reconciler, repository: &self.repository, branch: &self.branch };
        let Some(Request { url, headers, body }) = request(target, &event, about, row.id, &secret) else {
            return Ok(());
        };
        let mut request = client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| Untold::Request(error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let said = answer.bytes().await.unwrap_or_default();
        let said: String =
            String::from_utf8_lossy(&said[..said.len().min(SAID)]).replace(secret.reveal(), "***");
        // GitLab refuses to set the state that a commit has already.
        if target.kind == TargetKind::Gitlab && said.contains("Cannot transition status") {
            return Ok(());
        }
        Err(Untold::Status { status, said })
    }
}

/// How long to wait after so many attempts that failed before: it doubles up to a bound, and a random share
/// of it keeps many from coming at once.
pub fn retry_after(attempts: u32, share: f64) -> TimeDelta {
    let (first, most) = WAIT;
    let doubled = 1_i32.checked_shl(attempts.min(16)).unwrap_or(i32::MAX);
    let bound = (first * doubled).min(most);
    let bound = Duration::from_millis(bound.num_milliseconds().unsigned_abs());
    let wait = bound.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
    TimeDelta::from_std(wait).unwrap_or(most)
}

/// A number from 0 to 1. Each `RandomState` has keys of its own; jitter needs no better source.
fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

fn client(target: &Target) -> Result<Client, Gone> {
    // Whichever part of the program comes first installs it; that another one did is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("almanac-reconciler/", env!("CARGO_PKG_VERSION")))
        .timeout(DEADLINE)
        // A redirect would carry the token to somebody else.
        .redirect(redirect::Policy::none());
    if let Some(path) = &target.ca_file {
        let bad =
            |error: Box<dyn std::error::Error + Send + Sync>| Gone::Certificates(target.name.clone(), error);
        let pem = std::fs::read(path).map_err(|error| bad(error.into()))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.into()))? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(Gone::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let most: Vec<i64> = (0..12).map(|attempts| retry_after(attempts, 1.0).num_seconds()).collect();
        assert_eq!(most, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(retry_after(3, 0.0), TimeDelta::seconds(4));
        assert_eq!(retry_after(u32::MAX, 1.0), TimeDelta::minutes(15));
    }
}
