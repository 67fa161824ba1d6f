//! Finds out how the agent is. Nothing is kept for that: who asks has the journal read.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use tokio::sync::watch;

use almanac_schemas::{ClockOffset, Instant, NodeName, trigger::Provider};

use crate::{
    clock,
    contact::Contact,
    desired::{Desired, SnapshotError},
    disk::Disks,
    forecast::forecast,
    journal::{Journal, JournalError, OpenRun},
    policy::Policy,
    runtime::{Runtime, chain},
    scheduler::{Decision, Situation, Verdict},
    spool::Spool,
    telemetry::{Standing, Telemetry},
};

use super::{Backlog, Going, Held, Measuring, Next, Omitted, Rebuilt, Status};

/// How many of the next runs are shown. Of each job whose next run is known not to run, that one is shown in any case.
const NEXT: usize = 10;

/// How many runs of one job are among them at most, so that a frequent one does not hide the others.
const NEXT_OF_EACH: usize = 3;

/// For how long it is shown that the journal was lost.
const REMEMBERED: TimeDelta = TimeDelta::days(30);

/// What is needed to find out how the agent is.
pub struct Watch {
    /// The node.
    pub node: NodeName,
    /// The reconciler.
    pub server: String,
    /// Since when the agent runs.
    pub started_at: DateTime<Utc>,
    /// What runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Where everything is recorded.
    pub journal: Journal,
    /// What the host allows.
    pub policy: Arc<Policy>,
    /// Whether the reconciler is reached.
    pub contact: watch::Receiver<Contact>,
    /// By how much the clock is off.
    pub clock: watch::Receiver<Option<ClockOffset>>,
    /// How much may wait for it.
    pub spool: Spool,
    /// What is measured.
    pub telemetry: Telemetry,
    /// The disks that runs write to.
    pub disks: Disks,
}

/// Why it cannot be found out.
#[derive(Debug, Error)]
pub enum StatusError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The stored snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Watch {
    /// How the agent is now.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn look(&self) -> Result<Status, StatusError> {
        let now = clock::now();
        let snapshot = self.journal.snapshot().await?;
        let received_at = self.journal.snapshot_received_at().await?;
        let desired = snapshot.as_ref().map(Desired::read).transpose()?.map(|(desired, _)| desired);
        let accounts = self.journal.accounts().await?;
        let said = self.journal.said().await?;
        let disks = self.disks.look();
        let short = disks.iter().find_map(|disk| disk.shortage());
        let next = desired.as_ref().map(|desired| {
            let situation = Situation {
                node: &self.node,
                desired,
                accounts: &accounts,
                policy: &self.policy,
                said: &said,
                operating_since: now,
                reserved: &[],
                lost_at: None,
                short: short.as_ref(),
                now,
            };
            chosen(&forecast(&situation, NEXT_OF_EACH))
        });
        let backlog = self.journal.backlog().await?;
        let runs = self.journal.open_runs().await?.iter().map(going).collect();
        let engine = self.runtime.describe().await.unwrap_or_else(|error| chain(&error));
        Ok(Status {
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: Instant(now),
            started_at: Instant(self.started_at),
            engine,
            server: self.server.clone(),
            contact: self.contact.borrow().clone(),
            clock: *self.clock.borrow(),
            state: desired.as_ref().map(|desired| Held {
                generation: desired.version.generation,
                commit: desired.commit.clone(),
                received_at: Instant(received_at.unwrap_or(desired.server_time)),
                valid_until: Instant(desired.valid_until),
                jobs: desired.assignments.len(),
            }),
            disk: disks.first().map(ToString::to_string),
            short: short.map(|short| short.to_string()),
            cordon: said.cordoned(now).cloned(),
            scavenging: said.scavenging(now).cloned(),
            rebuilt: self.journal.rebuilt().filter(|rebuilt| now - rebuilt.at < REMEMBERED).map(|rebuilt| {
                Rebuilt { at: Instant(rebuilt.at), why: rebuilt.why.clone(), kept: rebuilt.kept.clone() }
            }),
            runs,
            next: next.unwrap_or_default(),
            telemetry: self.telemetry.standings().into_iter().map(measuring).collect(),
            backlog: Backlog {
                events: backlog.events,
                files: backlog.files,
                bytes: backlog.bytes,
                limit: self.spool.limit().as_bytes(),
                dropped_files: backlog.dropped_files,
                dropped_bytes: backlog.dropped_bytes,
            },
        })
    }
}

fn measuring((provider, standing): (Provider, Standing)) -> Measuring {
    let Standing { measured_at, problem, idle } = standing;
    Measuring { provider: provider.to_string(), measured_at: measured_at.map(Instant), problem, idle }
}

fn going(OpenRun { order, state }: &OpenRun) -> Going {
    // The word by which it is journaled.
    let written = serde_json::to_value(state).unwrap_or_default();
    let stage = written["stage"].as_str().unwrap_or("unknown").to_owned();
    Going {
        job: order.job.clone(),
        run: order.key().id,
        role: order.role,
        stage,
        scheduled_at: order.scheduled_at,
        until: Instant(order.end()),
    }
}

/// The next runs, and beyond them of each job that will not run its next.
fn chosen(decisions: &[Decision<'_>]) -> Vec<Next> {
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for (index, decision) in decisions.iter().enumerate() {
        let is_first = seen.insert(&decision.assignment.job);
        let omitted = match &decision.verdict {
            Verdict::Start { .. } => None,
            Verdict::Omit(omission) => {
                Some(Omitted { reason: omission.reason, message: omission.message.clone() })
            }
        };
        if index < NEXT || (is_first && omitted.is_some()) {
            let (job, scheduled_at) = (decision.assignment.job.clone(), Instant(decision.scheduled_at));
            chosen.push(Next { job, scheduled_at, omitted });
        }
    }
    chosen
}
