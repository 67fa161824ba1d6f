//! The task that tells others.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::{Certificate, Client, Response, StatusCode, redirect};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{About, Event, Request, Target, TargetKind, request};
use crate::{
    backoff::{Backoff, random_share},
    causes::chain,
    clock,
    lead::Leadership,
    secret::{Secret, SecretError},
    store::{OutboxRow, Store, StoreError},
};

/// How often the outbox is looked at. What is told is for people.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a target may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait before what failed is tried again.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(15 * 60) };

/// How often a notice may be refused for what it says. A forge that mirrors the repository may not have the commit yet,
/// so these are several minutes; beyond them, what comes after is not held back any longer.
const REFUSALS: u32 = 10;

/// How long a notice is worth telling. What is older is dropped, and the log says so: a target that was
/// forgotten must not fill the database.
const WORTH: TimeDelta = TimeDelta::days(7);

/// How much of an answer is kept for the log, in bytes.
const SAID: usize = 500;

/// How much of an answer is read, in bytes. It says whatever it likes for as long as it likes.
const MAX_ANSWER: usize = 64 << 10;

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

    /// Tells what is due: each target by itself, so that one that fails or is slow holds back nobody else.
    async fn tell_all(&self) -> Result<(), StoreError> {
        for name in self.store.notice_targets().await? {
            if !self.targets.contains_key(&name) {
                let notices = self.store.forget_target(&name).await?;
                tracing::warn!(to = name, notices, "dropped: the target is not configured any more");
            }
        }
        let told = join_all(self.targets.values().map(|(target, client)| self.tell(target, client))).await;
        told.into_iter().collect()
    }

    /// Tells a target what is due, in order, until something has to wait.
    async fn tell(&self, target: &Target, client: &Client) -> Result<(), StoreError> {
        let name = &target.name;
        while let Some(row) = self.store.first_notice(name).await? {
            let now = clock::now();
            let attempts = row.attempts;
            if now - row.created_at > WORTH {
                let error = row.error;
                tracing::error!(
                    to = name,
                    attempts,
                    error,
                    "dropped a notice: it could not be told for a week"
                );
                self.store.delivered(row.id).await?;
                continue;
            }
            if row.next_at > now {
                return Ok(());
            }
            match self.send(target, client, &row).await {
                Ok(()) => self.store.delivered(row.id).await?,
                Err(error) if error.is_of_the_notice(target.kind) && attempts + 1 >= REFUSALS => {
                    let error = chain(&error);
                    tracing::error!(to = name, error, "dropped a notice: it is refused for what it says");
                    self.store.delivered(row.id).await?;
                }
                Err(error) => {
                    let error = chain(&error);
                    let attempts = attempts.saturating_add(1);
                    let wait = BACKOFF.wait(attempts, random_share());
                    tracing::warn!(to = name, attempts, error, "cannot tell; trying again");
                    return self.store.undelivered(row.id, &error, now + wait).await;
                }
            }
        }
        Ok(())
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
        let said = said(answer, &secret).await;
        // GitLab refuses to set the state that a commit has already.
        if target.kind == TargetKind::Gitlab && said.contains("Cannot transition status") {
            return Ok(());
        }
        Err(Untold::Status { status, said })
    }
}

impl Untold {
    /// Whether the target took offence at this one notice, such as a commit that it does not know, and may well take
    /// the next. Who asks, how often and where are what the other refusals are about.
    fn is_of_the_notice(&self, kind: TargetKind) -> bool {
        let Self::Status { status, .. } = self else { return false };
        match *status {
            StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => true,
            // So GitLab and Gitea say that there is no such commit.
            StatusCode::NOT_FOUND => kind != TargetKind::Webhook,
            _ => false,
        }
    }
}

/// The beginning of what an answer says, without the secret.
async fn said(mut answer: Response, secret: &Secret) -> String {
    let mut body = Vec::new();
    // What cannot be read any more is missing from the log, and nothing else.
    while let Ok(Some(part)) = answer.chunk().await {
        body.extend_from_slice(&part);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    let mut said = String::from_utf8_lossy(&body).replace(secret.reveal(), "***");
    said.truncate(said.floor_char_boundary(SAID));
    said
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
    fn what_is_refused_for_what_it_says_is_told_from_the_rest() {
        let of = |status, kind| {
            let status = StatusCode::from_u16(status).unwrap();
            Untold::Status { status, said: String::new() }.is_of_the_notice(kind)
        };
        for kind in [TargetKind::Github, TargetKind::Webhook] {
            assert!([400, 409, 413, 422].into_iter().all(|status| of(status, kind)));
            assert!(![302, 401, 403, 408, 410, 429, 500, 503].into_iter().any(|status| of(status, kind)));
        }
        assert!(of(404, TargetKind::Gitlab) && !of(404, TargetKind::Webhook));
    }
}
